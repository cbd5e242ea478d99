package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"

	"github.com/hdevalence/ed25519consensus"
	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Fault is the first bad place of a log.
type Fault struct {
	Channel threads.Hash
	Log     threads.LogID // threads.ControlLog for the control log
	Seq     int64
	What    string
}

func (f Fault) String() string {
	log := "control log"
	if f.Log != threads.ControlLog {
		log = fmt.Sprintf("log of %s, epoch %d", f.Log.Origin, f.Log.Epoch)
	}
	return fmt.Sprintf("channel %s, %s, event %d: %s", f.Channel, log, f.Seq, f.What)
}

// fault is what is wrong with the event at seq.
type fault struct {
	seq  int64
	what string
}

func (f *fault) Error() string { return f.what }

// verifyPage is how many events are checked together.
const verifyPage = 500

// Verify walks every log: hashes, chains, signatures, the digests of the
// contents that are held, and whether each event that is marked void is so by
// the rules. It reports the first bad place of each log and returns how many
// events it looked at. An error means that the database could not be read.
func (s *Store) Verify(ctx context.Context, report func(Fault)) (int64, error) {
	var total int64
	err := s.view(ctx, func(q *sqlx.Tx) error {
		for after := []byte{}; ; {
			var id []byte
			err := q.GetContext(ctx, &id, s.bind("select hash from channel where hash > ? order by hash limit 1"), after)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			v := verifier{ctx: ctx, s: s, q: q, c: threads.NewChannel(hashOf(id)), report: report}
			if err := v.channel(); err != nil {
				return fmt.Errorf("channel %s: %w", hashOf(id), err)
			}
			total, after = total+v.events, id
		}
	})
	if err != nil {
		return total, fmt.Errorf("verify: %w", err)
	}
	return total, nil
}

// verifier checks one channel.
type verifier struct {
	ctx    context.Context
	s      *Store
	q      *sqlx.Tx
	c      *threads.Channel
	report func(Fault)
	events int64
}

// logRow is a log as its row states it.
type logRow struct {
	number     int64
	id         threads.LogID
	from, last int64
	before     threads.Hash
	hash       threads.Hash
}

func (v *verifier) channel() error {
	var logs []logRow
	err := eachOf(v.ctx, v.q, func(rows *sql.Rows) error {
		var l logRow
		var before, hash []byte
		err := rows.Scan(&l.number, &l.id.Origin, &l.id.Epoch, &l.from, &before, &l.last, &hash)
		l.before, l.hash = hashOf(before), hashOf(hash)
		logs = append(logs, l)
		return err
	}, v.s.bind(`select l.id, coalesce(s.name, ''), epoch, from_seq, before, seq, l.hash
		from log l left join server s on s.id = l.origin
		where channel = (select id from channel where hash = ?) order by origin, epoch`), raw(v.c.ID))
	if err != nil {
		return err
	}
	for _, l := range logs { // the control log first: the others are judged by it
		check := v.data
		if l.id == threads.ControlLog {
			check = v.control
		}
		err := v.walk(l, check)
		var bad *fault
		if errors.As(err, &bad) {
			v.report(Fault{v.c.ID, l.id, bad.seq, bad.what})
		} else if err != nil {
			return err
		}
	}
	return nil
}

// walk checks the chain of a log, page by page, and each page by check.
func (v *verifier) walk(l logRow, check func(page []*stored) error) error {
	prev := &threads.Header{Seq: l.from - 1}
	prevID := l.before
	for {
		page, err := v.page(l, prev.Seq)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			if prev.Seq != l.last || prevID != l.hash {
				return &fault{prev.Seq + 1, fmt.Sprintf("the log should go on to event %d, %s", l.last, l.hash)}
			}
			return nil
		}
		for i, row := range page {
			if what := v.link(l, prev, prevID, row); what != "" {
				return errors.Join(check(page[:i]), &fault{prev.Seq + 1, what})
			}
			prev, prevID = &row.event.Header, row.event.ID
		}
		if err := check(page); err != nil {
			return err
		}
		v.events += int64(len(page))
	}
}

func (v *verifier) page(l logRow, after int64) ([]*stored, error) {
	var page []*stored
	err := eachOf(v.ctx, v.q, func(rows *sql.Rows) error {
		row := &stored{event: &threads.Event{}}
		var seq, prefix int64
		e := row.event
		if err := rows.Scan(&e.HeaderBytes, &e.Sig, &e.Content, &row.flags, &seq, &prefix); err != nil {
			return err
		}
		if err := complete(e); err != nil {
			return &fault{seq, err.Error()}
		}
		if seq != e.Header.Seq || prefix != hash8(raw(e.ID)) {
			return &fault{seq, "the row's place or prefix is not that of its header"}
		}
		page = append(page, row)
		return nil
	}, v.s.bind("select header, sig, content, flags, seq, hash8 from event where log = ? and seq > ? order by seq limit ?"),
		l.number, after, verifyPage)
	return page, err
}

// link says what is wrong with how an event follows the one before, "" when
// nothing is.
func (v *verifier) link(l logRow, prev *threads.Header, prevID threads.Hash, row *stored) string {
	h := &row.event.Header
	switch {
	case row.event.Channel() != v.c.ID || h.LogID() != l.id:
		return "the event is of another log"
	case h.Seq != prev.Seq+1:
		return fmt.Sprintf("the event is missing: the next is %d", h.Seq)
	case h.Prev != prevID:
		return "the event does not name the one before it"
	case h.Time <= prev.Time:
		return "the time is not greater than that of the event before"
	case h.Control.Number < prev.Control.Number:
		return "the control number is less than that of the event before"
	case row.event.Content != nil && threads.HashOf(row.event.Content) != h.Content:
		return "the content does not have the digest that the header names"
	}
	return ""
}

// control checks control events and applies them.
func (v *verifier) control(page []*stored) error {
	for _, row := range page {
		err := v.c.CheckControl(row.event)
		if err == nil {
			err = v.c.ApplyControl(row.event)
		}
		if err != nil {
			return &fault{row.event.Header.Seq, err.Error()}
		}
	}
	return nil
}

// data checks the signatures and the validity of data events.
func (v *verifier) data(page []*stored) error {
	batch := ed25519consensus.NewBatchVerifier()
	keys := make([]ed25519.PublicKey, len(page))
	for i, row := range page {
		h := &row.event.Header
		key, known := v.c.KeyAt(h.Origin, h.Key, h.Control.Number)
		switch {
		case v.c.HashAt(h.Control.Number) != h.Control.Hash:
			return &fault{h.Seq, "the event names a control event of another branch"}
		case !known:
			return &fault{h.Seq, "the key is not one that the channel knows for the server"}
		case (row.flags&eventVoid != 0) != v.c.Void(h):
			return &fault{h.Seq, "the event is marked void, or not, against the rules"}
		}
		keys[i] = key
		batch.Add(key, row.event.Sig, threads.SigningBytes(row.event.HeaderBytes))
	}
	if len(page) == 0 || batch.Verify() {
		return nil
	}
	for i, row := range page {
		if !threads.Verify(keys[i], threads.SigningBytes(row.event.HeaderBytes), row.event.Sig) {
			return &fault{row.event.Header.Seq, "the signature is not the server's"}
		}
	}
	return nil
}
