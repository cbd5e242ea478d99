package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"meridian/internal/store"
	"meridian/threads"
)

// A node says that it lives every beatEvery. Once it could not for ownLife it
// takes no step any more, some time before the others take its steps over.
const (
	beatEvery = time.Second
	ownLife   = store.NodeLife * 3 / 4
)

// leases are the steps that this node does for the organisation, while no other
// one does them. They are kept by run.
type leases struct {
	beat func(ctx context.Context, wanted []string) (map[string]threads.Fence, error)
	log  *slog.Logger
	// hold says why this node may do no step at all; nil while it may.
	hold func() error

	mu     sync.Mutex
	wanted map[string]claim
	held   map[string]holding
	hurry  chan struct{} // receives when somebody begins to wait
}

// claim is somebody's who waits for a step to do it until its context ends.
type claim struct {
	ctx   context.Context
	given chan holding
}

// holding is a step that this node does. Its context ends when it may not any more.
type holding struct {
	ctx   context.Context
	end   context.CancelFunc
	fence threads.Fence
}

func newLeases(s *store.Store, hold func() error, log *slog.Logger) *leases {
	return &leases{
		beat: s.Beat, hold: hold, log: log, hurry: make(chan struct{}, 1),
		wanted: map[string]claim{}, held: map[string]holding{},
	}
}

// wait returns once this node is to do the step; !ok when ctx ended before.
// Whoever waits again has ended what it did of the step before.
func (l *leases) wait(ctx context.Context, step string) (h holding, ok bool) {
	c := claim{ctx, make(chan holding, 1)}
	l.mu.Lock()
	l.wanted[step] = c
	l.mu.Unlock()
	select {
	case l.hurry <- struct{}{}:
	default:
	}
	select {
	case <-ctx.Done():
		return h, false
	case h = <-c.given:
		return h, true
	}
}

// run keeps the leases until ctx ends.
func (l *leases) run(ctx context.Context) {
	expiry := time.AfterFunc(ownLife, func() { l.settle(nil) })
	defer expiry.Stop()
	for ctx.Err() == nil {
		if l.hold() != nil { // others take its steps over
			l.settle(nil)
			l.rest(ctx, nil)
			continue
		}
		began := time.Now() // of the machine, whatever clock the server has: the database's goes on as well
		asked := l.asked()
		held, err := l.beat(ctx, asked)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.log.Error("this node could not say that it lives; others may take its steps over", "error", err)
		case time.Since(began) < ownLife: // else the answer is too old: the process may have been stopped
			l.settle(held)
			expiry.Reset(ownLife - time.Since(began))
		}
		l.rest(ctx, err)
	}
}

// rest is until the next beat: at once when somebody began to wait.
func (l *leases) rest(ctx context.Context, failed error) {
	hurry := l.hurry
	if failed != nil {
		hurry = nil
	}
	pause(ctx, beatEvery, nil, hurry)
}

// asked are the steps that somebody waits for.
func (l *leases) asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for step := range l.wanted {
		names = append(names, step)
	}
	return names
}

// settle ends what this node does not hold any more, and begins what it holds now.
func (l *leases) settle(held map[string]threads.Fence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for step, h := range l.held {
		if held[step] != h.fence {
			h.end()
			delete(l.held, step)
			l.log.Info("another node may do this step now", "step", step)
		}
	}
	for step, c := range l.wanted {
		if fence, ok := held[step]; ok {
			delete(l.wanted, step)
			h := holding{fence: fence}
			h.ctx, h.end = context.WithCancel(c.ctx)
			l.held[step] = h
			c.given <- h
		}
	}
}
