package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	hundred = 100 // rows in each of the floor's transactions
	// warmUp precedes the first round, so that it finds caches as the others do.
	warmUp = time.Second
)

type round = func(context.Context) (map[string]reading, error)

// alone opens one site with a room that has been posted in.
func (s *stage) alone(ctx context.Context) (*room, error) {
	at, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	r, err := at.furnish(ctx)
	if err != nil {
		return nil, err
	}
	_, err = r.pour(ctx, clients, lasting(warmUp))
	return r, err
}

func setPosts(ctx context.Context, s *stage) (round, error) {
	r, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		f, err := s.store.floor(ctx, hundred, s.Duration)
		if err != nil {
			return nil, err
		}
		p, err := r.pour(ctx, clients, lasting(s.Duration))
		return map[string]reading{"post_rate": {perSecond(p.count, p.elapsed), f.rate(hundred)}}, err
	}, nil
}

func setLone(ctx context.Context, s *stage) (round, error) {
	r, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		f, err := s.store.floor(ctx, 1, s.Duration)
		if err != nil {
			return nil, err
		}
		p, err := r.pour(ctx, 1, lasting(s.Duration))
		return map[string]reading{
			"post_p50": {percentile(p.took, 50), percentile(f.transactions, 50)},
			"post_p99": {percentile(p.took, 99), percentile(f.transactions, 99)},
		}, err
	}, nil
}

// setSize compares the database's size between two stops of the server, when
// all is in the one file.
func setSize(ctx context.Context, s *stage) (round, error) {
	r, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	rest := func(ctx context.Context) (int64, error) {
		if err := r.at.stop(); err != nil {
			return 0, err
		}
		size, err := s.store.size(ctx, r.at.database)
		if err != nil {
			return 0, fmt.Errorf("look at the size of the database: %w", err)
		}
		_, err = r.at.start(ctx)
		return size, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		const n = 20_000
		f, err := s.store.floor(ctx, hundred, s.Duration)
		if err != nil {
			return nil, err
		}
		before, err := rest(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := r.pour(ctx, clients, times(n)); err != nil {
			return nil, err
		}
		after, err := rest(ctx)
		return map[string]reading{"bytes_per_message": {float64(after-before) / n, f.bytesPerRow}}, err
	}, nil
}

func setStart(ctx context.Context, s *stage) (round, error) {
	r, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	const n = 100_000
	if _, err := r.pour(ctx, clients, times(n)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		if err := r.at.stop(); err != nil {
			return nil, err
		}
		took, err := r.at.start(ctx)
		if err != nil {
			return nil, err
		}
		h, err := s.startHub(ctx)
		if err != nil {
			return nil, err
		}
		return map[string]reading{"start_time": {milliseconds(took), milliseconds(h.readyAfter)}}, h.stop()
	}, nil
}
