package bench

import (
	"context"
	"time"
)

func setFederated(ctx context.Context, s *stage) (round, error) {
	r, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := r.pour(ctx, clients, lasting(warmUp)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		f, err := s.store.floor(ctx, hundred, s.Duration)
		if err != nil {
			return nil, err
		}
		p, err := r.pour(ctx, clients, lasting(s.Duration))
		if err != nil {
			return nil, err
		}
		seen, err := b.seesAll(ctx, p)
		if err != nil {
			return nil, err
		}
		rate := perSecond(p.count, seen.Sub(p.begun))
		return map[string]reading{"federated_rate": {rate, f.rate(hundred)}}, r.sameCounts(ctx, b)
	}, nil
}

func setCatchup(ctx context.Context, s *stage) (round, error) {
	r, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (map[string]reading, error) {
		const n = 20_000
		f, err := s.store.floor(ctx, hundred, s.Duration)
		if err != nil {
			return nil, err
		}
		if err := b.stop(); err != nil {
			return nil, err
		}
		p, err := r.pour(ctx, clients, times(n))
		if err != nil {
			return nil, err
		}
		if _, err := b.start(ctx); err != nil {
			return nil, err
		}
		begun := b.process.begun
		if err := b.sees(ctx, "/messages/"+p.first, eagerly); err != nil {
			return nil, err
		}
		first := time.Since(begun)
		seen, err := b.seesAll(ctx, p)
		if err != nil {
			return nil, err
		}
		if err := r.sameCounts(ctx, b); err != nil {
			return nil, err
		}
		h, err := s.startHub(ctx)
		if err != nil {
			return nil, err
		}
		return map[string]reading{
			"catchup_rate":  {perSecond(n, seen.Sub(begun)), f.rate(hundred)},
			"catchup_first": {milliseconds(first), milliseconds(h.readyAfter)},
		}, h.stop()
	}, nil
}
