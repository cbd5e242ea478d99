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

// What of an event is not as it was written.
const (
	FaultEvent   = "event"   // its bytes or its place: altered or missing
	FaultContent = "content" // its content alone
	FaultMark    = "mark"    // what stands beside sound bytes
	FaultHead    = "head"    // what its log's row says of the newest event
)

// Fault is a bad place of a log.
type Fault struct {
	Channel threads.Hash
	Log     threads.LogID // threads.ControlLog for the control log
	Seq     int64
	Kind    string
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
	seq        int64
	kind, what string
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
	for walk := s.Scrubber(); ; {
		page, err := walk.Next(ctx, verifyPage)
		total += page.Events
		if err != nil {
			return total, fmt.Errorf("verify: %w", err)
		}
		if page.Fault != nil {
			report(*page.Fault)
			walk.skipLog()
		}
		if page.Ended {
			return total, nil
		}
	}
}

// Scrubber walks through every log of the database, page after page, without
// keeping a snapshot of it longer than for one. It is for one goroutine.
type Scrubber struct {
	s       *Store
	channel []byte           // the one walked through, or the last one
	inside  bool             // of it
	c       *threads.Channel // what its control log, checked, says
	log     int64            // the one walked through, or the last one; 0 for none
	seq     int64            // up to which it was checked
	loose   bool             // the event at seq is not known to be sound
	ended   bool             // log was walked to its end
}

// Scrubber is a walk that begins at the first log.
func (s *Store) Scrubber() *Scrubber { return &Scrubber{s: s} }

// Scrubbed is what a walk came across.
type Scrubbed struct {
	Events int64  // checked, and sound
	Fault  *Fault // beyond which the walk goes on; nil for none
	Ended  bool   // all was walked through; the next page is the first again
}

// Next checks at most limit events, or a control log, and stops at the first
// fault.
func (x *Scrubber) Next(ctx context.Context, limit int) (Scrubbed, error) {
	var page Scrubbed
	err := x.s.view(ctx, func(q *sqlx.Tx) error {
		v := &verifier{ctx: ctx, s: x.s, q: q, c: x.c, limit: limit}
		ended, err := x.next(v)
		page.Events, page.Ended = v.events, ended
		var bad *fault
		if errors.As(err, &bad) {
			page.Fault = &Fault{Channel: hashOf(x.channel), Log: v.log.id, Seq: bad.seq, Kind: bad.kind, What: bad.what}
			return nil
		}
		return err
	})
	if err != nil && len(x.channel) > 0 {
		err = fmt.Errorf("channel %s: %w", hashOf(x.channel), err)
	}
	return page, err
}

func (x *Scrubber) next(v *verifier) (ended bool, err error) {
	if !x.inside {
		err := v.q.GetContext(v.ctx, &x.channel, v.s.bind("select hash from channel where hash > ? order by hash limit 1"), append([]byte{}, x.channel...))
		if errors.Is(err, sql.ErrNoRows) {
			*x = Scrubber{s: x.s}
			return true, nil
		}
		if err != nil {
			return false, err
		}
		*x = Scrubber{s: x.s, channel: x.channel, inside: true}
	}
	if err := x.control(v); err != nil {
		return false, err
	}
	found, err := v.findLog(x.channel, "origin <> 0 and (l.id > ? or l.id = ? and ?)", x.log, x.log, !x.ended)
	if err != nil {
		return false, err
	}
	if !found {
		x.inside = false
		return false, nil
	}
	if v.log.number != x.log {
		x.log, x.seq, x.loose, x.ended = v.log.number, v.log.from-1, false, false
	}
	return false, x.page(v)
}

// control checks the control log as a whole, where it has not been yet or has
// grown: the other logs are judged by it.
func (x *Scrubber) control(v *verifier) error {
	found, err := v.findLog(x.channel, "origin = 0")
	if err != nil || !found || x.c != nil && x.c.Control.Seq >= v.log.last {
		v.c = x.c
		return err
	}
	again := x.c != nil
	x.c = threads.NewChannel(hashOf(x.channel))
	v.c = x.c
	at := anchor{sound: true}
	for err == nil && !at.ended {
		at, err = v.walk(at, v.control)
	}
	if again {
		v.events = 0 // they were counted before
	}
	if err != nil {
		x.inside = false // the other logs cannot be judged
	}
	return err
}

