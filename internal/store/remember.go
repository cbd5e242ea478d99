package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
	"meridian/threads/journal"
)

// Recall is the outcome that was remembered under the key, nil when none was.
func (t *tx) Recall(key journal.Key) (*journal.Remembered, error) {
	if r, ok := t.recalled[key]; ok {
		return &r, nil
	}
	person, err := t.personNumber(key.Person)
	if err != nil {
		return nil, err
	}
	var digest, events []byte
	var at int64
	found, err := t.row([]any{&digest, &events, &at},
		"select digest, events, at from idempotency where person = ? and key = ?", person, key.Key)
	if !found || err != nil {
		return nil, err
	}
	r := &journal.Remembered{Digest: hashOf(digest), At: time.UnixMilli(at).UTC()}
	for ; len(events) >= 32; events = events[32:] {
		r.Events = append(r.Events, hashOf(events[:32]))
	}
	return r, nil
}

// Remember keeps the outcome of a command under its key, which must be new.
func (t *tx) Remember(key journal.Key, r journal.Remembered) error {
	person, err := t.personNumber(key.Person)
	if err != nil {
		return err
	}
	events := make([]byte, 0, 32*len(r.Events))
	for _, id := range r.Events {
		events = append(events, raw(id)...)
	}
	t.outcomes.add(person, key.Key, raw(r.Digest), events, r.At.UnixMilli())
	t.recalled[key] = r
	return nil
}

// forgetDigest drops the digest of the request that wrote an event: by it a short
// text could be guessed. Repeating the request is refused from now on.
func (t *tx) forgetDigest(e *threads.Event) error {
	author, err := t.personNumber(e.Header.Actor)
	if err != nil {
		return err
	}
	holds := "instr(events, ?) > 0"
	if t.store.postgres {
		holds = "position(cast(? as bytea) in events) > 0"
	}
	return t.exec("update idempotency set digest = ? where person = ? and "+holds, []byte{}, author, raw(e.ID))
}

// ForgetOutcomes drops at most limit outcomes that were remembered before the
// instant, and reports how many it dropped. Each row says for itself that it is
// old: where the index by which they are found says otherwise, nothing is dropped.
func (s *Store) ForgetOutcomes(ctx context.Context, before time.Time, limit int) (int64, error) {
	var dropped int64
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		var old int64
		if err := tx.GetContext(ctx, &old, s.bind("select count(*) from ("+oldOutcomes+") as old"), before.UnixMilli(), limit); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, s.bind(forgetQuery),
			before.UnixMilli(), limit, before.UnixMilli())
		if err != nil {
			return err
		}
		if dropped, err = done.RowsAffected(); err == nil && dropped != old {
			err = fmt.Errorf("the index says that %d are old, and %d rows say so: nothing was dropped; rebuild the index idempotency_at", old, dropped)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget outcomes: %w", err)
	}
	return dropped, nil
}

const (
	oldOutcomes = "select person, key from idempotency where at < ? order by at limit ?"
	forgetQuery = "delete from idempotency where (person, key) in (" + oldOutcomes + ") and at < ?"
)

// Expect notes that this server has accepted an invitation into the channel, so
// that its control log is taken in.
func (s *Store) Expect(ctx context.Context, channel threads.Hash) error {
	return s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind("insert into expected (channel) values (?) on conflict do nothing"), raw(channel))
		return err
	})
}
