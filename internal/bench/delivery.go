package bench

import (
	"context"
	"fmt"
	"time"
)

// pace is the time between two posts whose delivery is timed.
const pace = 200 * time.Millisecond

// setDelivery times the hub halfway between any two posts, so that both meet
// the machine in the same state. As it posts little it lasts twice as long.
func setDelivery(ctx context.Context, s *stage) (round, error) {
	r, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	h, err := s.startHub(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ours, err := r.way(b, b.people[0]).course(ctx)
		if err != nil {
			return nil, err
		}
		bare, err := h.way(func(text []byte) []byte { return text }).course(ctx)
		if err != nil {
			return nil, err
		}
		tick := time.NewTicker(pace / 2)
		defer tick.Stop()
		for i := range max(10, int(2*s.Duration/pace)) {
			for _, c := range []*course{ours, bare} {
				<-tick.C
				if err := c.run(fmt.Sprintf("Delivery %d.", i)); err != nil {
					return nil, err
				}
			}
		}
		return map[string]reading{
			"delivery_p50": {percentile(ours.took, 50), percentile(bare.took, 50)},
			"delivery_p99": {percentile(ours.took, 99), percentile(bare.took, 99)},
		}, nil
	}, nil
}

// course is a way with one client at each end.
type course struct {
	way
	post   *connection
	socket *socket
	text   *prose
	took   []time.Duration
}

func (w way) course(ctx context.Context) (c *course, err error) {
	c = &course{way: w, text: newProse(0)}
	if c.post, err = dial(ctx, w.in, w.token); err != nil {
		return nil, err
	}
	if c.socket, err = w.open(ctx); err != nil {
		return nil, err
	}
	_, err = c.socket.await([]byte(w.greeting))
	return c, err
}

// run times one text from before its POST until the socket has it.
func (c *course) run(mark string) error {
	said := make(chan error, 1)
	begun := time.Now()
	go func() { said <- c.say(c.post, c.text.next(mark)) }()
	_, err := c.socket.await([]byte(mark))
	if err != nil {
		return err
	}
	c.took = append(c.took, time.Since(begun))
	return <-said
}
