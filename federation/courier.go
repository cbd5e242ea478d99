package federation

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"meridian/internal/limit"
	"meridian/threads"
)

const (
	compareEvery = 48 * time.Second // jittered by a quarter either way: a minute at most
	maxBackOff   = time.Hour
	fastBackOff  = 45 * time.Second // within which a server is tried again that was away for minutes
	saveEvery    = time.Second
	lookEvery    = 10 * time.Second // at a server that may not be exchanged with now
	startSpread  = 20 * time.Millisecond
)

// Courier serves one other server: it delivers what this one wrote, compares frontiers and fetches
// what is lacking. It is driven by Step and never works between two steps.
type Courier struct {
	x     *Exchange
	name  string
	woken chan struct{}

	mu       sync.Mutex
	inbox    inbox
	inFlight int                   // exchanges of that server being answered
	rate     limit.Bucket          // of its exchanges
	events   limit.Bucket          // of what its people wrote
	busy     map[threads.Hash]bool // channels of the batch that is being pushed
	state    threads.Exchange
	clockAt  time.Time // when its clock was last heard of
	backAt   time.Time // before which the server is not called back
	current  bool      // state is no older than what is written down
	held     bool      // this node takes the steps, where there are several
	told     time.Time // when another node was told last that the server made a request

	stepping // belongs to Step alone
}

// stepping is what a courier knows from step to step.
type stepping struct {
	fence     threads.Fence // under which it writes
	loaded    bool
	pinned    ed25519.PublicKey   // nil for a member server that is no partner
	had       []ed25519.PublicKey // before that one
	measured  time.Time
	pushes    *rate.Limiter
	pushAt    time.Time // before which the server takes no more events
	saved     time.Time
	dirty     bool
	fates     []threads.Fate // of messages, since the last time that delivery was written down
	lanes     map[threads.Hash]*lane
	acked     map[threads.Hash]map[threads.LogID]int64 // what lanes delivered beyond the cursor
	offered   map[string]bool                          // invitations that the server knows, by id
	offerAt   map[string]time.Time                     // before which others are not offered: their person has too many
	deep      map[threads.Hash]time.Time               // channels whose history below is still to be fetched, and when
	letters   bool                                     // there may be invitations to write about
	unknown   bool                                     // there are people of whom only the id is known
	people    time.Time                                // when profiles are asked for next
	strange   int                                      // how often in a row somebody stayed unknown
	closed    []threads.Hash                           // channels whose lanes ended and still have a row
	wants     map[threads.Hash]*want
	queue     queue
	failures  int
	away      time.Time // when the first of them was
	suspected int       // pushes that failed although the server answered just before
	apart     bool      // the next batch is taken apart: the last one took too long
	begun     bool      // the first contact was tried
	retryAt   time.Time
	compareAt time.Time
	inquireAt time.Time // when to look whether to ask about erasures
	keyAt     time.Time
	resting   bool // nothing was to be exchanged at the last step
	anew      bool // the next comparison takes every channel for different
}

func newStepping(f threads.Fence) stepping {
	return stepping{
		fence: f, pushes: rate.NewLimiter(pushRate, pushBurst),
		lanes: map[threads.Hash]*lane{}, wants: map[threads.Hash]*want{}, acked: map[threads.Hash]map[threads.LogID]int64{},
		offered: map[string]bool{}, offerAt: map[string]time.Time{}, deep: map[threads.Hash]time.Time{},
	}
}

// inbox is what handlers leave for the next step.
type inbox struct {
	claims  map[threads.Hash]claim // what the server says that it has
	wants   map[threads.Hash]note  // channels of which something is lacking here
	unknown bool                   // there are people of whom only the id is known
	letters bool                   // there is an invitation to write about
	roused  bool
	retry   bool
	anew    bool // everything is compared and fetched again
}

// courier is the one for that server.
func (x *Exchange) courier(name string) *Courier {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.couriers[name]
	if c == nil {
		c = &Courier{
			x: x, name: name, woken: make(chan struct{}, 1), busy: map[threads.Hash]bool{},
			rate: x.limits[exchangesOfServer].Bucket(), events: x.limits[eventsOfServer].Bucket(), stepping: newStepping(threads.Fence{}),
		}
		x.couriers[name] = c
	}
	return c
}

