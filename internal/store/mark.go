package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// What a person has read and follows is their own: it never leaves this server
// and nobody else is told.

// MarkRead notes that the person has read all that this server had of a thread
// when it got the message upTo, "" for all that it has now. A mark never moves
// back. NotFound for what the person may not see.
func (s *Store) MarkRead(ctx context.Context, person string, thread, upTo threads.Hash) error {
	row, me, err := s.Reading().thread(ctx, person, thread)
	if err != nil {
		return err
	}
	pos := row.Version
	if upTo != "" {
		message, err := s.Reading().message(ctx, person, upTo)
		if err != nil {
			return err
		}
		if hashOf(message.Thread) != thread {
			return threads.Refuse(threads.Invalid, "invalid", "/up_to", "is a message of another thread")
		}
		pos = message.Pos
	}
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO read_mark (person, thread, pos) VALUES (?, ?, ?)
			ON CONFLICT (person, thread) DO UPDATE SET pos = excluded.pos WHERE excluded.pos > read_mark.pos`), me, row.Number, pos)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark read: %w", err)
	}
	return nil
}

// Follow says whether the person follows a thread, whatever the rules would say.
// NotFound for one that they may not see.
func (s *Store) Follow(ctx context.Context, person string, thread threads.Hash, on bool) error {
	row, me, err := s.Reading().thread(ctx, person, thread)
	if err != nil {
		return err
	}
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO follow (person, thread, following) VALUES (?, ?, ?)
			ON CONFLICT (person, thread) DO UPDATE SET following = excluded.following`), me, row.Number, number(on))
		return err
	})
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

// mention notes whom of this server's people a message mentions; they follow
// its thread while it stands.
func (t *tx) mention(pos, thread int64, mentions []string) error {
	for _, person := range mentions[:min(len(mentions), threads.MaxMentions)] {
		if threads.ServerOf(person) != t.store.server {
			continue
		}
		err := t.exec(`insert into mention (person, thread, pos)
			select id, cast(? as bigint), cast(? as bigint) from person where uri = ? on conflict do nothing`, thread, pos, person)
		if err != nil {
			return fmt.Errorf("note mention: %w", err)
		}
	}
	return nil
}
