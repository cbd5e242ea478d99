package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"meridian/config"
	"meridian/federation"
	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// federationOptions are the parts that reach partners and what they reach here.
func (s *Server) federationOptions(keys federation.Keyring, version string) federation.Options {
	return federation.Options{
		Server: s.config.Server(), Keys: keys, Open: s.config.Federation.Mode == config.Open,
		Rate:    s.config.Limits.PartnerRate,
		Events:  s.config.Limits.PartnerEvents,
		Journal: s.journal, Logs: s.recent, Neighbours: s.store, Partners: s.store,
		Deliveries: s.store, Invitations: s.store, People: s.store, Erasures: s.store,
		Do:        s.carryOut,
		Told:      s.told,
		Alone:     s.alone(),
		Tell:      s.hintNodes(),
		Files:     partnerFiles{s.files},
		Transport: federation.NewTransport(s.config.Federation.AllowNetworks, nil),
		Clock:     s.clock,
		Jitter:    rand.Float64,
		NewID:     func() string { return uuid.Must(uuid.NewV7()).String() },
		Log:       s.log,
		Registry:  s.registry,
		Software:  "meridian/" + version,
	}
}

// carryOut runs what a partner's request orders.
func (s *Server) carryOut(ctx context.Context, o federation.Order) error {
	r := journal.Request{Actor: o.Actor, Command: o.Command, Now: o.Now, Key: o.Key}
	if o.Key != "" {
		r.Digest = threads.HashOf([]byte(o.Key))
	}
	_, err := s.journal.Do(ctx, r)
	return err
}

// entriesOf are the events of a commit.
func entriesOf(c journal.Commit) []threads.Entry {
	entries := make([]threads.Entry, len(c.Entries))
	for i, e := range c.Entries {
		entries[i] = threads.Entry{Pos: e.Pos, Event: e.Event, Void: e.Void}
	}
	return entries
}

// logs are the store's logs as partners get them.
type logs struct{ *store.Store }

// LogEvents reads no more than fits one exchange.
func (l logs) LogEvents(ctx context.Context, channel threads.Hash, from threads.Ref, limit int) ([]*threads.Event, error) {
	return l.Store.LogEvents(ctx, store.Span{
		Channel: channel, Log: from.LogID, From: from.Seq, Limit: limit, Bytes: federation.MaxBody,
	})
}

// rosterEvery is how often it is looked at least whom to exchange with, and
// rosterPause how long after a commit, which may have brought somebody.
const (
	rosterEvery = 5 * time.Second
	rosterPause = 200 * time.Millisecond
)

// roster has one step run for every server that this one exchanges with, from
// the moment it is known: the courier of one that may be exchanged with no
// longer rests by itself.
type roster struct {
	*Server
	runner *runner
	ctx    context.Context // of the couriers' steps
	served map[string]*federation.Courier
	listed time.Time
}

func (r *roster) step(ctx context.Context, now time.Time) (time.Time, error) {
	if soon := r.listed.Add(rosterPause); now.Before(soon) && !now.Before(r.listed) {
		return soon, nil
	}
	couriers, err := r.federation.Couriers(ctx)
	if err != nil {
		return now, fmt.Errorf("list whom to exchange with: %w", err)
	}
	r.listed = now
	for _, c := range couriers {
		if r.served[c.Name()] == nil {
			r.served[c.Name()] = c
			r.runner.start(r.ctx, step{
				name: "exchange with " + c.Name(), do: c.Step, changed: r.journal.Changed, woken: c.Woken(),
				once: true, taken: c.Take, left: c.Leave,
			})
		}
	}
	return now.Add(rosterEvery), nil
}

// flush writes down where delivery stands once no step runs any more.
func (r *roster) flush(ctx context.Context) {
	for name, c := range r.served {
		if err := c.Flush(ctx); err != nil {
			r.log.Error("where delivery stands was not written down; it is found out again", "partner", name, "error", err)
		}
	}
}
