package federation

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"meridian/threads"
)

// maxBatches is how many batches one step pushes at most, so that other work of the courier gets
// its turn.
const maxBatches = 64

// frameRoom is how many bytes of frames a batch takes; the first line comes on top.
const frameRoom = MaxBody - 512<<10

// queue is the courier's place in the journal.
type queue struct {
	cursor  int64           // everything up to here was offered, or has a lane
	entries []threads.Entry // read beyond the cursor
	through int64           // up to where they are all of this server's own
	full    bool            // there may be more beyond through
	failed  error           // of reading ahead
}

// batch is one push.
type batch struct {
	frames []byte
	sent   []sent
	lanes  []*lane // that it is of; none for a batch from the journal
	cursor int64   // where the queue's cursor goes when it was taken
	taken  int     // entries of the queue that it is made of
	erases bool    // some of it erases something
}

// sent is one frame of a batch.
type sent struct {
	channel threads.Hash
	ref     threads.Ref
	time    threads.Time
	message threads.Hash // where it is one
	author  string       // of the message
}

func (b *batch) add(e *threads.Event) bool {
	if len(b.sent) == MaxFrames || len(b.frames)+frameSize(e) > frameRoom {
		return false
	}
	b.frames = AppendFrame(b.frames, e)
	b.erases = b.erases || e.Header.Erasing()
	b.sent = append(b.sent, sentOf(e))
	return true
}

func sentOf(e *threads.Event) sent {
	s := sent{channel: e.Channel(), ref: e.Header.Ref(), time: e.Header.Time}
	if e.Header.Type == threads.TypeMessagePosted {
		s.message, s.author = e.ID, e.Header.Actor
	}
	return s
}

// frameSize is how many bytes the frame of an event takes, or a few more.
func frameSize(e *threads.Event) int { return len(e.HeaderBytes) + len(e.Content) + 128 }

// channels are those of the batch, in the order of their first frames.
func (b *batch) channels() []threads.Hash {
	var ids []threads.Hash
	seen := map[threads.Hash]bool{}
	for _, s := range b.sent {
		if !seen[s.channel] {
			seen[s.channel] = true
			ids = append(ids, s.channel)
		}
	}
	return ids
}

// A server is pushed to this often a second in the long run, which is well below what it allows, and
// this many times at once. Beyond it batches grow.
const (
	pushRate  = 100
	pushBurst = 200
)

// pace is zero when there may be a push now, else the time for which it has to wait.
func (c *Courier) pace(now time.Time) time.Time {
	if now.Before(c.pushAt) {
		return c.pushAt
	}
	r := c.pushes.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return time.Time{}
	}
	r.CancelAt(now)
	return now.Add(wait)
}

// deliver pushes batch after batch until nothing is left, and says when a lane is due again.
func (c *Courier) deliver(ctx context.Context, now time.Time) (time.Time, error) {
	for range maxBatches {
		b, err := c.nextBatch(ctx, now)
		if err != nil {
			return now, err
		}
		if b == nil {
			return c.nextLane(), nil
		}
		if c.apart {
			c.apart = false
			if err := c.takeApart(ctx, b, now); err != nil {
				return now, err
			}
			continue
		}
		if at := c.pace(c.x.Clock()); !at.IsZero() {
			return at, nil // what gathers meanwhile goes with it
		}
		a, err := c.x.acquaintance(ctx, c.name) // an administrator may have blocked it since the step began
		if err != nil {
			return now, err
		}
		if code, _ := a.refused(); code != "" {
			return now.Add(lookEvery), nil
		}
		if err := c.push(ctx, b, now); err != nil {
			return now, err
		}
	}
	return now, nil
}

func (c *Courier) nextLane() time.Time {
	var next time.Time
	for _, l := range c.lanes {
		next = earliest(next, l.retryAt)
	}
	return next
}

// nextBatch is the next push, nil when there is none now.
func (c *Courier) nextBatch(ctx context.Context, now time.Time) (*batch, error) {
	if b, err := c.laneBatch(ctx, now); b != nil || err != nil {
		return b, err
	}
	for {
		if len(c.queue.entries) == 0 && (c.queue.full || c.queue.through <= c.queue.cursor) {
			if err := c.queue.read(ctx, c.x.Logs); err != nil {
				return nil, err
			}
		}
		b, err := c.queueBatch(ctx)
		if err != nil || len(b.sent) > 0 {
			return b, err
		}
		c.advance(b) // there was nothing for this server in it
		if len(c.queue.entries) > 0 {
			return nil, nil // the next commit says more
		}
		if !c.queue.full {
			c.queue.through = c.queue.cursor
			clear(c.acked)
			return nil, nil
		}
	}
}