// page checks the next events of a data log.
func (x *Scrubber) page(v *verifier) error {
	at, err := v.anchorAt(x.seq, !x.loose)
	if err != nil {
		return err
	}
	at, err = v.walk(at, v.data)
	x.seq, x.loose, x.ended = at.prev.Seq, !at.sound, at.ended
	return err
}

// Fresh reports whether the next page is the first of a walk.
func (x *Scrubber) Fresh() bool { return !x.inside && len(x.channel) == 0 }

// skipLog leaves the log in which the last fault was.
func (x *Scrubber) skipLog() { x.ended = true }

// Back has the walk check again what it found faulty last.
func (x *Scrubber) Back(f *Fault) {
	if f.Log == threads.ControlLog {
		*x = Scrubber{s: x.s, channel: x.channel, inside: true}
		return
	}
	x.seq, x.loose, x.ended = f.Seq-1, false, false
}

// verifier checks events of one channel within one snapshot.
type verifier struct {
	ctx    context.Context
	s      *Store
	q      *sqlx.Tx
	c      *threads.Channel
	log    logRow
	limit  int
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

// findLog reads the row of the channel's first log of which the condition holds.
func (v *verifier) findLog(channel []byte, condition string, args ...any) (found bool, err error) {
	err = eachOf(v.ctx, v.q, func(rows *sql.Rows) error {
		var before, hash []byte
		v.log, found = logRow{}, true
		l := &v.log
		err := rows.Scan(&l.number, &l.id.Origin, &l.id.Epoch, &l.from, &before, &l.last, &hash)
		l.before, l.hash = hashOf(before), hashOf(hash)
		return err
	}, v.s.bind(`select l.id, coalesce(s.name, ''), epoch, from_seq, before, seq, l.hash
		from log l left join server s on s.id = l.origin
		where channel = (select id from channel where hash = ?) and `+condition+" order by l.id limit 1"), append([]any{channel}, args...)...)
	return found, err
}

// anchor is the event after which a walk goes on.
type anchor struct {
	prev  threads.Header
	id    threads.Hash
	sound bool // else nothing is known of it but its place
	ended bool
}

// anchorAt is the anchor at seq, which was checked before where it is sound.
func (v *verifier) anchorAt(seq int64, sound bool) (anchor, error) {
	at := anchor{prev: threads.Header{Seq: seq}, sound: sound}
	if seq < v.log.from {
		at = anchor{prev: threads.Header{Seq: v.log.from - 1}, id: v.log.before, sound: true}
		return at, nil
	}
	var header []byte
	err := v.q.GetContext(v.ctx, &header, v.s.bind("select header from event where log = ? and seq = ?"), v.log.number, seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return at, err
	}
	if h, bad := threads.DecodeHeader(header); sound && err == nil && bad == nil {
		at.prev, at.id = *h, threads.HashOf(header)
		at.prev.Seq = seq
		return at, nil
	}
	at.sound = false
	return at, nil
}

// walk checks a page after the anchor, its chain and then by check, and returns
// the anchor of the next one: beyond a fault, where there is one.
func (v *verifier) walk(at anchor, check func(page []*stored) error) (anchor, error) {
	page, broken, err := v.page(at.prev.Seq)
	if err != nil {
		return at, err
	}
	if len(page) == 0 && broken == nil {
		at.ended = true
		return at, v.end(at)
	}
	first := at
	for i, row := range page {
		if what := v.link(at, row); what != nil {
			page, broken = page[:i], what
			break
		}
		at = anchor{prev: row.event.Header, id: row.event.ID, sound: true}
	}
	var bad *fault
	if err := check(page); errors.As(err, &bad) {
		broken = bad
	} else if err != nil {
		return first, err
	}
	if broken == nil {
		v.events += int64(len(page))
		return at, nil
	}
	for _, row := range page {
		if row.event.Header.Seq < broken.seq {
			v.events++
		}
	}
	return anchor{prev: threads.Header{Seq: max(broken.seq, v.beyond(broken))}}, broken
}

// beyond is where a walk goes on after events that are missing: before the next
// one that is there.
func (v *verifier) beyond(f *fault) int64 {
	var next int64
	err := v.q.GetContext(v.ctx, &next, v.s.bind("select coalesce(min(seq), 0) from event where log = ? and seq >= ?"), v.log.number, f.seq)
	if err != nil || next == f.seq {
		return f.seq
	}
	return next - 1
}

// end checks that the log ends where its row says.
func (v *verifier) end(at anchor) error {
	switch goesOn := fmt.Sprintf("the log should go on to event %d, %s", v.log.last, v.log.hash); {
	case at.prev.Seq < v.log.last:
		return &fault{at.prev.Seq + 1, FaultEvent, goesOn}
	case at.prev.Seq > v.log.last, at.sound && at.id != v.log.hash:
		return &fault{at.prev.Seq + 1, FaultHead, goesOn}
	}
	return nil
}

// page reads events after a seq, up to the first that cannot be read.
func (v *verifier) page(after int64) (page []*stored, broken *fault, err error) {
	err = eachOf(v.ctx, v.q, func(rows *sql.Rows) error {
		row := &stored{log: v.log.number, event: &threads.Event{}}
		var seq, prefix int64
		e := row.event
		if err := rows.Scan(&e.HeaderBytes, &e.Sig, &e.Content, &row.flags, &seq, &prefix); err != nil {
			return err
		}
		err := complete(e)
		const misplaced = "the row's place or prefix is not that of its header"
		switch {
		case err != nil:
			broken = &fault{seq, FaultEvent, err.Error()}
		case seq != e.Header.Seq:
			broken = &fault{seq, FaultEvent, misplaced}
		case prefix != hash8(raw(e.ID)):
			broken = &fault{seq, v.kindOfPrefix(row), misplaced}
		default:
			page = append(page, row)
			return nil
		}
		return errEnough
	}, v.s.bind("select header, sig, content, flags, seq, hash8 from event where log = ? and seq > ? order by seq limit ?"),
		v.log.number, after, v.limit)
	return page, broken, err
}

// kindOfPrefix tells a false prefix from a header that was altered so that its
// prefix no longer fits: the origin signed the first.
func (v *verifier) kindOfPrefix(row *stored) string {
	h := &row.event.Header
	key, known := v.c.KeyAt(h.Origin, h.Key, h.Control.Number)
	if known && threads.Verify(key, threads.SigningBytes(row.event.HeaderBytes), row.event.Sig) {
		return FaultMark
	}
	return FaultEvent
}

// link says what is wrong with how an event follows the one before, nil when
// nothing is.
func (v *verifier) link(at anchor, row *stored) *fault {
	h := &row.event.Header
	if row.event.Channel() != v.c.ID || h.LogID() != v.log.id {
		return &fault{h.Seq, FaultEvent, "the event is of another log"}
	}
	if h.Seq != at.prev.Seq+1 {
		return &fault{at.prev.Seq + 1, FaultEvent, fmt.Sprintf("the event is missing: the next is %d", h.Seq)}
	}
	switch {
	case at.sound && h.Prev != at.id:
		return &fault{h.Seq, FaultEvent, "the event does not name the one before it"}
	case at.sound && h.Time <= at.prev.Time:
		return &fault{h.Seq, FaultEvent, "the time is not greater than that of the event before"}
	case at.sound && h.Control.Number < at.prev.Control.Number:
		return &fault{h.Seq, FaultEvent, "the control number is less than that of the event before"}
	case row.event.Content != nil && threads.HashOf(row.event.Content) != h.Content:
		return &fault{h.Seq, FaultContent, "the content does not have the digest that the header names"}
	}
	return nil
}

// control checks control events and applies them.
func (v *verifier) control(page []*stored) error {
	for _, row := range page {
		err := v.c.CheckControl(row.event)
		if err == nil {
			err = v.c.ApplyControl(row.event)
		}
		if err != nil {
			return &fault{row.event.Header.Seq, FaultEvent, err.Error()}
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
			return &fault{h.Seq, FaultEvent, "the event names a control event of another branch"}
		case !known:
			return &fault{h.Seq, FaultEvent, "the key is not one that the channel knows for the server"}
		case (row.flags&eventVoid != 0) != v.c.Void(h):
			return &fault{h.Seq, FaultMark, "the event is marked void, or not, against the rules"}
		}
		keys[i] = key
		batch.Add(key, row.event.Sig, threads.SigningBytes(row.event.HeaderBytes))
	}
	if len(page) == 0 || batch.Verify() {
		return nil
	}
	for i, row := range page {
		if !threads.Verify(keys[i], threads.SigningBytes(row.event.HeaderBytes), row.event.Sig) {
			return &fault{row.event.Header.Seq, FaultEvent, "the signature is not the server's"}
		}
	}
	return nil
}
