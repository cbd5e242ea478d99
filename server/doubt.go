package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/threads"
	"meridian/threads/journal"
)

// committed sets the mark of the database, and tells what a commit showed of it:
// before anybody is answered.
func (s *Server) committed(c journal.Commit) {
	if n := len(c.Entries); n > 0 {
		s.mark.write(journal.Mark{Pos: c.Entries[n-1].Pos, ID: c.Entries[n-1].Event.ID})
	}
	if c.WentBack {
		s.alarms.wentBack.Inc()
		s.federation.Doubted()
		s.log.Error("the database lacks what this server had committed: it is asked back of partners, and what is written meanwhile goes to new logs")
		select {
		case s.wentBack <- struct{}{}:
		default: // it is stopping already
		}
	}
	for _, e := range c.Foreign {
		s.alarms.foreign.Inc()
		s.log.Error("a partner holds what bears this server's key and was never written here: this server leaves that log; look for a second server with a copy of the database or the key, and stop it",
			"channel", e.Channel(), "epoch", e.Header.Epoch, "seq", e.Header.Seq)
	}
}

// awaited names the servers that a control log in doubt waits for.
func (s *Server) awaited(c *threads.Channel) []string { return s.federation.Awaited(c) }

// GaveUp is the answer of partners.give-up: who is still awaited, by channel.
type GaveUp struct {
	Name    string              `json:"name"`
	Awaited map[string][]string `json:"awaited"`
}

// giveUpPartner has the hosts here no longer wait for a server that will not
// come back with what they may have lost.
func (s *Server) giveUpPartner(ctx context.Context, in PartnerChange) (GaveUp, error) {
	if err := s.federation.GiveUp(ctx, in.Name); err != nil {
		return GaveUp{}, err
	}
	s.log.Warn("a server is given up: what it alone holds of control logs hosted here is lost", "server", in.Name)
	awaited, err := s.inDoubt(ctx)
	return GaveUp{Name: in.Name, Awaited: awaited}, err
}

// inDoubt is who is awaited in the channels that are in doubt, at most 1,000.
func (s *Server) inDoubt(ctx context.Context) (map[string][]string, error) {
	ids, err := s.store.InDoubt(ctx, "", 1000)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]string, len(ids))
	for _, id := range ids {
		c, err := s.journal.Channel(ctx, id)
		if err != nil {
			return nil, err
		}
		if names := s.federation.Awaited(c); len(names) > 0 {
			out[id] = names
		}
	}
	return out, nil
}

// alarms count what should never happen.
type alarms struct {
	wentBack prometheus.Counter
	foreign  prometheus.Counter
}

func newAlarms(r prometheus.Registerer) (*alarms, error) {
	a := &alarms{
		wentBack: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_database_went_back_total", Help: "How often the database lacked what had been committed to it.",
		}),
		foreign: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_foreign_own_events_total", Help: "Events under this server's key that others brought and it never wrote.",
		}),
	}
	for _, c := range []prometheus.Collector{a.wentBack, a.foreign} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return a, nil
}