// laneBatch is the next push of the lanes that are due; those with nothing left are closed.
func (c *Courier) laneBatch(ctx context.Context, now time.Time) (*batch, error) {
	for due := c.due(now); len(due) > 0; due = c.due(now) {
		b := &batch{}
		for _, l := range due {
			events, err := c.lacking(ctx, l, MaxFrames-len(b.sent))
			if err != nil {
				return nil, err
			}
			if len(events) == 0 && len(b.sent) < MaxFrames {
				c.close(l)
				continue
			}
			b.lanes = append(b.lanes, l)
			for _, e := range events {
				if !b.add(e) {
					return b, nil
				}
			}
		}
		if len(b.sent) > 0 {
			return b, nil
		}
	}
	return nil, nil
}

// read reads on from where the entries at hand end.
func (q *queue) read(ctx context.Context, logs Logs) error {
	from := max(q.through, q.cursor)
	entries, through, err := logs.OwnEvents(ctx, from, MaxFrames)
	if err != nil {
		return fmt.Errorf("read own events from %d: %w", from, err)
	}
	q.entries = append(q.entries, entries...)
	q.through, q.full = max(through, from), len(entries) == MaxFrames
	return nil
}

// queueBatch takes from the queue's entries what the server may see, as far as the committed state of
// their channels tells.
func (c *Courier) queueBatch(ctx context.Context) (*batch, error) {
	b := &batch{}
	for _, e := range c.queue.entries {
		v, err := c.visibility(ctx, e.Event)
		if err != nil {
			return nil, err
		}
		if v == undecided || v == visible && !b.add(e.Event) {
			return b, nil
		}
		if e.Event.Header.Seq <= c.acked[e.Event.Channel()][e.Event.Header.LogID()] {
			c.delivered(e.Event)
		}
		b.taken++
		b.cursor = e.Pos
	}
	b.cursor = max(b.cursor, c.queue.through)
	return b, nil
}

// visibility says whether an event of the journal goes to the server by way of the queue.
type visibility int

const (
	hidden visibility = iota
	visible
	undecided // stored, but its channel's state is not published yet: a moment later it is
)

func (c *Courier) visibility(ctx context.Context, e *threads.Event) (visibility, error) {
	id, log := e.Channel(), e.Header.LogID()
	ch, err := c.x.Journal.Channel(ctx, id)
	switch {
	case err != nil:
		return hidden, fmt.Errorf("load channel %s: %w", id, err)
	case ch == nil || e.Header.Seq > head(ch, log) && !closed(ch, log):
		return undecided, nil
	case c.lanes[id] != nil:
		return hidden, nil
	case log == threads.ControlLog:
		return shownIf(e.Header.Seq <= c.visibleControl(ch)), nil
	}
	after := max(ch.Start(c.name)[log].Seq, c.acked[id][log])
	return shownIf(c.mayPush(ch) && e.Header.Seq > after && e.Header.Seq <= head(ch, log)), nil
}

// head is the seq up to which a log is applied here.
func head(ch *threads.Channel, log threads.LogID) int64 {
	if log == threads.ControlLog {
		return ch.Control.Seq
	}
	return ch.LogOf(log).Seq
}

// closed reports whether the log has to end somewhere.
func closed(ch *threads.Channel, log threads.LogID) bool {
	_, ended := ch.Bound(log)
	return ended && log != threads.ControlLog
}

func shownIf(ok bool) visibility {
	if ok {
		return visible
	}
	return hidden
}

// advance moves the cursor over a batch from the queue.
func (c *Courier) advance(b *batch) {
	c.queue.entries = c.queue.entries[b.taken:]
	c.queue.cursor = max(c.queue.cursor, b.cursor)
	c.dirty = true
}

// push sends a batch while the next entries are read, and takes up the answer. The cursor moves on
// the server's word alone.
func (c *Courier) push(ctx context.Context, b *batch, now time.Time) error {
	body, err := c.pushBody(ctx, b)
	if err != nil {
		return err
	}
	c.setBusy(b.channels())
	defer c.setBusy(nil)
	ahead := make(chan queue, 1)
	reads := len(b.lanes) == 0 && c.queue.full && len(c.queue.entries) == b.taken
	if reads {
		next := queue{through: c.queue.through, cursor: c.queue.through}
		go func() {
			next.failed = next.read(ctx, c.x.Logs)
			ahead <- next
		}()
	}
	got, err := c.x.ask(ctx, c.name, pushPath, typeFrames, body)
	if reads {
		next := <-ahead
		if next.failed == nil {
			c.queue.entries, c.queue.through, c.queue.full = append(c.queue.entries, next.entries...), next.through, next.full
		}
	}
	if wait := quotaWait(err); wait > 0 {
		c.putOff(b, err, wait)
		return nil
	}
	if err != nil {
		return c.notPushed(ctx, b, err, now)
	}
	c.pushAt = time.Time{}
	var answer pushAnswer
	if err := decodeBody(got, &answer); err != nil {
		return c.notPushed(ctx, b, &Unreached{fmt.Errorf("read the answer of %s: %w", c.name, err)}, now)
	}
	c.failures, c.suspected = 0, 0
	for _, l := range b.lanes {
		l.doubts = 0
	}
	if err := c.takeAnswer(ctx, b, &answer, now); err != nil {
		return err // what the answer says of the rest is not known yet: all of it is pushed again
	}
	if len(b.lanes) == 0 {
		c.advance(b)
	}
	if b.erases {
		c.inquireAt = now
	}
	return nil
}

