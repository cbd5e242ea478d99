package server

import (
	"context"
	"sync"
	"time"

	"meridian/internal/store"
	"meridian/threads/journal"
)

// Several nodes of one organisation share a PostgreSQL database. Each serves
// clients and partners; what one writes the others hear of, and steps that must
// not be done twice are done by one of them at a time.

// beNode keeps this node's leases and hears the other nodes until the function
// that it returns is called, which must be after the last step.
func (s *Server) beNode(ctx context.Context, r *runner) (end func()) {
	r.leases = newLeases(s.store, s.log)
	living, die := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { r.leases.run(living) })
	all.Go(func() { s.store.Listen(living, s.hear) })
	return func() {
		die()
		all.Wait()
		if err := s.store.Leave(ctx); err != nil {
			s.log.Error("other nodes were not told that this one stops; they find out", "error", err)
		}
	}
}

// hear has memory follow what another node did.
func (s *Server) hear(n store.News) {
	switch {
	case n.Lost:
		s.recent.Lost()
		s.journal.Lost()
		s.api.Elsewhere("")
	case n.Commit != nil:
		s.recent.Elsewhere(n.Commit.Last)
		s.journal.Heard(journal.Elsewhere{After: n.Commit.After, Last: n.Commit.Last, Channels: n.Commit.Channels})
	case n.Person != "":
		s.api.Elsewhere(n.Person)
	case n.Partner != "":
		if err := s.federation.Hinted(n.Partner, n.Hint); err != nil {
			s.log.Warn("another node's word was not understood", "partner", n.Partner, "error", err)
		}
	}
	if s.journal.Waits() {
		select {
		case s.settleNow <- struct{}{}:
		default: // it is due already
		}
	}
}

// hintNodes passes work on to the node that does a partner's exchanges; nil
// where there is one node.
func (s *Server) hintNodes() func(ctx context.Context, server string, hint []byte) error {
	if !s.store.Nodes() {
		return nil
	}
	return func(ctx context.Context, server string, hint []byte) error {
		return s.store.Tell(ctx, store.News{Partner: server, Hint: hint})
	}
}

// settleEvery is how often events that wait are looked at without a new one,
// settlePause how long after the last time although another node wrote; metAfter
// is when a dependency that nobody supplied counts as met.
const (
	settleEvery = 10 * time.Second
	settlePause = 100 * time.Millisecond
	metAfter    = time.Hour
)

// settler looks at the events that wait.
type settler struct {
	journal *journal.Journal
	last    time.Time
}

func (s *settler) step(ctx context.Context, now time.Time) (time.Time, error) {
	if soon := s.last.Add(settlePause); now.Before(soon) && !now.Before(s.last) {
		return soon, nil
	}
	s.last = now
	return now.Add(settleEvery), s.journal.Settle(ctx, now, metAfter)
}
