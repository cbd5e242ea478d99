package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
	"meridian/threads/journal"
)

// Remedy is what helps against a fault.
type Remedy struct {
	From []*threads.Event // of the log, from the fault upwards, as a member sent them
	At   time.Time
	Last bool // nothing else is at hand: what does not help now is damaged
}

// Mend repairs what a walk found: marks and heads from the sound bytes beside
// them, bytes by those that a member sent. These are taken only where the chain that is held says so:
// each bears its origin's signature and follows the one before it, and the last
// one taken is the one that the next sound event, or the head, names. What is
// not repaired by the last remedy is kept in the table of damages, and an altered
// content is taken away, so that it is shown as missing and asked of members. Mended reports
// whether the fault is gone, and found whether it was not known before; either
// is written into the audit log.
func (s *Store) Mend(ctx context.Context, f Fault, r Remedy) (mended, found bool, err error) {
	err = s.Write(ctx, func(opened journal.Tx) error {
		t := opened.(*tx)
		t.at = r.At
		m, err := t.mender(f)
		if err != nil {
			return err
		}
		if mended, err = m.mend(r.From); err != nil || !mended && !r.Last {
			return err
		}
		found, err = m.note(mended)
		return err
	})
	if err != nil {
		err = fmt.Errorf("mend %s: %w", f, err)
	}
	return mended, found, err
}

// mender repairs one fault.
type mender struct {
	*tx
	f   Fault
	c   *threads.Channel
	ch  *touched
	log logRow
}

func (t *tx) mender(f Fault) (*mender, error) {
	m := &mender{tx: t, f: f, log: logRow{id: f.Log}}
	if err := m.open(); err != nil {
		return nil, err
	}
	var err error
	if m.log.number, err = t.logNumber(m.ch, f.Log); err != nil {
		return nil, err
	}
	var before, hash []byte
	_, err = t.row([]any{&m.log.from, &before, &m.log.last, &hash}, "select from_seq, before, seq, hash from log where id = ?", m.log.number)
	m.log.before, m.log.hash = hashOf(before), hashOf(hash)
	return m, err
}

// open takes up the channel. A control log is repaired before it can be applied,
// and what was derived from it stays.
func (m *mender) open() error {
	number, err := m.channelRow(m.f.Channel)
	if err != nil {
		return err
	}
	if m.f.Log == threads.ControlLog {
		m.c = threads.NewChannel(m.f.Channel)
		m.ch = &touched{id: number, channel: m.c}
		return nil
	}
	c, err := m.Channel(m.f.Channel)
	if err == nil && c == nil {
		err = errors.New("the channel is gone")
	}
	if err != nil {
		return err
	}
	last, err := m.Last()
	if err == nil {
		m.c = c.Clone()
		m.ch, err = m.touch(m.c, last)
	}
	return err
}

func (m *mender) mend(from []*threads.Event) (bool, error) {
	switch m.f.Kind {
	case FaultMark:
		return m.mark()
	case FaultHead:
		return m.head()
	case FaultContent:
		return m.content(from)
	}
	return m.run(from)
}

// at is the row at a place of the log, its header decoded where it can be; nil
// where there is none.
func (m *mender) rowAt(seq int64) (*stored, error) {
	row := &stored{log: m.log.number, event: &threads.Event{}}
	e := row.event
	found, err := m.row([]any{&row.pos, &row.flags, &e.HeaderBytes, &e.Sig, &e.Content},
		"select pos, flags, header, sig, content from event where log = ? and seq = ?", m.log.number, seq)
	if !found || err != nil {
		return nil, err
	}
	if complete(e) != nil {
		e.ID = ""
	}
	return row, nil
}

// mark makes what stands beside an event follow from its bytes.
func (m *mender) mark() (bool, error) {
	row, err := m.rowAt(m.f.Seq)
	if err != nil || row == nil || row.event.ID == "" {
		return false, err
	}
	if err := m.exec("update event set hash8 = ? where pos = ?", hash8(raw(row.event.ID)), row.pos); err != nil {
		return false, err
	}
	switch void := m.c.Void(&row.event.Header); {
	case void == (row.flags&eventVoid != 0):
		return true, nil
	case void:
		err = m.judge(m.ch, row)
	default:
		row.flags &^= eventVoid
		if err = m.setEvent(row); err == nil {
			err = m.again(row.pos, row.event)
		}
	}
	if err == nil {
		err = m.settleAll(m.ch)
	}
	return err == nil, err
}

// head makes a log's row name the newest event that is there.
func (m *mender) head() (bool, error) {
	row, err := m.rowAt(m.f.Seq - 1)
	if err != nil || row == nil || row.event.ID == "" {
		return false, err
	}
	h := &row.event.Header
	control := h.Control.Number
	if m.f.Log == threads.ControlLog {
		control = h.Seq
	}
	return true, m.exec("update log set seq = ?, hash = ?, time = ?, control = ? where id = ?",
		h.Seq, raw(row.event.ID), int64(h.Time), control, m.log.number)
}

