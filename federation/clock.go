package federation

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"meridian/threads"
)

// Clocks (docs/protocol.md §7). The clocks of partners are those that their
// answers told within clockAge; fewer than minClocks say nothing.
const (
	maxClockOff = 2 * time.Minute
	clockAge    = 10 * time.Minute
	minClocks   = 2
	clockLook   = time.Second // for which one look holds
)

// clock is what is held of this server's own clock.
type clock struct {
	mu      sync.Mutex
	wrong   bool          // as was logged last
	off     time.Duration // as it was looked at last
	looked  time.Time
	trusted time.Time // until then it counts as right, whatever partners' clocks say
}

// ClockOff is how far the median of the partners' clocks lies ahead of this
// server's, by how many clocks; between the middle two of an even number the one
// nearer to this server's counts.
func (x *Exchange) ClockOff(now time.Time) (off time.Duration, of int) {
	x.mu.Lock()
	couriers := make([]*Courier, 0, len(x.couriers))
	for _, c := range x.couriers {
		couriers = append(couriers, c)
	}
	x.mu.Unlock()
	var all []time.Duration
	for _, c := range couriers {
		c.mu.Lock()
		if age := now.Sub(c.clockAt); !c.clockAt.IsZero() && age < clockAge && age > -clockAge {
			all = append(all, c.state.ClockDiff)
		}
		c.mu.Unlock()
	}
	if len(all) < minClocks {
		return 0, len(all)
	}
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	switch {
	case low > 0:
		return low, len(all)
	case high < 0:
		return high, len(all)
	case low == high:
		return low, len(all)
	}
	return 0, len(all) // this server's lies between them
}

// TrustClock has this server append until then though partners' clocks say that
// its own is wrong.
func (x *Exchange) TrustClock(until time.Time) {
	x.clock.mu.Lock()
	defer x.clock.mu.Unlock()
	x.clock.trusted = until
}

// ClockHold refuses to append while this server's clock is wrong as far as its
// partners' tell: what it dated would wait at every receiver, or come before what
// it answers.
func (x *Exchange) ClockHold(now time.Time) error {
	x.clock.mu.Lock()
	defer x.clock.mu.Unlock()
	if age := now.Sub(x.clock.looked); age < 0 || age >= clockLook {
		x.lookAtClock(now)
	}
	off, wrong := x.clock.off, x.clock.wrong
	if !wrong || now.Before(x.clock.trusted) {
		return nil
	}
	return threads.Refuse(threads.Unavailable, "clock_off", "", fmt.Sprintf(
		"this server's clock differs by %s from those of its partners, so nothing is written; its administrator has to set it right", max(off, -off).Round(time.Second)))
}

// lookAtClock compares this server's clock with its partners', and says so when
// it has become wrong or right. x.clock.mu must be held.
func (x *Exchange) lookAtClock(now time.Time) {
	off, of := x.ClockOff(now)
	x.metrics.ownClock(off)
	x.clock.off, x.clock.looked = off, now
	wrong := off > maxClockOff || off < -maxClockOff
	switch {
	case wrong && !x.clock.wrong:
		x.Log.Error("this server's clock is wrong by its partners' clocks: nothing is appended until it is set right", "difference", off, "clocks", of)
	case !wrong && x.clock.wrong:
		x.Log.Info("this server's clock agrees with its partners' again")
	}
	x.clock.wrong = wrong
}
