package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"meridian/threads"
)

// step is work that is done whenever there is some: by a follower that reads on
// from its cursor, or at an instant.
type step struct {
	name string
	// do does what is due at now and says when it wants to be called again at
	// the latest; an error is logged and the step is called again a little later.
	do func(ctx context.Context, now time.Time) (next time.Time, err error)
	// changed is closed, and woken receives, when there may be work before that;
	// either may be nil.
	changed func() <-chan struct{}
	woken   <-chan struct{}
	// once says that one node of the organisation does it at a time. taken is
	// called before this one begins, left when it has ended because another one may
	// have begun; either may be nil.
	once  bool
	taken func(threads.Fence)
	left  func()
}

// Waits of the runner between two calls of one step.
const (
	leastWait = time.Millisecond // after which even a step that asks for the past is called again
	afterFail = time.Second
	longest   = time.Minute
)

// runner calls steps, each in a goroutine of its own: they never wait for each
// other.
type runner struct {
	clock func() time.Time
	log   *slog.Logger
	// leases say which steps this node does; nil where there are no other nodes.
	leases *leases
	all    sync.WaitGroup
}

// start calls the step until ctx is done.
func (r *runner) start(ctx context.Context, s step) {
	r.all.Go(func() {
		if s.once && r.leases != nil {
			r.inTurn(ctx, s)
		} else {
			r.run(ctx, s)
		}
	})
}

// inTurn runs the step whenever it is this node's turn.
func (r *runner) inTurn(ctx context.Context, s step) {
	for {
		h, ok := r.leases.wait(ctx, s.name)
		if !ok {
			return
		}
		if s.taken != nil {
			s.taken(h.fence)
		}
		r.run(h.ctx, s)
		if s.left != nil && ctx.Err() == nil {
			s.left()
		}
	}
}

// wait returns when every step has ended.
func (r *runner) wait() { r.all.Wait() }

func (r *runner) run(ctx context.Context, s step) {
	for ctx.Err() == nil {
		// Taken before the step reads, so that what comes while it runs wakes it.
		var changed <-chan struct{}
		if s.changed != nil {
			changed = s.changed()
		}
		woken := s.woken
		next, err := s.do(ctx, r.clock())
		wait := min(max(next.Sub(r.clock()), leastWait), longest)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.log.Error("step failed", "step", s.name, "error", err)
			changed, woken, wait = nil, nil, afterFail
		}
		pause(ctx, wait, changed, woken)
	}
}

// pause waits until ctx is done, the time is over, or either channel is ready.
func pause(ctx context.Context, wait time.Duration, changed, woken <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-changed:
	case <-woken:
	}
}