// content takes the content that the header names.
func (m *mender) content(from []*threads.Event) (bool, error) {
	row, err := m.rowAt(m.f.Seq)
	if err != nil || row == nil || row.event.ID == "" {
		return false, err
	}
	for _, e := range from {
		if e.ID == row.event.ID && e.Content != nil {
			row.event.Content = e.Content
			return true, m.setEvent(row)
		}
	}
	return false, nil
}

// run puts events into their places, if it joins what is held above
// it, and nothing else.
func (m *mender) run(from []*threads.Event) (bool, error) {
	prev := m.log.before
	if m.f.Seq > m.log.from {
		below, err := m.rowAt(m.f.Seq - 1)
		if err != nil || below == nil || below.event.ID == "" {
			return false, err
		}
		prev = below.event.ID
	}
	for i, e := range from {
		if e.Channel() != m.c.ID || e.Header.LogID() != m.f.Log || e.Header.Seq != m.f.Seq+int64(i) || e.Header.Prev != prev || !m.signed(e) {
			return false, nil
		}
		prev = e.ID
		joins, err := m.joins(e)
		if err != nil {
			return false, err
		}
		if joins {
			return true, m.replace(from[:i+1])
		}
	}
	return false, nil
}

// signed reports whether an event bears the signature of its origin. The host's
// own events are part of what the chain above them names.
func (m *mender) signed(e *threads.Event) bool {
	if m.f.Log == threads.ControlLog {
		return true // the chain above it is all that vouches for it: see joins
	}
	h := &e.Header
	key, known := m.c.KeyAt(h.Origin, h.Key, h.Control.Number)
	return known && m.c.HashAt(h.Control.Number) == h.Control.Hash && threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig)
}

// joins reports whether what is held names the event: the one above it, if its
// bytes are sound, or the head of the log.
func (m *mender) joins(e *threads.Event) (bool, error) {
	if e.Header.Seq == m.log.last {
		return e.ID == m.log.hash, nil
	}
	above, err := m.rowAt(e.Header.Seq + 1)
	if err != nil || above == nil || above.event.ID == "" || above.event.Header.LogID() != m.f.Log || above.event.Header.Seq != e.Header.Seq+1 {
		return false, err
	}
	return above.event.Header.Prev == e.ID && m.signed(above.event), nil
}

func (m *mender) replace(run []*threads.Event) error {
	for _, e := range run {
		row, err := m.rowAt(e.Header.Seq)
		switch {
		case err != nil:
		case row == nil:
			err = m.putBack(e)
		default:
			err = m.overwrite(row, e)
		}
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Header.Seq, err)
		}
	}
	return m.settleAll(m.ch)
}

// overwrite gives a row its bytes again. A content that was dropped stays away,
// and one that is held and sound stays.
func (m *mender) overwrite(row *stored, e *threads.Event) error {
	content := e.Content
	if row.event.Content != nil && threads.HashOf(row.event.Content) == e.Header.Content {
		content = row.event.Content
	}
	if row.flags != 0 && row.event.Content == nil {
		content = nil
	}
	return m.exec("update event set header = ?, sig = ?, content = ?, hash8 = ? where pos = ?",
		e.HeaderBytes, e.Sig, content, hash8(raw(e.ID)), row.pos)
}

// putBack inserts an event whose row is gone where it stood, if what was derived
// from it still tells, else at the next free position.
func (m *mender) putBack(e *threads.Event) error {
	pos, derived, err := m.placeOf(e)
	if err != nil {
		return err
	}
	content, flags := e.Content, int64(0)
	if m.f.Log != threads.ControlLog && m.c.Void(&e.Header) {
		flags = eventVoid
		if e.Header.Origin != m.store.server {
			content = nil
		}
	}
	m.events.add(pos, m.log.number, e.Header.Seq, hash8(raw(e.ID)), flags, m.at.UnixMilli(), e.HeaderBytes, e.Sig, content)
	if err := m.flush(); err != nil {
		return err
	}
	if m.f.Log == threads.ControlLog {
		return nil
	}
	if derived || flags != 0 {
		m.ch.dirty[e.ID] = true
		return nil
	}
	return m.again(pos, e)
}

// again takes up anew what an event does.
func (m *mender) again(pos int64, e *threads.Event) error {
	if err := m.dropWrites(m.ch, pos); err != nil {
		return err
	}
	if err := m.exec("delete from erasure where pos = ?", pos); err != nil {
		return err
	}
	m.ch.dirty[e.ID] = true
	return m.refer(m.ch, pos, e, threads.EffectsOf(e))
}

