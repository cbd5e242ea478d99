package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"meridian/threads"
	"meridian/threads/journal"
)

// ownLogs selects the logs that this server wrote, given its name: those of its
// data, and every control log, of which it may be, or may have become, the host.
const ownLogs = `(origin = 0 or origin = (select id from server where name = ?))`

// Doubt notes that this database may be older than what others hold: no log of
// this server's own is continued until it is proven, or a new one is begun.
func (t *tx) Doubt() error {
	if err := t.flush(); err != nil {
		return err
	}
	t.store.shared.forget()
	t.doubted = true
	return t.exec("update log set doubt = 1 where doubt = 0 and "+ownLogs, t.store.server)
}

// Prove stores, as of a position, the state c of a channel, which is without doubts.
func (t *tx) Prove(c *threads.Channel, pos int64) error {
	ch, err := t.touch(c, pos)
	if err != nil {
		return fmt.Errorf("prove channel %s: %w", c.ID, err)
	}
	ch.logs[threads.ControlLog] = true
	for id := range c.Logs {
		ch.logs[id] = true
	}
	return nil
}

// Holds reports whether the event stands at that position of the journal.
func (t *tx) Holds(m journal.Mark) (bool, error) {
	var header []byte
	found, err := t.row([]any{&header}, atPosition, m.Pos, m.Pos)
	return found && threads.HashOf(header) == m.ID, err
}

const atPosition = "select header from event where pos = ? union all select header from evidence where pos = ?"

// Holds reports whether the event stands at that position of the journal.
func (s *Store) Holds(ctx context.Context, m journal.Mark) (bool, error) {
	var header []byte
	err := s.readers.GetContext(ctx, &header, s.bind(atPosition), m.Pos, m.Pos)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up position %d: %w", m.Pos, err)
	}
	return threads.HashOf(header) == m.ID, nil
}

// Newest is the event at the newest position of the journal, zero when there is none.
func (s *Store) Newest(ctx context.Context) (journal.Mark, error) {
	var row struct {
		Pos    int64
		Header []byte
	}
	err := s.readers.GetContext(ctx, &row, `select pos, header from event where pos = (select max(pos) from event)
		union all select pos, header from evidence where pos = (select max(pos) from evidence) order by pos desc limit 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return journal.Mark{}, nil
	}
	if err != nil {
		return journal.Mark{}, fmt.Errorf("read the newest event: %w", err)
	}
	return journal.Mark{Pos: row.Pos, ID: threads.HashOf(row.Header)}, nil
}

// InDoubt lists the channels, at most limit, of which a log of this server's own
// is doubtful, after the one named, in the order of their bytes.
func (s *Store) InDoubt(ctx context.Context, after threads.Hash, limit int) ([]threads.Hash, error) {
	return s.hashes(ctx, `select hash from channel where hash > ?
		and id in (select channel from log where doubt = 1) order by hash limit ?`, afterRaw(after), limit)
}
