package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"meridian/threads"
)

// Ingest takes in what a partner sent: of each log the good prefix, applied in
// causal order; what cannot be applied yet waits. It answers after all that it
// accepted is durable. Errors are of kind Unavailable: then nothing is known to
// be stored and the partner sends again.
func (j *Journal) Ingest(ctx context.Context, in threads.Batch) (threads.Answer, error) {
	keys := j.verify(ctx, in.Events)
	var answer threads.Answer
	err := j.write(ctx, func(b *batch) error {
		run := &intake{batch: b, in: in, keys: keys, channels: map[threads.Hash]*reach{}}
		for _, id := range in.About {
			if _, err := run.reach(id); err != nil {
				return err
			}
		}
		if err := run.all(); err != nil {
			return err
		}
		answer = run.answer()
		return nil
	})
	return answer, err
}

// Settle tries again what waits in every channel: for its time to come, or for
// a dependency that nobody supplied for metAfter.
func (j *Journal) Settle(ctx context.Context, now time.Time, metAfter time.Duration) error {
	return j.write(ctx, func(b *batch) error {
		run := &intake{batch: b, in: threads.Batch{Now: now, MetAfter: metAfter}, channels: map[threads.Hash]*reach{}}
		for _, id := range slices.Sorted(maps.Keys(j.room.channels)) {
			if _, err := run.reach(id); err != nil {
				return err
			}
		}
		return run.settle()
	})
}

// intake is one batch on its way in.
type intake struct {
	*batch
	in       threads.Batch
	keys     verified
	channels map[threads.Hash]*reach
	reached  []threads.Hash // channels, in the order of the batch
}

// reach is what the batch does to one channel.
type reach struct {
	c      *threads.Channel // this intake's own copy; nil when unknown
	answer threads.ChannelAnswer
	ended  map[threads.LogID]bool // logs of which no more is taken in this exchange
	taken  []*threads.Event
	refill []*threads.Event // held already: their contents may have been missing
	forked []threads.LogID  // of which a fork showed
	guards map[threads.LogID]guard
}

func (run *intake) all() error {
	for i, e := range run.in.Events {
		if err := run.one(i, e); err != nil {
			return err
		}
	}
	for _, f := range run.in.Forks {
		if err := run.proven(f); err != nil {
			return err
		}
	}
	if err := run.settle(); err != nil {
		return err
	}
	return run.fill()
}

func (run *intake) reach(id threads.Hash) (*reach, error) {
	if r := run.channels[id]; r != nil {
		return r, nil
	}
	c, err := run.channel(id)
	if err != nil {
		return nil, err
	}
	if c == nil {
		expected, err := run.tx.Expected(id)
		if err != nil {
			return nil, fmt.Errorf("look up invitation to %s: %w", id, err)
		}
		if expected {
			c = threads.NewChannel(id)
			if run.in.Relearned[id] {
				c.ControlDoubt = threads.Doubtful
			}
		}
	}
	r := &reach{ended: map[threads.LogID]bool{}}
	if c != nil {
		r.c = c.Clone()
	}
	run.channels[id] = r
	run.reached = append(run.reached, id)
	return r, nil
}

func (run *intake) one(i int, e *threads.Event) error {
	r, err := run.reach(e.Channel())
	if err != nil || r.ended[e.Header.LogID()] {
		return err
	}
	refused := run.admit(r, e)
	if refused == nil {
		refused, err = run.place(r, e)
	}
	if err != nil {
		return err
	}
	if refused != nil {
		refused.Ref, refused.Index = e.Header.Ref(), i
		r.answer.Refused = append(r.answer.Refused, *refused)
		r.ended[e.Header.LogID()] = true
	}
	return nil
}

// admit says whether this partner may bring this event at all.
func (run *intake) admit(r *reach, e *threads.Event) *threads.Refusal {
	switch {
	case r.c == nil:
		return &threads.Refusal{Code: threads.RefusedUnknownChannel, Detail: threads.NotInChannel}
	case e.Header.Log == threads.LogControl:
		return nil // it bears the host's signature, whoever brings it
	case r.c.Control.Seq == 0 || !r.c.IsMember(run.server()):
		return &threads.Refusal{Code: threads.RefusedNotMember, Detail: "this server is not in that channel"}
	case !r.c.IsMember(run.in.From):
		return &threads.Refusal{Code: threads.RefusedNotMember, Detail: "the sender is no member of the channel as far as this server knows"}
	}
	return nil
}