func (c *Courier) pushBody(ctx context.Context, b *batch) ([]byte, error) {
	var head pushHead
	for _, id := range b.channels() {
		ch, err := c.x.Journal.Channel(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("load channel %s: %w", id, err)
		}
		s := standing{Channel: id, Control: wireControl{c.visibleControl(ch), ch.HashAt(c.visibleControl(ch))}}
		if c.mayPush(ch) {
			s.Forks = forksOf(ch)
		}
		head.Channels = append(head.Channels, s)
	}
	first, err := marshal(head)
	if err != nil {
		return nil, fmt.Errorf("write a push: %w", err)
	}
	var body bytes.Buffer
	body.Grow(len(first) + 1 + len(b.frames))
	body.Write(first)
	body.WriteByte('\n')
	body.Write(b.frames)
	return body.Bytes(), nil
}

func (c *Courier) setBusy(ids []threads.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.busy)
	for _, id := range ids {
		c.busy[id] = true
	}
}

// notPushed finds out what a server refuses: a batch that it rejects, or at which it fails although it
// answers otherwise, is taken apart into its channels; one that is rejected by itself is parked, and the
// rest goes on. What was read of the queue is read again.
func (c *Courier) notPushed(ctx context.Context, b *batch, cause error, now time.Time) error {
	if !rejected(cause) && !c.convicts(b, cause, now) {
		c.queue.rewind()
		c.delayed(b, cause)
		return cause
	}
	c.suspected = 0
	if b.single() {
		c.park(b.lanes[0], now, threads.ChannelRejected, firstBytes(cause.Error(), 300), "compare the versions of both servers; `partner retry` tries again at once")
		c.judged(b, b.lanes[0].Channel, standing{})
		return nil
	}
	return c.takeApart(ctx, b, now)
}

// putOff waits with all pushes for as long as the server asks because it took as many events of this
// one as it does for now; everything else goes on with it. What is to be pushed stays in the log.
func (c *Courier) putOff(b *batch, cause error, wait time.Duration) {
	if c.pushAt.IsZero() {
		c.delayed(b, cause)
		c.x.Log.Info("partner takes no more events for now", "partner", c.name, "wait", wait)
	}
	c.pushAt = c.x.Clock().Add(wait)
	c.queue.rewind()
}

// maxDoubts is how often a push may fail, at a server that answers otherwise, until it is the push's
// doing.
const maxDoubts = 3

// convicts reports whether a batch that failed is to blame. One that took too long is taken apart
// before the next try, and a channel that fails by itself lets the others go first: so that they wait
// for one deadline at a time.
func (c *Courier) convicts(b *batch, cause error, now time.Time) bool {
	if b.single() {
		l := b.lanes[0]
		l.doubts++
		l.retryAt = c.x.Clock().Add(c.x.spread(aloneAgain)) // it may have taken long
		return l.doubts >= maxDoubts
	}
	c.apart = diagnose(c.name, cause).reason == troubleTimeout
	c.suspected++
	return c.suspected >= maxDoubts
}

// aloneAgain is when a channel that failed by itself is tried again.
const aloneAgain = 3 * time.Second

// single reports whether the batch is of one channel alone, to tell whether that is refused.
func (b *batch) single() bool { return len(b.lanes) == 1 && b.lanes[0].alone }

// takeApart has each channel of a batch pushed by itself.
func (c *Courier) takeApart(ctx context.Context, b *batch, now time.Time) error {
	for _, l := range b.lanes {
		l.alone = true
	}
	if len(b.lanes) > 0 {
		return nil
	}
	c.advance(b)
	return c.isolate(ctx, b, now)
}

// isolate opens a lane of its own for each channel of a batch, from its frames on.
func (c *Courier) isolate(ctx context.Context, b *batch, now time.Time) error {
	for _, s := range b.sent {
		ch, err := c.x.Journal.Channel(ctx, s.channel)
		if err != nil {
			return fmt.Errorf("load channel %s: %w", s.channel, err)
		}
		l := c.lane(ch, now)
		l.alone = true
		l.lower(s.ref)
	}
	return nil
}

// rewind forgets what was read beyond the cursor.
func (q *queue) rewind() { q.entries, q.through, q.full = nil, q.cursor, true }
