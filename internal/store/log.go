package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"meridian/threads"
)

// Last is the newest committed position in the journal.
func (s *Store) Last(ctx context.Context) (int64, error) {
	var last int64
	if err := s.readers.GetContext(ctx, &last, lastQuery); err != nil {
		return 0, fmt.Errorf("read the newest position: %w", err)
	}
	return last, nil
}

const entriesQuery = `select header, sig, content, pos, flags, 0 from event
	where pos > ? and not exists (select 1 from arrival where arrival.event = event.pos)
	union all select e.header, e.sig, e.content, a.pos, e.flags, 1 from arrival a join event e on e.pos = a.event where a.pos > ?
	order by 4 limit ?`

// Entries are at most limit events in the order of the journal, beyond after.
// One whose content came later stands where that came.
func (s *Store) Entries(ctx context.Context, after int64, limit int) ([]threads.Entry, error) {
	var entries []threads.Entry
	err := s.each(ctx, func(rows *sql.Rows) error {
		var entry threads.Entry
		var flags, filled int64
		var err error
		entry.Event, err = scanEvent(rows, &entry.Pos, &flags, &filled)
		entry.Void, entry.Filled = flags&eventVoid != 0, filled != 0
		entries = append(entries, entry)
		return err
	}, entriesQuery, after, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the journal after %d: %w", after, err)
	}
	return entries, nil
}

// Span is a part of one log.
type Span struct {
	Channel threads.Hash
	Log     threads.LogID // threads.ControlLog for the control log
	From    int64         // the seq to start at
	Limit   int           // events at most
	Bytes   int           // of headers, signatures and contents at most, beyond the first event
}

const upwardsQuery = `select header, sig, content, flags from event where log = (select l.id from log l join channel c on c.id = l.channel
	where c.hash = ? and l.origin = coalesce((select id from server where name = ?), 0) and l.epoch = ?) and seq >= ? order by seq limit ?`

// LogEvents are the events of a log from a place upwards, as partners may have
// them: without the contents of void events.
func (s *Store) LogEvents(ctx context.Context, span Span) ([]*threads.Event, error) {
	var events []*threads.Event
	size := 0
	err := s.each(ctx, func(rows *sql.Rows) error {
		var flags int64
		e, err := scanEvent(rows, &flags)
		if err != nil {
			return err
		}
		if flags&eventVoid != 0 {
			e.Content = nil
		}
		size += len(e.HeaderBytes) + len(e.Sig) + len(e.Content)
		if len(events) > 0 && size > span.Bytes {
			return errEnough
		}
		events = append(events, e)
		return nil
	}, upwardsQuery,
		raw(span.Channel), span.Log.Origin, span.Log.Epoch, span.From, span.Limit)
	if err != nil {
		return nil, fmt.Errorf("read log %v of channel %s: %w", span.Log, span.Channel, err)
	}
	return events, nil
}

// EventsByID are those of the events that are held, in no order, as partners
// may have them. At most 500 are looked up.
func (s *Store) EventsByID(ctx context.Context, channel threads.Hash, ids []threads.Hash) ([]*threads.Event, error) {
	var events []*threads.Event
	for _, id := range ids[:min(len(ids), 500)] {
		h := raw(id)
		if len(h) != 32 {
			continue
		}
		err := s.each(ctx, func(rows *sql.Rows) error {
			var flags int64
			e, err := scanEvent(rows, &flags)
			if err != nil || e.ID != id || e.Channel() != channel {
				return err
			}
			if flags&eventVoid != 0 {
				e.Content = nil
			}
			events = append(events, e)
			return nil
		}, "select header, sig, content, flags from event where hash8 = ? limit 16", hash8(h))
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", id, err)
		}
	}
	return events, nil
}

// MissingContents are events of the channel, at most limit, whose contents are
// not held though they are neither void nor erased.
func (s *Store) MissingContents(ctx context.Context, channel threads.Hash, limit int) ([]threads.Hash, error) {
	var ids []threads.Hash
	err := s.each(ctx, func(rows *sql.Rows) error {
		var header []byte
		err := rows.Scan(&header)
		ids = append(ids, threads.HashOf(header))
		return err
	}, missingQuery, raw(channel), limit)
	if err != nil {
		return nil, fmt.Errorf("look for missing contents of %s: %w", channel, err)
	}
	return ids, nil
}

const missingQuery = `select header from event where log in (select l.id from log l join channel c on c.id = l.channel
	where c.hash = ?) and content is null and flags = 0 order by log, seq limit ?`

// Channels are the ids of the channels known here, at most limit, after the one
// named, in the order of their bytes.
func (s *Store) Channels(ctx context.Context, after threads.Hash, limit int) ([]threads.Hash, error) {
	return s.hashes(ctx, "select hash from channel where hash > ? order by hash limit ?", afterRaw(after), limit)
}

func afterRaw(after threads.Hash) []byte { return append([]byte{}, raw(after)...) }

func (s *Store) hashes(ctx context.Context, query string, args ...any) ([]threads.Hash, error) {
	var found []threads.Hash
	err := s.each(ctx, func(rows *sql.Rows) error {
		var h []byte
		err := rows.Scan(&h)
		found = append(found, hashOf(h))
		return err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	return found, nil
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// each calls f for every row of a query on a reader's connection until f
// returns an error; errEnough is none.
func (s *Store) each(ctx context.Context, f func(*sql.Rows) error, query string, args ...any) error {
	return eachOf(ctx, s.readers, f, s.bind(query), args...)
}

func eachOf(ctx context.Context, q querier, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err == errEnough {
			return nil
		} else if err != nil {
			return err
		}
	}
	return rows.Err()
}
