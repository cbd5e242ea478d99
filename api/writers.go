package api

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// writers write to sockets that have something to get. Half of the cores do: a
// crowd of sockets must not keep requests from the other half. When all writers
// wait for clients that do not read, others join until the jam is over.
type writers struct {
	queue  chan *socket // each socket stands in it at most once
	served atomic.Int64
}

const (
	jamCheck   = 20 * time.Millisecond
	maxWriters = 256
)

// States of a socket towards the writers.
const (
	idle   = iota // nothing to get
	queued        // waits for a writer
	busy          // a writer has it
	again         // a writer has it, and more came meanwhile
)

func newWriters(sockets int) *writers {
	return &writers{queue: make(chan *socket, sockets+1)}
}

// wake has the socket written to soon. It never blocks.
func (w *writers) wake(s *socket) {
	for {
		switch state := s.state.Load(); state {
		case idle:
			if s.state.CompareAndSwap(idle, queued) {
				w.add(s)
				return
			}
		case busy:
			if s.state.CompareAndSwap(busy, again) {
				return
			}
		default:
			return
		}
	}
}

// rest gives the socket back when whoever had it is done.
func (w *writers) rest(s *socket) {
	if !s.state.CompareAndSwap(busy, idle) {
		s.state.Store(queued)
		w.add(s)
	}
}

func (w *writers) add(s *socket) {
	select {
	case w.queue <- s:
	default: // full of sockets that ended: the next wake is in time
		s.state.Store(idle)
	}
}

func (w *writers) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		all.Go(func() { w.write(ctx) })
	}
	spare := make(chan struct{}, maxWriters)
	tick := time.NewTicker(jamCheck)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		served := w.served.Load()
		jammed := len(w.queue) > 0 && served == before
		if before = served; !jammed {
			continue
		}
		select {
		case spare <- struct{}{}:
			all.Go(func() {
				w.drain()
				<-spare
			})
		default:
		}
	}
}

func (w *writers) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-w.queue:
			w.serve(s)
		}
	}
}

// drain writes as long as sockets wait.
func (w *writers) drain() {
	for {
		select {
		case s := <-w.queue:
			w.serve(s)
		default:
			return
		}
	}
}

func (w *writers) serve(s *socket) {
	s.state.Store(busy)
	if s.flush() {
		w.rest(s)
	}
	w.served.Add(1)
}