func (run *intake) server() string { return run.j.server }

func (run *intake) place(r *reach, e *threads.Event) (*threads.Refusal, error) {
	switch {
	case e.Header.Log == threads.LogControl:
		return run.placeControl(r, e)
	case run.in.Below:
		return run.placeBelow(r, e)
	}
	placement, want, refused := run.fits(r, e, run.in.Now)
	switch placement {
	case threads.Misfits:
		run.stray(r, e, refused)
		return refused, nil
	case threads.Held:
		return run.compare(r, e)
	}
	if want.LogID == threads.ControlLog && want.Seq > 0 {
		// Its key may not be known yet, so it is not kept: the sender comes
		// again once this server has the control event.
		r.answer.Waiting = append(r.answer.Waiting, threads.Waiting{LogID: e.Header.LogID(), Seq: e.Header.Seq - 1, For: want})
		r.ended[e.Header.LogID()] = true
		return nil, nil
	}
	if ok, code := run.keys.signed(r.c, e); !ok {
		return &threads.Refusal{Code: code, Detail: "the event does not bear its origin's signature"}, nil
	}
	if placement == threads.Fits {
		run.advance(r, e)
		return nil, nil
	}
	if old := run.j.room.channels[r.c.ID][e.Header.LogID()][e.Header.Seq]; old != nil && old.event.ID != e.ID {
		if f, ok := threads.NewFork(old.event, e); ok && r.c.CheckFork(f) {
			run.learn(r, f)
			return otherHeld(), nil
		}
	}
	if !run.j.room.hold(&held{event: e, from: run.in.From, since: run.in.Now, want: want}) {
		return &threads.Refusal{Code: threads.RefusedRetryLater, Detail: "too much of this origin waits already"}, nil
	}
	return nil, nil
}

