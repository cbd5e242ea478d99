package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"meridian/threads"
)

// KeepFork stores a proof at a journal position, instead of the one that was
// kept of its log before.
func (t *tx) KeepFork(c *threads.Channel, pos int64, f threads.ForkSight) error {
	t.at = f.Found
	ch, err := t.touch(c, pos)
	if err != nil {
		return err
	}
	log, err := t.logNumber(ch, f.Ref().LogID)
	if err != nil {
		return err
	}
	if err := t.exec("delete from fork where log = ?", log); err != nil {
		return err
	}
	t.recordFork(f.Fork)
	return t.exec("insert into fork (log, pos, seq, at, first, sig1, second, sig2) values (?, ?, ?, ?, ?, ?, ?, ?)",
		log, pos, f.Ref().Seq, f.Found.UnixMilli(), f.First.HeaderBytes, f.First.Sig, f.Second.HeaderBytes, f.Second.Sig)
}

func (t *tx) recordFork(f threads.Fork) {
	h := &f.First.Header
	t.record(threads.ByServer, threads.AuditFork, f.Channel(), fmt.Sprintf(
		"%s signed two events for place %d of its %s log, epoch %d: %s and %s", h.Origin, h.Seq, h.Log, h.Epoch, f.First.ID, f.Second.ID))
}

const forkSelect = "select f.pos, f.at, f.first, f.sig1, f.second, f.sig2 from fork f join log l on l.id = f.log "

func scanFork(rows *sql.Rows, pos *int64) (threads.ForkSight, error) {
	f := threads.ForkSight{Fork: threads.Fork{First: &threads.Event{}, Second: &threads.Event{}}}
	var at int64
	err := rows.Scan(pos, &at, &f.First.HeaderBytes, &f.First.Sig, &f.Second.HeaderBytes, &f.Second.Sig)
	f.Found = instant(at)
	if err == nil {
		err = complete(f.First)
	}
	if err == nil {
		err = complete(f.Second)
	}
	return f, err
}

func (s *Store) loadForks(ctx context.Context, q querier, c *threads.Channel, number int64) error {
	return eachOf(ctx, q, func(rows *sql.Rows) error {
		var pos int64
		f, err := scanFork(rows, &pos)
		if err == nil {
			c.PutFork(f.Ref().LogID, threads.ForkAt{Seq: f.Ref().Seq, First: f.First.ID, Second: f.Second.ID})
		}
		return err
	}, s.bind(forkSelect+"where l.channel = ?"), number)
}

// Forks are the proofs that are kept of the channel's logs, at most limit, in
// the order in which they were learnt.
func (s *Store) Forks(ctx context.Context, channel threads.Hash, limit int) ([]threads.Fork, error) {
	var forks []threads.Fork
	err := s.each(ctx, func(rows *sql.Rows) error {
		var pos int64
		f, err := scanFork(rows, &pos)
		forks = append(forks, f.Fork)
		return err
	}, forkSelect+"join channel c on c.id = l.channel where c.hash = ? order by f.pos limit ?", raw(channel), limit)
	if err != nil {
		return nil, fmt.Errorf("read proofs of forks in %s: %w", channel, err)
	}
	return forks, nil
}

// Proofs lists all proofs of forks, for administrators, as they were learnt.
func (s *Store) Proofs(ctx context.Context, page threads.Page) ([]threads.ForkSight, string, error) {
	after, err := numbersOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	from := int64(0)
	if after != nil {
		from = after[0]
	}
	type learnt struct {
		pos  int64
		fork threads.ForkSight
	}
	var rows []learnt
	err = s.each(ctx, func(r *sql.Rows) error {
		var l learnt
		var err error
		l.fork, err = scanFork(r, &l.pos)
		rows = append(rows, l)
		return err
	}, forkSelect+"where f.pos > ? order by f.pos limit ?", from, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list proofs of forks: %w", err)
	}
	rows, next := cut(rows, page, func(l *learnt) string { return cursorAfter(strconv.FormatInt(l.pos, 10)) })
	forks := make([]threads.ForkSight, len(rows))
	for i := range rows {
		forks[i] = rows[i].fork
	}
	return forks, next, nil
}
