package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// querier is a connection, a transaction or a pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// view runs f on one snapshot of the database.
func (s *Store) view(ctx context.Context, f func(*sqlx.Tx) error) error {
	var options *sql.TxOptions
	if s.postgres {
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := s.readers.BeginTxx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	return errors.Join(f(tx), ignoreDone(tx.Rollback()))
}

// Channel is the committed state of a channel, nil when it is unknown here. It
// must never be changed.
func (s *Store) Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	cached := s.shared.find(id)
	var loaded known
	err := s.view(ctx, func(q *sqlx.Tx) (err error) {
		loaded, err = s.load(ctx, q, id, cached)
		return err
	})
	return loaded.channel, err
}

// Channel is the state of a channel within the transaction, nil when it is
// unknown here.
func (t *tx) Channel(id threads.Hash) (*threads.Channel, error) {
	if ch := t.channels[id]; ch != nil {
		return ch.channel, nil
	}
	loaded, err := t.store.load(t.ctx, t.w.conn, id, t.store.shared.find(id))
	return loaded.channel, err
}

// load reads a channel by replaying its control log, unless cached is what is
// stored. What it read is kept for everyone.
func (s *Store) load(ctx context.Context, q querier, id threads.Hash, cached known) (known, error) {
	var number, version, doubts int64
	var doubt threads.Doubt
	err := q.QueryRowContext(ctx, s.bind(`select c.id, c.version, coalesce(l.doubt, 0),
			(select coalesce(sum(doubt), 0) from log where channel = c.id)
		from channel c left join log l on l.channel = c.id and l.origin = 0 and l.epoch = 0
		where c.hash = ?`), raw(id)).Scan(&number, &version, &doubt, &doubts)
	if errors.Is(err, sql.ErrNoRows) {
		return known{}, nil
	}
	if err != nil {
		return known{}, fmt.Errorf("look up channel %s: %w", id, err)
	}
	if cached.channel != nil && cached.version == version && cached.doubts == doubts { // another node may have written
		return cached, nil
	}
	c := threads.NewChannel(id)
	c.ControlDoubt = doubt
	if err := s.replayControl(ctx, q, c, number); err != nil {
		return known{}, fmt.Errorf("replay control log of %s: %w", id, err)
	}
	if err := s.loadHeads(ctx, q, c, number); err != nil {
		return known{}, fmt.Errorf("load heads of %s: %w", id, err)
	}
	if err := s.loadForks(ctx, q, c, number); err != nil {
		return known{}, fmt.Errorf("load forks of %s: %w", id, err)
	}
	fresh := knownOf(c, version)
	s.shared.keep(id, fresh)
	return fresh, nil
}

func (s *Store) replayControl(ctx context.Context, q querier, c *threads.Channel, number int64) error {
	rows, err := q.QueryContext(ctx, s.bind(`select header, sig, content from event
		where log = (select id from log where channel = ? and origin = 0 and epoch = 0) order by seq`), number)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return err
		}
		if err := c.ApplyControl(e); err != nil {
			return fmt.Errorf("control event %d: %w", e.Header.Seq, err)
		}
	}
	return rows.Err()
}

func (s *Store) loadHeads(ctx context.Context, q querier, c *threads.Channel, number int64) error {
	rows, err := q.QueryContext(ctx, s.bind(`select s.name, l.epoch, l.from_seq, l.before, l.seq, l.hash, l.time, l.control, l.doubt
		from log l join server s on s.id = l.origin where l.channel = ? and l.seq > 0`), number)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		l := &threads.Log{}
		var before, hash []byte
		if err := rows.Scan(&l.Origin, &l.Epoch, &l.From, &before, &l.Seq, &hash, &l.Time, &l.Control, &l.Doubt); err != nil {
			return err
		}
		l.Before, l.Hash = hashOf(before), hashOf(hash)
		c.Logs[l.LogID] = l
	}
	return rows.Err()
}

// scanEvent reads header, sig and content into an event. What is stored was
// checked before, so its digests and signature are not looked at again.
func scanEvent(rows *sql.Rows, more ...any) (*threads.Event, error) {
	e := &threads.Event{}
	if err := rows.Scan(append([]any{&e.HeaderBytes, &e.Sig, &e.Content}, more...)...); err != nil {
		return nil, err
	}
	return e, complete(e)
}

// complete gives an event whose bytes are read its header and id.
func complete(e *threads.Event) error {
	h, err := threads.DecodeHeader(e.HeaderBytes)
	if err != nil {
		return fmt.Errorf("stored header: %w", err)
	}
	e.Header, e.ID = *h, threads.HashOf(e.HeaderBytes)
	return nil
}

// touch is the channel as the transaction changes it, its row inserted when it
// is new.
func (t *tx) touch(c *threads.Channel, pos int64) (*touched, error) {
	ch := t.channels[c.ID]
	if ch == nil {
		ch = &touched{logs: map[threads.LogID]bool{}, dirty: map[threads.Hash]bool{}}
		if err := t.channelNumber(c.ID, ch); err != nil {
			return nil, err
		}
		t.channels[c.ID] = ch
	}
	ch.channel, ch.version = c, max(ch.version, pos)
	return ch, nil
}

// channelNumber reads the row of a channel, made where there is none.
func (t *tx) channelNumber(id threads.Hash, ch *touched) error {
	row := []any{&ch.id, &ch.orphans, &ch.asks}
	const find = "select id, orphans = 1, asks = 1 from channel where hash = ?"
	found, err := t.row(row, find, raw(id))
	if found || err != nil {
		return err
	}
	if err := t.exec("insert into channel (hash, version) values (?, 0)", raw(id)); err != nil {
		return err
	}
	_, err = t.row(row, find, raw(id))
	return err
}

func (t *tx) saveChannel(ch *touched) error {
	if ch.control { // which may start logs of which nothing is here yet
		for id := range ch.channel.Logs {
			ch.logs[id] = true
		}
	}
	for id := range ch.logs {
		if err := t.saveLog(ch, id); err != nil {
			return err
		}
	}
	if ch.control {
		if err := t.saveControl(ch); err != nil {
			return err
		}
	}
	return t.exec("update channel set version = ?, orphans = ?, asks = ? where id = ?", ch.version, number(ch.orphans), number(ch.asks), ch.id)
}

func (t *tx) saveLog(ch *touched, id threads.LogID) error {
	log, err := t.logNumber(ch, id)
	if err != nil {
		return err
	}
	l := threads.Log{Head: ch.channel.Control, From: 1, Control: ch.channel.Control.Seq, Doubt: ch.channel.ControlDoubt}
	if id != threads.ControlLog {
		l = *ch.channel.LogOf(id)
	}
	return t.exec("update log set from_seq = ?, before = ?, seq = ?, hash = ?, time = ?, control = ?, doubt = ? where id = ?",
		l.From, raw(l.Before), l.Seq, raw(l.Hash), int64(l.Time), l.Control, int64(l.Doubt), log)
}

// number is a truth as it is stored.
func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
