package threads

import (
	"slices"
	"time"
)

// Doubt says whether a server may go on in a log of its own (protocol.md §7).
// It is about the copy held here and never leaves it.
type Doubt int

// Doubts.
const (
	Sure     Doubt = iota // all that this server ever wrote in the log is held here
	Doubtful              // some of it may be lost, until every member server has delivered what it holds
	Left                  // it holds what this server never wrote, or lost what the control log names: never continued
)

// maxHeadAhead is how far the head of an own log may lie ahead of the clock for
// the log to be continued: what follows it would be dated later still, and wait
// at every receiver.
const maxHeadAhead = 10 * time.Minute

// epochSeconds are counted from the start of the year 2000.
const epochSeconds = 946_684_800

// OpenLog is the data log in which the server writes now: the newest one of its
// present admission that it may continue, or a new one.
func (c *Channel) OpenLog(server string, now time.Time) LogID {
	number := c.Admission(server)
	fresh := LogID{Origin: server, Epoch: number<<32 | max(0, now.Unix()-epochSeconds)&0xffffffff}
	newest, found := LogID{}, false
	for id := range c.ended() { // of which nothing may be left
		if id.Origin == server && id.Epoch>>32 == number {
			fresh.Epoch = max(fresh.Epoch, id.Epoch+1)
		}
	}
	for id := range c.Logs {
		if id.Origin != server || id.Epoch>>32 != number {
			continue
		}
		fresh.Epoch = max(fresh.Epoch, id.Epoch+1)
		if id.Epoch > newest.Epoch && c.continues(id, now) {
			newest, found = id, true
		}
	}
	if found {
		return newest
	}
	return fresh
}

// continues reports whether an own log may be appended to. One of which the
// control log names more than is held has lost that, and its places are taken. One
// far ahead is left only if what another log begins with would be dated earlier: a
// new event comes after its control event, however far ahead that is.
func (c *Channel) continues(id LogID, now time.Time) bool {
	_, closed := c.CutOf(id)
	_, guarded := c.Guarded(id)
	l := c.Logs[id]
	if _, lost := c.finalFrom(Ref{id, l.Seq + 1}); lost {
		return false
	}
	earliest := max(TimeOf(now), c.Control.Time).Wall()
	return !closed && !guarded && l.Doubt == Sure && !l.Time.Wall().After(earliest.Add(maxHeadAhead))
}

// DoubtOwn doubts the server's logs, and the control log if it is the host: this
// copy may be older than what others hold.
func (c *Channel) DoubtOwn(server string) {
	for id, l := range c.Logs {
		if id.Origin == server && l.Doubt == Sure {
			l.Doubt = Doubtful
		}
	}
	if c.Host == server {
		c.ControlDoubt = Doubtful
	}
}

// Prove ends the doubts that every member server's answer settles. A log of which
// the control log names more than came back is left: its places are taken. So they
// may be where a server was removed after what is held of the log: it may have
// more, and gives back nothing but the control log.
func (c *Channel) Prove() {
	for id, l := range c.Logs {
		if l.Doubt != Doubtful {
			continue
		}
		l.Doubt = Sure
		if _, lost := c.finalFrom(Ref{id, l.Seq + 1}); lost || c.removedAfter(l.Control) {
			l.Doubt = Left
		}
	}
	c.ControlDoubt = Sure
}

// removedAfter reports whether a server was removed by a control event after that
// number.
func (c *Channel) removedAfter(number int64) bool {
	for _, m := range c.servers {
		if slices.ContainsFunc(m.admissions, func(a admission) bool { return a.removed > number }) {
			return true
		}
	}
	return false
}

// InDoubt reports whether this server waits for member servers to deliver what
// they hold of the channel before it goes on in a log of its own.
func (c *Channel) InDoubt() bool {
	if c.ControlDoubt == Doubtful {
		return true
	}
	for _, l := range c.Logs {
		if l.Doubt == Doubtful {
			return true
		}
	}
	return false
}

// Returned notes that somebody else brought an event that the server itself had
// signed, and reports whether that puts in doubt a log that it was sure of: a
// second server must be using its key, or its database was put back under it.
func (c *Channel) Returned(e *Event) (alarm bool) {
	if e.Header.Log == LogControl {
		alarm = c.ControlDoubt == Sure && e.Header.Seq > 1
		c.ControlDoubt = Doubtful
		return alarm
	}
	l := c.Logs[e.Header.LogID()]
	switch {
	case l.Doubt != Sure:
		return false
	case l.Seq == l.From: // its first event here: a log of which nothing was held
		l.Doubt = Doubtful
		return false
	}
	l.Doubt = Left
	return true
}
