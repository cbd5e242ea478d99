package sim

import (
	"time"

	"meridian/threads"
)

// offFor is how long a wrong clock is remembered by those who saw it.
const offFor = 15 * time.Minute

// checkRefusal: nobody needs any other server in order to write. An honest
// server refuses what people write for what it knows itself, for its disk and
// for a wrong clock alone; only a change of the control log may have to wait.
func (w *world) checkRefusal(a *attempt, refused *threads.Error) {
	switch a.request.Command.(type) {
	case threads.StartThread, threads.Post, threads.Edit, threads.React, threads.ChangeThread, threads.Erase, threads.ErasePerson:
	default:
		return
	}
	switch {
	case a.node.liar != nil || refused == nil:
		return
	case refused.Kind != threads.Unavailable && refused.Kind != threads.Elsewhere:
		return
	case refused.Code == "clock_off" && w.clockOff():
		return
	}
	w.fail("%s refuses a %T of its own people: %v", a.node.name, a.request.Command, refused)
}

// clockOff reports whether some server's clock is wrong, or was of late.
func (w *world) clockOff() bool {
	for _, n := range w.nodes {
		if n.ahead != 0 {
			return true
		}
	}
	return !w.offClock.IsZero() && w.now.Sub(w.offClock) < offFor
}
