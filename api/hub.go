package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"meridian/threads"
)

// hub carries events from the journal to sockets and long polls. The journal is
// read once for all; what gathered meanwhile for a socket goes out in one
// write, by a few writers that all sockets share.
type hub struct {
	a       *API
	ring    *ring
	writers *writers

	mu        sync.Mutex
	sockets   map[*socket]struct{}
	polls     map[*mailbox]struct{} // of the long polls that wait
	open      int                   // sockets, those being made among them
	persons   map[string]int        // sockets and long polls of each person
	listeners int                   // all of these: without any, nothing is encoded
	arrived   chan struct{}         // holds a value when a listener came
	closed    bool
	stopped   chan struct{}  // closed with closed
	ended     chan struct{}  // closed when tokens are revoked, and made anew
	tasks     sync.WaitGroup // sockets
	behind    chan struct{}  // holds a value for each socket that reads the journal
	suspect   chan struct{}  // holds a value when there are suspects
	suspects  []string       // people whose tokens another node may have revoked
}

const (
	readEntries = 500             // of the journal, at a time
	sweepEvery  = 4 * time.Second // a revoked token ends its sockets within recheck
	pingEvery   = 30 * time.Second
	maxUnheard  = 2                // pings: who answered to none of these is gone
	retryAfter  = time.Second      // when the journal cannot be read
	authWait    = 10 * time.Second // for the first message of a socket that came without a token
	maxBehind   = 8                // sockets that read the journal at a time

	// Between two rounds of waking the sockets: about twice what a round takes.
	restLeast = time.Millisecond
	restEach  = 20 * time.Microsecond
	restMost  = 100 * time.Millisecond
)

func newHub(a *API) *hub {
	h := &hub{
		a: a, ring: newRing(), sockets: map[*socket]struct{}{}, polls: map[*mailbox]struct{}{}, persons: map[string]int{},
		arrived: make(chan struct{}, 1), stopped: make(chan struct{}), ended: make(chan struct{}), behind: make(chan struct{}, maxBehind),
		suspect: make(chan struct{}, 1),
	}
	h.writers = newWriters(a.limits.Sockets)
	return h
}

// run follows the journal until ctx ends, then closes every socket.
func (h *hub) run(ctx context.Context) error {
	var loops sync.WaitGroup
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	loops.Go(func() { h.writers.run(inner) })
	loops.Go(func() { h.sweep(inner) })
	h.follow(ctx)
	h.closeAll()
	stop()
	loops.Wait()
	return nil
}

// follow moves the ring on at every commit, as long as somebody listens. What
// nobody listened to is left out: who resumes from there reads the journal.
func (h *hub) follow(ctx context.Context) {
	asleep := true
	for ctx.Err() == nil {
		changed := h.a.Entries.Changed()
		if !h.listening() {
			asleep = true
			select {
			case <-ctx.Done():
			case <-h.arrived:
			}
			continue
		}
		more, err := h.advance(ctx, asleep)
		switch {
		case err != nil && ctx.Err() == nil:
			h.a.log.ErrorContext(ctx, "events cannot be read from the journal", slog.Any("error", err))
			sleep(ctx, retryAfter)
			continue
		case !more:
			rested := h.rest()
			select {
			case <-ctx.Done():
			case <-changed:
				<-rested
			}
		}
		asleep = false
	}
}

// rest is closed when the sockets may be woken again. An event that comes alone
// goes out at once; of a rush, what gathers meanwhile goes out in one write, so
// that a crowd of sockets leaves the machine to those who post.
func (h *hub) rest() <-chan struct{} {
	h.mu.Lock()
	pause := min(restMost, restLeast+time.Duration(len(h.sockets))*restEach)
	h.mu.Unlock()
	over := make(chan struct{})
	time.AfterFunc(pause, func() { close(over) })
	return over
}

// advance takes in one page of the journal, or begins anew at its end. more says
// that there may be another.
func (h *hub) advance(ctx context.Context, anew bool) (more bool, err error) {
	last, _ := h.ring.moved()
	if anew {
		if last, err = h.a.Entries.Last(ctx); err != nil {
			return false, err
		}
		h.ring.restart(last)
		h.wake()
	}
	entries, err := h.a.Entries.Entries(ctx, last, readEntries)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	items, err := h.encode(ctx, entries)
	if err != nil {
		return false, err
	}
	last = entries[len(entries)-1].Pos
	h.ring.extend(items, last)
	if withdrawal(items) {
		h.ring.restart(last) // what it takes must not be sent from memory
		h.expel(items)
	}
	h.wake()
	return len(entries) == readEntries, nil
}

func (h *hub) encode(ctx context.Context, entries []threads.Entry) ([]*item, error) {
	items := make([]*item, 0, len(entries))
	for _, entry := range entries {
		i, err := encoder{h.a}.encode(ctx, entry)
		if err != nil {
			return nil, fmt.Errorf("encode event at %d: %w", entry.Pos, err)
		}
		if i != nil {
			items = append(items, i)
		}
	}
	return items, nil
}

func withdrawal(items []*item) bool {
	for _, i := range items {
		if i.kind == threads.TypeMemberRemoved || i.kind == threads.TypeServerRemoved || i.kind == threads.TypePersonErased {
			return true
		}
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (h *hub) listening() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listeners > 0
}

// wake has every socket look at the ring.
func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		h.writers.wake(s)
	}
}

