package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	sockets = 1000
	events  = 200
	// settle is how long a process gets to come to rest before its memory is read.
	settle = 5 * time.Second
)

// setSockets starts server and hub anew for each round, as a server's memory is
// to be read fresh.
func setSockets(ctx context.Context, s *stage) (round, error) {
	at, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	r, err := at.furnish(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		if err := at.stop(); err != nil {
			return nil, err
		}
		if _, err := at.start(ctx); err != nil {
			return nil, err
		}
		var ways []way
		for _, p := range at.people {
			ways = append(ways, r.way(at, p))
		}
		ours, err := crowdAt(ctx, at.process, ways)
		if err != nil {
			return nil, err
		}
		h, err := s.startHub(ctx)
		if err != nil {
			return nil, err
		}
		sent := ours.sample
		bare, err := crowdAt(ctx, h.process, []way{h.way(func([]byte) []byte { return sent })})
		if err != nil {
			return nil, err
		}
		return map[string]reading{
			"rss_idle":       {ours.idle, bare.idle},
			"rss_per_socket": {ours.perSocket, bare.perSocket},
			"fanout_rate":    {ours.rate, bare.rate},
		}, h.stop()
	}, nil
}

// crowd is what 1,000 sockets cost a process and how fast it serves them.
type crowd struct {
	idle      float64 // MiB without a socket
	perSocket float64 // KiB
	rate      float64 // events written to sockets, a second
	sample    []byte  // one event as it came
}

// crowdAt opens the sockets, shared out among the ways, lets them rest and then
// posts to all. They are closed before it returns.
func crowdAt(ctx context.Context, p *process, ways []way) (c crowd, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before, err := rested(ctx, p)
	if err != nil {
		return c, err
	}
	var open []*socket
	for i := range sockets {
		s, err := ways[i%len(ways)].open(ctx)
		if err != nil {
			return c, err
		}
		open = append(open, s)
	}
	after, err := rested(ctx, p)
	if err != nil {
		return c, err
	}
	c.idle, c.perSocket = float64(before)/(1<<20), float64(after-before)/(1<<10)/sockets
	posts, err := ways[0].posts(ctx)
	if err != nil {
		return c, err
	}
	took := fanOut(cancel, ways[0], posts, open)
	c.rate = perSecond(sockets*events, took)
	c.sample = open[0].frame.Bytes()
	return c, context.Cause(ctx)
}

// rested is the memory of a process that was left alone for a while.
func rested(ctx context.Context, p *process) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settle):
	}
	return residentBytes(p.cmd.Process.Pid)
}

// posts are connections for as many clients as post where many do.
func (w way) posts(ctx context.Context) (posts []*connection, err error) {
	for range clients {
		c, err := dial(ctx, w.in, w.token)
		if err != nil {
			return nil, err
		}
		posts = append(posts, c)
	}
	return posts, nil
}

// fanOut has the events posted by all clients together and returns the time
// from the first post until every socket has read all of them. The first
// failure ends posts and sockets through fail.
func fanOut(fail context.CancelCauseFunc, w way, posts []*connection, open []*socket) time.Duration {
	const mark = "To everybody."
	var all sync.WaitGroup
	begun := time.Now()
	for i, s := range open {
		all.Go(func() {
			for n := range events {
				if _, err := s.await([]byte(mark)); err != nil {
					fail(fmt.Errorf("socket %d after %d of %d events: %w", i, n, events, err))
					return
				}
			}
		})
	}
	more := times(events)
	for i, c := range posts {
		all.Go(func() {
			for text := newProse(uint64(i)); more(); {
				if err := w.say(c, text.next(mark)); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(begun)
}
