package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// poured is what clients posted, in all, and how long each post took.
type poured struct {
	count   int
	took    []time.Duration
	elapsed time.Duration // from the first request to the last answer
	begun   time.Time
	first   string   // id of the first message of the first client
	last    []string // id of the last message of each client
}

// post is one client's share of a pour.
type post struct {
	took        []time.Duration
	first, last string
}

// pour has n clients post, one request at a time each, for as long as more says
// so. more is called by all of them.
func (r *room) pour(ctx context.Context, n int, more func() bool) (poured, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shares := make([]post, n)
	p := poured{begun: time.Now()}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			var err error
			if shares[i], err = r.client(ctx, i, more); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	p.elapsed = time.Since(p.begun)
	if ctx.Err() != nil {
		return p, context.Cause(ctx)
	}
	for _, s := range shares {
		if s.first == "" {
			continue // the others were faster
		}
		if p.first == "" {
			p.first = s.first
		}
		p.count += len(s.took)
		p.took = append(p.took, s.took...)
		p.last = append(p.last, s.last)
	}
	return p, nil
}

// client posts into the i-th thread as the person whom it belongs to.
func (r *room) client(ctx context.Context, i int, more func() bool) (p post, err error) {
	c, err := dial(ctx, r.at.address, r.at.people[i%people].token)
	if err != nil {
		return p, err
	}
	defer c.close()
	text, path := newProse(uint64(i)), "/api/v1/threads/"+r.threads[i]+"/messages"
	var body, answer []byte
	for more() {
		body = append(append(append(body[:0], `{"body":"`...), text.next("Hello")...), `"}`...)
		start := time.Now()
		var status int
		if status, answer, err = c.do("POST", path, body); err != nil {
			return p, err
		}
		p.took = append(p.took, time.Since(start))
		if status != 201 {
			return p, fmt.Errorf("POST %s: %d %s", path, status, answer)
		}
		if p.first == "" {
			if p.first, err = idOf(answer); err != nil {
				return p, err
			}
		}
	}
	if p.first != "" {
		p.last, err = idOf(answer)
	}
	return p, err
}

// lasting says yes until d has passed.
func lasting(d time.Duration) func() bool {
	begun := time.Now()
	return func() bool { return time.Since(begun) < d }
}

// times says yes n times.
func times(n int64) func() bool {
	var said atomic.Int64
	return func() bool { return said.Add(1) <= n }
}