func (run *intake) placeControl(r *reach, e *threads.Event) (*threads.Refusal, error) {
	switch {
	case e.Header.Seq <= r.c.Control.Seq:
		if r.c.HashAt(e.Header.Seq) != e.ID {
			return run.fork(r, e)
		}
		return nil, nil
	case r.c.Split() && e.Header.Seq >= r.c.ForkOf(threads.ControlLog).Seq:
		return &threads.Refusal{Code: threads.RefusedFork, Detail: "the host has shown two histories here; nothing more of either is applied"}, nil
	case e.Header.Seq > r.c.Control.Seq+1:
		want := threads.Want{LogID: threads.ControlLog, Seq: r.c.Control.Seq + 1}
		r.answer.Waiting = append(r.answer.Waiting, threads.Waiting{LogID: threads.ControlLog, Seq: r.c.Control.Seq, For: want})
		r.ended[threads.ControlLog] = true
		return nil, nil
	}
	if e.Header.Time.Wall().After(run.in.Now.Add(threads.MaxAhead)) {
		return &threads.Refusal{Code: threads.RefusedTime, Detail: "lies ahead of this server's clock; send it again later"}, nil
	}
	err := r.c.CheckControl(e)
	if err == nil {
		err = r.c.ApplyControl(e)
	}
	var bad *threads.DecodeError
	if errors.As(err, &bad) {
		return &threads.Refusal{Code: bad.Code, Detail: bad.Error()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("apply control event: %w", err)
	}
	if self := run.server(); r.c.Admission(self) == e.Header.Seq {
		r.c.StartLogs(self)
	}
	run.returned(r, e)
	r.taken = append(r.taken, e)
	return nil, nil
}

// advance applies a data event that Place and its signature let pass.
func (run *intake) advance(r *reach, e *threads.Event) {
	r.c.Advance(e)
	run.returned(r, e)
	r.taken = append(r.taken, e)
}

// returned takes note of an event of this server's own that somebody else brings.
func (run *intake) returned(r *reach, e *threads.Event) {
	if e.Header.Origin == run.server() && r.c.Returned(e) {
		run.foreign = append(run.foreign, e)
	}
}

func (run *intake) placeBelow(r *reach, e *threads.Event) (*threads.Refusal, error) {
	placement, refused := r.c.PlaceBelow(e)
	switch placement {
	case threads.Misfits:
		return refused, nil
	case threads.Held:
		return run.compare(r, e)
	}
	if ok, code := run.keys.signed(r.c, e); !ok {
		return &threads.Refusal{Code: code, Detail: "the event does not bear its origin's signature"}, nil
	}
	if r.c.Readmitted(run.server()) {
		if refused, err := run.meet(r, e); refused != nil || err != nil {
			return refused, err
		}
	}
	r.c.Extend(e)
	r.taken = append(r.taken, e)
	return nil, nil
}

// meet looks whether an event below this server's copy is held already, from
// when it was a member before: that copy ended below where this one began.
func (run *intake) meet(r *reach, e *threads.Event) (*threads.Refusal, error) {
	have, err := run.at(r, e.Header.Ref())
	if err != nil || have == nil {
		return nil, err
	}
	if have.ID != e.ID {
		return run.fork(r, e)
	}
	if run.kept == nil {
		run.kept = map[threads.Hash]bool{}
	}
	run.kept[e.ID] = true
	return nil, nil
}

// compare checks that an event at a place that is taken is the one held there.
func (run *intake) compare(r *reach, e *threads.Event) (*threads.Refusal, error) {
	log := r.c.LogOf(e.Header.LogID())
	if e.Header.Seq < log.From {
		return nil, nil
	}
	same := e.Header.Seq == log.Seq && e.ID == log.Hash
	if !same {
		have, err := run.at(r, e.Header.Ref())
		if err != nil {
			return nil, err
		}
		same = have != nil && have.ID == e.ID
	}
	if !same {
		return run.fork(r, e)
	}
	if e.Content != nil && !slices.Contains(r.taken, e) {
		r.refill = append(r.refill, e)
	}
	return nil, nil
}

// settle applies what waited and can be applied now, until nothing moves, and
// hands all of it on to be stored.
func (run *intake) settle() error {
	for _, id := range run.reached {
		r := run.channels[id]
		if r.c == nil {
			continue
		}
		run.again(id, r)
		r.answer.Taken = r.taken
		if len(r.taken)+len(r.forked) == 0 {
			continue
		}
		run.add(r.c, r.taken, run.in.Now)
		if err := run.keepForks(r); err != nil {
			return err
		}
		if err := run.contradict(r); err != nil {
			return err
		}
		if err := run.revoid(r.c, r.taken, r.bounded()...); err != nil {
			return err
		}
	}
	return nil
}

// again applies what waited and can be applied now. What an event lets go is
// looked at when that event is applied, and nothing else is, so that the worst
// order of waiting costs no more than the best.
func (run *intake) again(id threads.Hash, r *reach) {
	run.weigh(r)
	next := run.j.room.at(id)
	waiting := map[threads.Ref][]*held{}
	for len(next) > 0 {
		h := next[0]
		next = next[1:]
		placement, want, _ := run.fits(r, h.event, h.since)
		if h.want = want; placement == threads.Waits {
			ref := h.awaits()
			waiting[ref] = append(waiting[ref], h)
			continue
		}
		run.j.room.drop(h)
		if placement != threads.Fits {
			continue
		}
		if ok, _ := run.keys.signed(r.c, h.event); !ok {
			continue
		}
		run.advance(r, h.event)
		at := h.event.Header.Ref()
		next = append(next, waiting[at]...)
		delete(waiting, at)
	}
}

func (run *intake) fill() error {
	for _, id := range run.reached {
		r := run.channels[id]
		if len(r.refill) == 0 {
			continue
		}
		if err := run.flushChannel(r.c.ID); err != nil {
			return err
		}
		last, err := run.tx.Fill(r.c, run.last, r.refill)
		if err != nil {
			return fmt.Errorf("fill contents: %w", err)
		}
		run.filled = run.filled || last > run.last
		run.last = last
	}
	return nil
}

func (run *intake) answer() threads.Answer {
	a := threads.Answer{Channels: map[threads.Hash]*threads.ChannelAnswer{}}
	for id, r := range run.channels {
		if r.c != nil {
			r.answer.Control, r.answer.Frontier = r.c.Control, r.c.Frontier()
			r.answer.Waiting = append(r.answer.Waiting, run.j.room.waiting(id)...)
		}
		a.Channels[id] = &r.answer
	}
	return a
}