// revoked is closed when tokens are revoked next.
func (h *hub) revoked() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// each calls f for every socket; f must not block.
func (h *hub) each(f func(*socket)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		f(s)
	}
}

// revoke ends the sockets of callers who match, and has long polls ask again
// whether they are still let in: from now on they get nothing.
func (h *hub) revoke(matches func(*caller) bool) {
	h.mu.Lock()
	close(h.ended)
	h.ended = make(chan struct{})
	h.mu.Unlock()
	h.each(func(s *socket) {
		if c := s.caller.Load(); c != nil && matches(c) {
			s.end(closeRevoked, "the token was revoked")
		}
	})
}

// suspectPerson has the sockets and long polls of a person ask soon whether they
// are still let in.
func (h *hub) suspectPerson(id string) {
	h.mu.Lock()
	h.suspects = append(h.suspects, id)
	h.mu.Unlock()
	select {
	case h.suspect <- struct{}{}:
	default: // a look is due already
	}
	h.revoke(func(*caller) bool { return false })
}

func (h *hub) suspected() (people []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	people, h.suspects = h.suspects, nil
	return people
}

// expel ends the sockets of people who were removed from a channel, so that
// they read anew what they are in.
func (h *hub) expel(items []*item) {
	for _, i := range items {
		if i.also == "" {
			continue
		}
		h.each(func(s *socket) {
			if c := s.caller.Load(); c != nil && c.person.ID == i.also {
				s.end(closeMembers, "you were removed from a channel; connect again")
			}
		})
	}
}

// sweep looks after idle sockets: one goroutine for all of them.
func (h *hub) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	pinged := h.a.clock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.suspect:
			people := h.suspected()
			h.recheck(ctx, h.a.clock(), func(c *caller) bool { return slices.Contains(people, c.person.ID) })
			continue
		case <-tick.C:
		}
		now := h.a.clock()
		ping := now.Sub(pinged) >= pingEvery
		if ping {
			pinged = now
		}
		h.each(func(s *socket) {
			if s.caller.Load() == nil && now.Sub(s.made) > authWait || ping && s.unheard.Load() == maxUnheard {
				s.end(closePolicy, "nothing was heard of you")
			} else if ping {
				s.unheard.Add(1)
				s.ping.Store(true)
				h.writers.wake(s)
			}
		})
		h.recheck(ctx, now, func(*caller) bool { return true })
	}
}

// recheck asks again whether the tokens of open sockets of callers who match
// still let anybody in: another node may have revoked them.
func (h *hub) recheck(ctx context.Context, now time.Time, matches func(*caller) bool) {
	callers := map[string]*caller{}
	h.each(func(s *socket) {
		if c := s.caller.Load(); c != nil && matches(c) {
			callers[c.secret] = c
		}
	})
	for secret, c := range callers {
		if _, err := h.a.sessions.find(ctx, secret, now); problemIs(err, http.StatusUnauthorized) {
			h.revoke(func(other *caller) bool { return other.secret == c.secret })
		}
	}
}

func problemIs(err error, status int) bool { return err != nil && problemOf(err).Status == status }

// closeAll ends every socket and long poll, and waits until the sockets are gone.
func (h *hub) closeAll() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.stopped)
	}
	h.mu.Unlock()
	h.each(func(s *socket) { s.end(closeGoingAway, "the server stops; connect again") })
	h.tasks.Wait()
}

// enter takes in a socket to be, counted until leave.
func (h *hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.open >= h.a.bounds[allSockets].Most {
		return tooMuch(h.a.bounds[allSockets], 0, "this server has as many open sockets as it takes; try again later")
	}
	h.count(1)
	h.tasks.Add(1)
	return nil
}

func (h *hub) count(n int) {
	h.open += n
	h.a.metrics.sockets.Set(float64(h.open))
}

// adopt has the socket woken, pinged and ended with the others.
func (h *hub) adopt(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets[s] = struct{}{}
	if h.closed {
		s.end(closeGoingAway, "the server stops; connect again")
	}
}

// leave is the end of what enter began; s is nil where it never came to a socket.
func (h *hub) leave(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count(-1)
	h.tasks.Done()
	if s == nil {
		return
	}
	delete(h.sockets, s)
	if c := s.caller.Load(); c != nil {
		h.uncount(c)
	}
}

// listen counts a socket or a long poll for the person, and keeps the ring
// moving until unlisten.
func (h *hub) listen(c *caller) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.persons[c.person.ID] >= h.a.bounds[listenersOfPerson].Most {
		return tooMuch(h.a.bounds[listenersOfPerson], 0, "too many open sockets and long polls; close one first")
	}
	h.persons[c.person.ID]++
	h.listeners++
	select {
	case h.arrived <- struct{}{}:
	default:
	}
	return nil
}

func (h *hub) unlisten(c *caller) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uncount(c)
}

func (h *hub) uncount(c *caller) {
	h.listeners--
	if h.persons[c.person.ID]--; h.persons[c.person.ID] == 0 {
		delete(h.persons, c.person.ID)
	}
}
