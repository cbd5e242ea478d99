package threads

import (
	"fmt"
	"time"
)

// Placement is what becomes of an authentic data event here.
type Placement int

// Placements.
const (
	Fits    Placement = iota // the next event of its log: to be applied
	Held                     // applied already, or below what this server holds
	Waits                    // for what Want names
	Misfits                  // never fits: see the refusal
)

// Place says whether a data event can be applied now (protocol.md §3, causal
// order, and §5). since is when it was first seen; a dependency that nobody
// supplied for metAfter counts as met. The signature and, for an event Held,
// its sameness are the caller's to check.
func (c *Channel) Place(e *Event, self string, now, since time.Time, metAfter time.Duration) (Placement, Want, *Refusal) {
	h := &e.Header
	id := h.LogID()
	if h.Control.Number > c.Control.Seq {
		return Waits, Want{LogID: ControlLog, Seq: h.Control.Number}, nil
	}
	if c.HashAt(h.Control.Number) != h.Control.Hash {
		return refusal(e, RefusedBranch, "names a control event that is not the applied one")
	}
	if h.Control.Number < h.Epoch>>32 {
		return refusal(e, RefusedBranch, "names a control event before its server's admission")
	}
	if cut, closed := c.CutOf(id); closed && h.Seq > cut.Seq {
		return refusal(e, RefusedRemoved, fmt.Sprintf("its server's log was closed at %d", cut.Seq))
	}
	if final := c.FinalAt(h.Ref()); final != "" && final != e.ID {
		return refusal(e, RefusedFork, "the control log names another event for this place")
	}
	log := c.LogOf(id)
	switch {
	case h.Seq <= log.Seq:
		return Held, Want{}, nil
	case h.Seq > log.Seq+1 && now.Sub(since) >= metAfter && c.begins(h, log):
		at := c.startedAt(id, h.Seq-1)
		log = &Log{Head: Head{LogID: id, Seq: at.Seq, Hash: at.Hash, Time: at.Time}, Control: at.Control}
	case h.Seq > log.Seq+1:
		return Waits, Want{LogID: id, Seq: log.Seq + 1}, nil
	}
	switch {
	case h.Prev != log.Hash:
		return refusal(e, RefusedChain, "prev is not the hash of the event before")
	case h.Control.Number < log.Control:
		return refusal(e, RefusedBranch, "control must not decrease within a log")
	case h.Time <= log.Time || h.Time <= c.TimeAt(h.Control.Number):
		return refusal(e, RefusedTime, "time must be greater than that of prev and of the control event")
	case h.Time.Wall().After(now.Add(MaxAhead)):
		return Waits, Want{}, nil
	}
	for _, dep := range h.After {
		if !c.met(dep) && now.Sub(since) < metAfter {
			return Waits, Want(dep), nil
		}
	}
	return Fits, Want{}, nil
}

// begins reports whether a copy of which nothing is held yet may begin with the
// event: nobody supplied what lies before it, as after a loss of which members
// who came later hold the rest, and the control log vouches for the one before.
func (c *Channel) begins(h *Header, log *Log) bool {
	return log.Seq == log.From-1 && c.startedAt(h.LogID(), h.Seq-1).Hash == h.Prev
}

func refusal(e *Event, code, detail string) (Placement, Want, *Refusal) {
	return Misfits, Want{}, &Refusal{Ref: e.Header.Ref(), Code: code, Detail: detail}
}

// met reports whether a dependency is applied, or lies where it never will be.
func (c *Channel) met(dep Ref) bool {
	if log := c.Logs[dep.LogID]; log != nil && log.Seq >= dep.Seq {
		return true
	}
	if dep.Epoch>>32 > c.Control.Seq {
		return false
	}
	cut, closed := c.CutOf(dep.LogID)
	return closed && dep.Seq > cut.Seq
}

// PlaceBelow says whether an event continues a log downwards from where this
// server's copy starts.
func (c *Channel) PlaceBelow(e *Event) (Placement, *Refusal) {
	h := &e.Header
	log := c.Logs[h.LogID()]
	switch {
	case log == nil || h.Seq >= log.From:
		return Held, nil
	case h.Seq < log.From-1:
		_, _, r := refusal(e, RefusedChain, "leaves a gap below the oldest event held")
		return Misfits, r
	case e.ID != log.Before:
		_, _, r := refusal(e, RefusedChain, "is not the event that the one above it names")
		return Misfits, r
	case c.HashAt(h.Control.Number) != h.Control.Hash:
		_, _, r := refusal(e, RefusedBranch, "names a control event that is not the applied one")
		return Misfits, r
	}
	return Fits, nil
}

// Extend takes an event that PlaceBelow passed as the log's oldest.
func (c *Channel) Extend(e *Event) {
	log := c.Logs[e.Header.LogID()]
	log.From, log.Before = e.Header.Seq, e.Header.Prev
	if e.Header.Seq == log.Seq { // only its hash was known: from a start, or a cut right below one
		log.Time, log.Control = e.Header.Time, e.Header.Control.Number
	}
}
