package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// What a person has read and follows is their own: it never leaves this server
// and nobody else is told.

// MarkRead notes that the person has read all that this server had of a thread
// when it got the message upTo, "" for all that it has now. A mark never moves
// back. NotFound for what the person may not see.
func (s *Store) MarkRead(ctx context.Context, person string, thread, upTo threads.Hash) error {
	at, err := s.Reading().reader(ctx, person, thread)
	if err != nil {
		return err
	}
	var pos int64
	if upTo == "" {
		pos, err = s.Last(ctx)
	} else {
		pos, err = s.placeIn(ctx, person, thread, upTo)
	}
	if err != nil {
		return err
	}
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO read_mark (person, thread, pos) VALUES (?, ?, ?)
			ON CONFLICT (person, thread) DO UPDATE SET pos = excluded.pos WHERE excluded.pos > read_mark.pos`), at.Person, at.Number, pos)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark read: %w", err)
	}
	return nil
}

// placeIn is the journal position of a message of the thread.
func (s *Store) placeIn(ctx context.Context, person string, thread, message threads.Hash) (int64, error) {
	m, err := s.Reading().message(ctx, person, message)
	if err != nil {
		return 0, err
	}
	if hashOf(m.Thread) != thread {
		return 0, threads.Refuse(threads.Invalid, "invalid", "/up_to", "is a message of another thread")
	}
	return m.Pos, nil
}

// Follow says whether the person follows a thread, whatever the rules would say.
// NotFound for one that they may not see.
func (s *Store) Follow(ctx context.Context, person string, thread threads.Hash, on bool) error {
	at, err := s.Reading().reader(ctx, person, thread)
	if err != nil {
		return err
	}
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO follow (person, thread, following) VALUES (?, ?, ?)
			ON CONFLICT (person, thread) DO UPDATE SET following = excluded.following`), at.Person, at.Number, number(on))
		return err
	})
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

// mention notes whom of this server's people a message mentions or asks; they
// follow its thread while it stands.
func (t *tx) mention(pos, thread int64, m *threads.Message) error {
	for _, person := range slices.Concat(m.Mentions[:min(len(m.Mentions), threads.MaxMentions)], m.Ask.People()) {
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
