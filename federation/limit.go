package federation

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/internal/limit"
	"meridian/threads"
)

// Bounds of what one server may ask at once.
const (
	maxInFlight   = 4               // exchanges of one server
	maxUnverified = 256             // exchanges of one kind whose sender is not known yet, of all servers
	rateBurst     = 10              // seconds' worth of exchanges that one server may make at once
	quotaBurst    = 1000            // seconds' worth of events that one server may bring at once
	retryAfter    = 2 * time.Second // told to whom is turned away until something under way has ended
	answeredFirst = time.Hour       // told to whom is turned away until somebody has answered an invitation
)

// What one server may do in the long run unless it is set: a second, exchanges, of which one carries
// up to 500 events, and events.
const (
	defaultRate   = 200
	defaultEvents = 500
)

// eventUnit is how many bytes of an event count as one: longer ones count for each that they begin.
const eventUnit = 4 << 10

// The rows of the table of limits.
const (
	exchangesOfServer = iota
	exchangesAtATime
	strangersAtATime
	eventsOfServer
	invitationsWaiting
)

// codeQuota is told to a server that brought as many events as it may for now.
const codeQuota = "quota"

// LimitTable lists what partners are turned away by, where one server may make rate exchanges and
// bring so many events a second. Every refusal for having too much is made of a row of it.
func LimitTable(rate, events int) []limit.Limit {
	const many = http.StatusTooManyRequests
	return []limit.Limit{
		exchangesOfServer:  {Name: "limits.partner_rate", Of: "exchanges of a server", PerSecond: float64(rate), Most: rate * rateBurst, Status: many, Code: "too_many"},
		exchangesAtATime:   {Name: "exchanges at a time", Of: "exchanges of a server under way", Most: maxInFlight, Retry: retryAfter, Status: many, Code: "too_many"},
		strangersAtATime:   {Name: "unverified exchanges", Of: "exchanges of one kind whose sender is being looked up, all together", Most: maxUnverified, Retry: retryAfter, Status: http.StatusServiceUnavailable, Code: "unavailable"},
		eventsOfServer:     {Name: "limits.partner_events", Of: "events of a server's people, one longer than 4 KiB for each 4 KiB that it begins", PerSecond: float64(events), Most: events * quotaBurst, Status: many, Code: codeQuota},
		invitationsWaiting: {Name: "invitations", Of: "unanswered invitations by one server for one person", Most: threads.MaxInvitations, Retry: answeredFirst, Status: many, Code: "too_many_invitations"},
	}
}

// turnedAway is the refusal of what goes beyond a limit. It may be tried again after the wait or,
// where that is 0, after what the limit says.
func turnedAway(l limit.Limit, wait time.Duration, detail string) *Problem {
	return &Problem{Status: l.Status, Code: l.Code, Detail: detail, retryAfter: max(wait, l.Retry)}
}

// admit counts an exchange of the server in, until leave, unless too many are being answered or came
// lately, or it wants to push more events than it may.
func (c *Courier) admit(path string, now time.Time) error {
	if wait := c.events.Wait(now); wait > 0 && path == pushPath {
		c.x.metrics.overQuota.WithLabelValues(c.name).Inc()
		return turnedAway(c.x.limits[eventsOfServer], wait, fmt.Sprintf("at most %d events a second of one server are taken in the long run", c.x.Events))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == maxInFlight {
		return turnedAway(c.x.limits[exchangesAtATime], 0, fmt.Sprintf("at most %d exchanges of one server are answered at a time", maxInFlight))
	}
	if wait := c.rate.Take(now); wait > 0 {
		return turnedAway(c.x.limits[exchangesOfServer], wait, fmt.Sprintf("at most %d exchanges a second of one server are answered in the long run", c.x.Rate))
	}
	c.inFlight++
	return nil
}

func (c *Courier) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
}

// PutsOff reports whether a server's people have brought as many events as they may for now. This
// server's own, which others give back, are not counted.
func (x *Exchange) PutsOff(server string) bool {
	x.mu.Lock()
	c := x.couriers[server]
	x.mu.Unlock()
	return c != nil && c.events.Wait(x.Clock()) > 0
}

// restored reports whether a channel is being brought back after a loss: that comes as fast as it can.
func restored(ch *threads.Channel) bool { return ch != nil && ch.InDoubt() }

// spend counts events that were stored against those whose people wrote them, whoever brought them:
// else a server could use up what is another's.
func (x *Exchange) spend(events []*threads.Event, now time.Time) {
	count := map[string]int{}
	for _, e := range events {
		count[e.Header.Origin] += 1 + (len(e.HeaderBytes)+len(e.Content)-1)/eventUnit
	}
	for origin, n := range count {
		if origin != x.Server {
			x.courier(origin).events.Spend(n, now)
		}
	}
}

// quotaWait is for how long a server takes no more events of ours; 0 where an error means something
// else.
func quotaWait(err error) time.Duration {
	var p *Problem
	if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests || p.Code != codeQuota {
		return 0
	}
	return max(p.retryAfter, time.Second)
}