// Couriers are those for every server that shares a channel with this one and every allowed
// partner, by name.
func (x *Exchange) Couriers(ctx context.Context) ([]*Courier, error) {
	if err := x.welcome(ctx); err != nil {
		return nil, err
	}
	names, err := x.Neighbours.Servers(ctx)
	if err != nil {
		return nil, err
	}
	partners, err := x.allowed(ctx)
	if err != nil {
		return nil, err
	}
	names = append(names, partners...)
	slices.Sort(names)
	var couriers []*Courier
	for _, name := range slices.Compact(names) {
		if name != x.Server {
			couriers = append(couriers, x.courier(name))
		}
	}
	return couriers, nil
}

func (x *Exchange) allowed(ctx context.Context) ([]string, error) {
	var names []string
	page := threads.Page{Limit: 100}
	for {
		partners, next, err := x.Options.Partners.Partners(ctx, threads.PartnerAllowed, page)
		if err != nil {
			return nil, err
		}
		for _, p := range partners {
			names = append(names, p.Name)
		}
		if page.After = next; next == "" {
			return names, nil
		}
	}
}

// Name is the server that the courier serves.
func (c *Courier) Name() string { return c.name }

// Woken receives when there is something to do before the time that Step returned. A commit of
// the journal is the other reason for a step.
func (c *Courier) Woken() <-chan struct{} { return c.woken }

func (c *Courier) wake() {
	select {
	case c.woken <- struct{}{}:
	default: // a step is due already
	}
}

// rouse ends any back-off: the server gave a sign of life.
func (c *Courier) rouse() { c.hint(Hint{Roused: true}) }

// write has the server written to about invitations.
func (c *Courier) write() { c.hint(Hint{Roused: true, Letters: true}) }

// retry ends any back-off and tries parked channels again.
func (c *Courier) retry() { c.hint(Hint{Roused: true, Retry: true}) }

// resync is retry, and has every shared channel compared and fetched again.
func (c *Courier) resync() {
	c.hint(Hint{Roused: true, Retry: true, Anew: true})
}

// claim is what the server says that it has of a channel, and whether it is just being given more.
type claim struct {
	standing
	given bool
}

// claimed takes note of what the server says that it has of a channel, unless that channel is being
// pushed to it: then the answer to the push is newer.
func (c *Courier) claimed(s standing, given bool) {
	c.hint(Hint{Claim: &s, Given: given})
}

// heardFrom notes an authenticated request of the server; it ends a back-off.
func (c *Courier) heardFrom(now time.Time) {
	c.x.metrics.contact(c.name, "in", now)
	c.mu.Lock()
	c.state.ContactIn = now
	failing := c.state.Attempts > 0
	pass := c.x.Tell != nil && !c.held && now.Sub(c.told).Abs() >= heardEvery
	if pass {
		c.told = now
	}
	c.mu.Unlock()
	if pass {
		c.x.relay(c.name, Hint{Heard: now})
	} else if failing {
		c.rouse()
	}
}

// answered notes that the server answered a request of ours.
func (c *Courier) answered(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Reason != "" {
		c.x.metrics.trouble(c.name, "")
		c.x.Log.Info("partner reached again", "partner", c.name, "attempts", c.state.Attempts)
	}
	c.state.ContactOut, c.state.Attempts, c.state.NextTry = now, 0, time.Time{}
	c.state.Error, c.state.Remedy, c.state.Reason = "", "", ""
	c.x.metrics.contact(c.name, "out", now)
}

// noteClock compares the server's clock, as its answer's Date tells it, with ours.
func (c *Courier) noteClock(date string, sent, got time.Time) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return
	}
	// A Date is whole seconds, cut off: half a second is its mean error.
	ours := sent.Add(got.Sub(sent) / 2).Add(-500 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.ClockDiff, c.clockAt = theirs.Sub(ours).Truncate(time.Second), got
	c.x.metrics.clock(c.name, c.state.ClockDiff)
}

// noteCertificate remembers until when the server's certificate is good.
func (c *Courier) noteCertificate(s *tls.ConnectionState) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.CertUntil = s.PeerCertificates[0].NotAfter
	c.x.metrics.certificate(c.name, c.state.CertUntil)
}