// placeOf is where an event stood in the journal, and whether what it did is
// there still; else the place after the
// event before it, or the end, where that is free.
func (m *mender) placeOf(e *threads.Event) (pos int64, derived bool, err error) {
	const orphaned = " and not exists (select 1 from event where event.pos = x.pos) limit 1"
	for query, args := range map[string][]any{
		`select x.pos from message x join thread t on t.id = x.thread join person p on p.id = x.author
			where t.channel = ? and x.sort = ? and p.uri = ?`: {m.ch.id, int64(e.Header.Time), e.Header.Actor},
		"select x.pos from thread x where channel = ? and hash = ?":   {m.ch.id, raw(e.ID)},
		"select x.pos from write x where channel = ? and stamp = ?":   {m.ch.id, threads.Stamp(e)},
		"select x.pos from erasure x where channel = ? and stamp = ?": {m.ch.id, threads.Stamp(e)},
	} {
		var at sql.NullInt64
		if _, err = m.row([]any{&at}, query+orphaned, args...); err != nil {
			return 0, false, err
		}
		if at.Valid {
			return at.Int64, true, nil
		}
	}
	free, err := m.row([]any{&pos}, `select e.pos + 1 from event e where e.log = ? and e.seq = ?
		and not exists (select 1 from event o where o.pos = e.pos + 1)
		and not exists (select 1 from arrival a where a.pos = e.pos + 1)
		and not exists (select 1 from evidence v where v.pos = e.pos + 1)`, m.log.number, e.Header.Seq-1)
	if free || err != nil {
		return pos, false, err
	}
	last, err := m.Last()
	return last + 1, false, err
}

// keep keeps the bytes of a damaged event before they are taken away.
func (m *mender) keep(row *stored, seq int64) error {
	if row == nil {
		row = &stored{event: &threads.Event{}}
	}
	e := row.event
	return m.exec(`insert into damage (log, seq, found, what, header, sig, content) values (?, ?, ?, ?, ?, ?, ?)
		on conflict do nothing`, m.log.number, seq, m.at.UnixMilli(), m.f.What, e.HeaderBytes, e.Sig, e.Content)
}

// note writes down what became of the fault.
func (m *mender) note(mended bool) (found bool, err error) {
	var one int
	place := []any{m.log.number, m.f.Seq}
	known, err := m.row([]any{&one}, "select 1 from damage where log = ? and seq = ?", place...)
	if err != nil {
		return false, err
	}
	if mended {
		m.record(threads.ByServer, threads.AuditRepair, m.f.Channel, m.f.String())
		return !known, m.exec("delete from damage where log = ? and seq = ?", place...)
	}
	row, err := m.rowAt(m.f.Seq)
	if err == nil {
		err = m.keep(row, m.f.Seq)
	}
	if err == nil && m.f.Kind == FaultContent && m.f.Log != threads.ControlLog { // which cannot be read without
		row.event.Content = nil
		err = m.setEvent(row)
	}
	if !known {
		m.record(threads.ByServer, threads.AuditDamage, m.f.Channel, m.f.String())
	}
	return !known, err
}

// Damaged is how many events are known to be damaged and not repaired.
func (s *Store) Damaged(ctx context.Context) (int64, error) {
	var n int64
	// A content that was taken away is repaired once it has come from a member.
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `delete from damage where exists (select 1 from event e
			where e.log = damage.log and e.seq = damage.seq and e.content is not null and damage.header = e.header
			and damage.content <> e.content)`)
		if err == nil {
			err = tx.GetContext(ctx, &n, "select count(*) from damage")
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count what is damaged: %w", err)
	}
	return n, nil
}

// SaveScrub writes down how far a walk has come that began at the instant.
func (s *Store) SaveScrub(ctx context.Context, x *Scrubber, began time.Time) error {
	var channel []byte
	if x.inside {
		channel = x.channel
	}
	return s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`insert into scrub (id, began, channel, log, seq) values (1, ?, ?, ?, ?)
			on conflict (id) do update set began = excluded.began, channel = excluded.channel, log = excluded.log, seq = excluded.seq`),
			millis(began), channel, x.log, x.seq)
		return err
	})
}

// ResumeScrub goes on with the walk that was saved last, or begins one; began is
// zero then.
func (s *Store) ResumeScrub(ctx context.Context) (x *Scrubber, began time.Time, err error) {
	var row struct {
		Began, Log, Seq int64
		Channel         []byte
	}
	err = s.readers.GetContext(ctx, &row, "select began, channel, log, seq from scrub where id = 1")
	if errors.Is(err, sql.ErrNoRows) {
		return s.Scrubber(), time.Time{}, nil
	}
	if err != nil {
		return nil, began, fmt.Errorf("read how far the walk through the logs has come: %w", err)
	}
	x = &Scrubber{s: s, channel: row.Channel, inside: len(row.Channel) > 0, log: row.Log, seq: row.Seq, loose: true}
	return x, instant(row.Began), nil
}
