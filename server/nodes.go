package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// Several nodes of one organisation share a PostgreSQL database. Each serves
// clients and partners; what one writes the others hear of, and steps that must
// not be done twice are done by one of them at a time.

// beNode keeps this node's leases and hears the other nodes until the function
// that it returns is called, which must be after the last step.
func (s *Server) beNode(ctx context.Context, r *runner) (end func()) {
	r.leases = newLeases(s.store, s.keyHold, s.log)
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
		s.mark.reach(n.Commit.Newest)
		s.recent.Elsewhere(n.Commit.Last)
		s.journal.Heard(journal.Elsewhere{After: n.Commit.After, Last: n.Commit.Last, Channels: n.Commit.Channels, Newest: n.Commit.Newest})
		if n.Commit.Files {
			signal(s.files.lacking)
		}
	case n.Key:
		signal(s.keyNews)
	case n.Person != "":
		s.api.Elsewhere(n.Person)
	case len(n.Fates) > 0:
		s.api.Told(n.Fates)
	case n.Partner != "":
		if err := s.federation.Hinted(n.Partner, n.Hint); err != nil {
			s.log.Warn("another node's word was not understood", "partner", n.Partner, "error", err)
		}
	}
	if s.journal.Waits() {
		signal(s.settleNow)
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

// told passes on what became of people's messages to their clients, which may be
// at any node.
func (s *Server) told(fates []threads.Fate) {
	s.api.Told(fates)
	if !s.store.Nodes() {
		return
	}
	var news []store.News
	for some := range slices.Chunk(fates, fatesAtOnce) {
		news = append(news, store.News{Fates: some})
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	if err := s.store.Tell(ctx, news...); err != nil {
		s.log.Warn("clients at other nodes were not told of deliveries; they are when they ask", "error", err)
	}
}

// fatesAtOnce fit into one piece of news, tellTime is for how long telling may
// keep an exchange.
const (
	fatesAtOnce = 4
	tellTime    = 5 * time.Second
)

// alone keeps other nodes from changing a thing until end is called. What they
// changed before is not older here then.
func (s *Server) alone() func(ctx context.Context, name string) (end func(), err error) {
	if !s.store.Nodes() {
		return nil
	}
	return func(ctx context.Context, name string) (func(), error) {
		end, err := s.store.Alone(ctx, name)
		if err != nil {
			return nil, err
		}
		last, err := s.store.Last(ctx)
		if err != nil {
			end()
			return nil, err
		}
		s.journal.Reached(last)
		return end, nil
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