// Step does what there is to do now and returns when there will be something by itself. That the
// server is not reached is no error: it is noted, and tried again later. One courier's steps must
// not overlap.
func (c *Courier) Step(ctx context.Context, now time.Time) (time.Time, error) {
	if err := c.load(ctx, now); err != nil {
		return now.Add(time.Second), err
	}
	a, err := c.x.acquaintance(ctx, c.name)
	if err != nil {
		return now.Add(time.Second), err
	}
	if code, _ := a.refused(); code != "" {
		return c.rest(ctx, now)
	}
	c.resumed()
	c.pinned, c.had = nil, nil
	if a.partner.State == threads.PartnerAllowed {
		c.pinned, c.had = a.partner.Key.Public, earlier(a.partner.Keys, a.partner.Key.Public)
	}
	if err := c.open(ctx, now); err != nil {
		return now.Add(time.Second), err
	}
	if now.Before(c.retryAt) {
		return c.wait(ctx, now)
	}
	c.begun = true
	next, err := c.work(ctx, now)
	if failed := c.failed(err, now); failed {
		next, err = c.retryAt, c.giveUp(ctx, now)
	}
	if err != nil {
		return now.Add(time.Second), err
	}
	return c.save(ctx, now, next)
}

// rest is the step of a server with which nothing is to be exchanged now.
func (c *Courier) rest(ctx context.Context, now time.Time) (time.Time, error) {
	if !c.resting {
		c.resting = true
		c.x.metrics.trouble(c.name, troubleHere)
	}
	if !now.Before(c.measured.Add(compareEvery)) {
		if err := c.measure(ctx, now); err != nil {
			return now.Add(time.Second), err
		}
	}
	return now.Add(lookEvery), c.giveUp(ctx, now)
}

// resumed ends a rest.
func (c *Courier) resumed() {
	if c.resting {
		c.resting = false
		c.x.metrics.trouble(c.name, "")
	}
}

// giveUp has others asked for what is wanted of a server that cannot be asked now. When it can be, the
// comparison shows what is still lacking.
func (c *Courier) giveUp(ctx context.Context, now time.Time) error {
	c.mu.Lock()
	wants := c.inbox.wants
	c.inbox.wants = nil
	c.mu.Unlock()
	c.takeWants(wants, now)
	for _, id := range slices.SortedFunc(maps.Keys(c.wants), strings.Compare) {
		ch, err := c.x.Journal.Channel(ctx, id)
		if err != nil {
			return err
		}
		w := c.wants[id]
		delete(c.wants, id)
		if ch != nil {
			c.passOn(w, ch)
		}
	}
	return nil
}

// wait is the step of a server that is not to be tried yet.
func (c *Courier) wait(ctx context.Context, now time.Time) (time.Time, error) {
	if next := c.measured.Add(compareEvery); now.Before(next) {
		return earliest(c.retryAt, next), nil
	}
	return c.retryAt, c.measure(ctx, now)
}

// measure shows an operator what the server has not been offered yet.
func (c *Courier) measure(ctx context.Context, now time.Time) error {
	b, err := c.x.Deliveries.Backlog(ctx, c.name)
	if err != nil {
		return err
	}
	c.measured = now
	c.x.metrics.undelivered(c.name, b)
	parked := 0
	for _, l := range c.lanes {
		if l.State != threads.ChannelBehind {
			parked++
		}
	}
	c.x.metrics.parked(c.name, parked)
	return nil
}

