package journal

import (
	"fmt"
	"slices"
	"time"

	"meridian/threads"
)

// fork is what becomes of an event at whose place another one is held: if both
// are authentic they are the proof that their server shows two histories.
func (run *intake) fork(r *reach, e *threads.Event) (*threads.Refusal, error) {
	refused := otherHeld()
	have, err := run.at(r, e.Header.Ref())
	if err != nil || have == nil {
		return refused, err
	}
	if f, ok := threads.NewFork(have, e); ok && r.c.CheckFork(f) {
		run.learn(r, f)
	}
	return refused, nil
}

func otherHeld() *threads.Refusal {
	return &threads.Refusal{Code: threads.RefusedFork, Detail: "another event of this log stands at this place"}
}

// proven takes up a proof that a partner passes on. One that cannot be checked
// with what is known here is left: the partner offers it again.
func (run *intake) proven(f threads.Fork) error {
	r, err := run.reach(f.Channel())
	if err != nil || r.c == nil || !r.c.IsMember(run.in.From) || !r.c.IsMember(run.server()) {
		return err
	}
	if r.c.CheckFork(f) {
		run.learn(r, f)
	}
	return nil
}

func (run *intake) learn(r *reach, f threads.Fork) {
	id := f.Ref().LogID
	if r.c.TakeFork(f) {
		r.answer.Forks = append(r.answer.Forks, f)
	}
	r.forked = append(r.forked, id)
	r.ended[id] = true
}

// at is the event held at a place, nil when none is.
func (run *intake) at(r *reach, ref threads.Ref) (*threads.Event, error) {
	for _, t := range r.taken {
		if t.Header.Ref() == ref {
			return t, nil
		}
	}
	if err := run.flushChannel(r.c.ID); err != nil {
		return nil, err
	}
	e, err := run.tx.At(r.c.ID, ref)
	if err != nil {
		return nil, fmt.Errorf("look up %v: %w", ref, err)
	}
	return e, nil
}

// stray takes note that an authentic event names another one before it than the
// one held here.
func (run *intake) stray(r *reach, e *threads.Event, refused *threads.Refusal) {
	if refused.Code != threads.RefusedChain {
		return
	}
	if ok, _ := run.keys.signed(r.c, e); ok {
		r.answer.Astray = append(r.answer.Astray, e.Header.LogID())
	}
}

// keepForks stores the proofs that this batch brought.
func (run *intake) keepForks(r *reach) error {
	if len(r.forked) > 0 {
		run.put(r.c)
	}
	for _, f := range r.answer.Forks {
		if err := run.flushChannel(r.c.ID); err != nil {
			return err
		}
		run.last++
		if err := run.tx.KeepFork(r.c, run.last, threads.ForkSight{Fork: f, Found: run.in.Now}); err != nil {
			return fmt.Errorf("keep the proof of a fork: %w", err)
		}
		run.hidden = true
	}
	return nil
}

// contradict looks whether the control events of this batch name other events
// than those held at their places: then the log is on a branch that does not
// count.
func (run *intake) contradict(r *reach) error {
	for _, e := range r.taken {
		for _, named := range threads.Named(e) {
			at := threads.Ref{LogID: named.LogID, Seq: named.Seq}
			log := r.c.LogOf(at.LogID)
			if at.Seq < log.From || at.Seq > log.Seq || at.Seq == log.Seq && named.Hash == log.Hash {
				continue
			}
			have, err := run.at(r, at)
			if err != nil {
				return err
			}
			if have != nil && have.ID != named.Hash {
				r.c.Contradict(at)
				r.forked = append(r.forked, at.LogID)
			}
		}
	}
	return nil
}

// bounded are the forked logs of which more is held than they have to end with.
func (r *reach) bounded() []threads.LogID {
	var logs []threads.LogID
	for _, id := range r.forked {
		if bound, ok := r.c.Bound(id); ok && id != threads.ControlLog && r.c.LogOf(id).Seq > bound.Seq && !slices.Contains(logs, id) {
			logs = append(logs, id)
		}
	}
	return logs
}

// guard is what is held of a log that must be whole up to a named event before
// any of it is applied.
type guard struct {
	whole bool
	next  int64 // where what is held has its first gap, 0 without one
}

// fits is Place, but for events of guarded logs.
func (run *intake) fits(r *reach, e *threads.Event, since time.Time) (threads.Placement, threads.Want, *threads.Refusal) {
	placement, want, refused := r.c.Place(e, run.server(), run.in.Now, since, run.in.MetAfter)
	id := e.Header.LogID()
	if placement == threads.Waits && want.LogID != id && want.Origin != "" && run.j.late(want.Origin) {
		placement, want, refused = r.c.Place(e, run.server(), run.in.Now, since, 0)
	}
	if placement != threads.Fits || r.guards[id].whole {
		return placement, want, refused
	}
	until, guarded := r.c.Guarded(id)
	if !guarded {
		return placement, want, refused
	}
	want = threads.Want{LogID: id, Seq: until.Seq}
	if next := r.guards[id].next; next > 0 {
		want.Seq = next
	}
	return threads.Waits, want, nil
}

// weigh finds out of which guarded logs all is held that leads to the named
// event. What is held and does not lead there is dropped.
func (run *intake) weigh(r *reach) {
	r.guards = map[threads.LogID]guard{}
	for id, held := range run.j.room.channels[r.c.ID] {
		until, guarded := r.c.Guarded(id)
		if !guarded {
			continue
		}
		log := r.c.LogOf(id)
		hash, seq := until.Hash, until.Seq
		for ; seq > log.Seq && held[seq] != nil && held[seq].event.ID == hash; seq-- {
			hash = held[seq].event.Header.Prev
		}
		if seq == log.Seq {
			r.guards[id] = guard{whole: hash == log.Hash}
			if hash != log.Hash { // the fork lies further down
				r.answer.Astray = append(r.answer.Astray, id)
			}
			continue
		}
		if held[seq] != nil { // another branch: what leads to it does not lead to the named event
			for at, h := range held {
				if at <= seq {
					run.j.room.drop(h)
				}
			}
		}
		r.guards[id] = guard{next: gap(held, log.Seq)}
	}
}

// gap is the first place above seq of which nothing is held although something
// above it is, 0 when there is none.
func gap(held map[int64]*held, seq int64) int64 {
	highest := seq
	for at := range held {
		highest = max(highest, at)
	}
	for at := seq + 1; at < highest; at++ {
		if held[at] == nil {
			return at
		}
	}
	return 0
}