// open takes up what handlers left.
func (c *Courier) open(ctx context.Context, now time.Time) error {
	c.mu.Lock()
	in := c.inbox
	c.inbox = inbox{}
	c.mu.Unlock()
	c.unknown, c.letters = c.unknown || in.unknown, c.letters || in.letters
	switch {
	case in.roused && c.failures > 0:
		turn := c.x.turn(now)
		c.failures, c.retryAt, c.compareAt = 0, turn, turn
	case in.roused && !c.begun:
		c.retryAt = time.Time{}
	}
	c.takeWants(in.wants, now)
	if in.anew {
		c.anew, c.letters, c.unknown, c.people = true, true, true, now
	}
	if in.retry {
		c.compareAt = now
		for _, l := range c.lanes {
			l.retryAt, l.State = time.Time{}, threads.ChannelBehind
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(in.claims), strings.Compare) {
		if err := c.rewind(ctx, in.claims[id].standing, now); err != nil {
			return err
		}
		if l := c.lanes[id]; l != nil && in.claims[id].given { // what it was given needs not be pushed, if it arrived
			l.retryAt = later(l.retryAt, now.Add(flowTime/2))
		}
	}
	return nil
}

func (c *Courier) work(ctx context.Context, now time.Time) (time.Time, error) {
	if !now.Before(c.keyAt) {
		c.keyAt = now.Add(keyCheckEvery + time.Duration(c.x.Jitter()*float64(keyCheckEvery/4)))
		c.checkKey(ctx)
	}
	if !now.Before(c.compareAt) {
		if err := c.compare(ctx, now); err != nil {
			return now, err
		}
		c.compareAt, c.letters = now.Add(c.x.spread(compareEvery)), true
	}
	if err := c.fetchWanted(ctx, now); err != nil {
		return now, err
	}
	if err := c.backfill(ctx, now); err != nil {
		return now, err
	}
	if err := c.learnProfiles(ctx, now); err != nil {
		return now, err
	}
	next, err := c.deliver(ctx, now)
	if err == nil { // last, so that a letter at which the server fails holds up nothing
		err = c.correspond(ctx)
	}
	if err == nil {
		err = c.inquire(ctx, now)
	}
	return earliest(next, c.compareAt, c.nextWant(), c.nextBackfill(), c.people, c.inquireAt), err
}

// checkKey looks whether the server's document still shows the key by which it is known. Not reaching
// it says nothing about the key.
func (c *Courier) checkKey(ctx context.Context) {
	if err := c.x.checkKey(ctx, c.name); err != nil {
		c.x.Log.Debug("key not checked", "partner", c.name, "error", err)
	}
}

// spread is d, a quarter more or less.
func (x *Exchange) spread(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(x.Jitter()*float64(d/2))
}

// maxTurns is how many partners that come back are exchanged with at once; more wait, each startSpread
// longer.
const maxTurns = 25

// turn is when a partner that gave a sign of life is tried again: at once, unless many did.
func (x *Exchange) turn(now time.Time) time.Time {
	return now.Add(x.turns.ReserveN(now, 1).DelayFrom(now))
}

// backOff is how long to wait after another failure: between half and all of a limit that doubles to
// fastBackOff, and from then on is a fifteenth of the time for which the server is away, to one hour. So
// what comes back is found again after a time in proportion to its absence, and within a minute after
// one of ten minutes.
func (c *Courier) backOff(now time.Time) time.Duration {
	if c.failures++; c.failures == 1 {
		c.away = now
	}
	limit := min(time.Second<<min(c.failures, 10), fastBackOff)
	limit = min(max(limit, now.Sub(c.away)/15), maxBackOff)
	return limit/2 + time.Duration(c.x.Jitter()*float64(limit/2))
}

// failed takes note of a failure to exchange with the server and sets when to try again, for ever. It
// reports false for other errors.
func (c *Courier) failed(err error, now time.Time) bool {
	var unreached *Unreached
	var refused *Problem
	if !errors.As(err, &unreached) && !errors.As(err, &refused) {
		return false
	}
	wait := c.backOff(now)
	if refused != nil {
		wait = max(wait, refused.retryAfter)
	}
	c.retryAt = now.Add(wait)
	c.compareAt = now // what happened meanwhile shows first of all when it answers again
	c.dirty = true
	t := diagnose(c.name, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Reason != t.reason {
		c.x.metrics.trouble(c.name, t.reason)
		c.x.Log.Warn("partner not reached", "partner", c.name, "reason", t.reason, "text", t.text, "remedy", t.remedy, "error", err)
	}
	c.state.Attempts++
	c.state.NextTry = c.retryAt
	c.state.Error, c.state.Remedy, c.state.Reason = t.text, t.remedy, t.reason
	c.x.metrics.failed(c.name, t.reason)
	return true
}

// earliest is the first of the times given, leaving out zero ones.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
