package server

import (
	"context"
	"time"

	"meridian/threads"
)

// PartnerChange is the input of partners.add, .allow, .block and .retry.
type PartnerChange struct {
	Name string `json:"name"`
	// Fingerprint is that of the key to allow; "" is the one that partners.add showed.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Partner is another server as an administrator of this one sees it.
type Partner struct {
	Name        string     `json:"name"`
	State       string     `json:"state"` // pending, allowed or blocked
	Fingerprint string     `json:"fingerprint"`
	Verified    bool       `json:"verified"` // its name was proved by TLS, or lies on loopback
	Hold        string     `json:"hold,omitempty"`
	Backlog     int64      `json:"backlog"` // events that it has not applied yet, see threads.Backlog
	Oldest      *time.Time `json:"oldest_undelivered,omitempty"`
	ContactIn   *time.Time `json:"contact_in,omitempty"`
	ContactOut  *time.Time `json:"contact_out,omitempty"`
	Error       string     `json:"error,omitempty"`
	Remedy      string     `json:"remedy,omitempty"`
	ClockDiff   float64    `json:"clock_difference_seconds"`
}

// PartnerList is the answer of partners.list.
type PartnerList struct {
	Partners []Partner `json:"partners"`
	// Strangers are the names under which unknown servers asked lately, unproven.
	Strangers []string `json:"strangers"`
}

// shown is a partner with what it has not got yet.
func (s *Server) shown(ctx context.Context, p threads.Partner) (Partner, error) {
	waiting, err := s.store.Backlog(ctx, p.Name)
	return Partner{
		Name: p.Name, State: string(p.State), Fingerprint: p.Fingerprint, Verified: p.Verified, Hold: p.Hold,
		Backlog: waiting.Events, Oldest: unlessNever(waiting.Oldest),
		ContactIn: unlessNever(p.ContactIn), ContactOut: unlessNever(p.ContactOut),
		Error: p.Error, Remedy: p.Remedy, ClockDiff: p.ClockDiff.Seconds(),
	}, err
}

func unlessNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Server) addPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.AddPartner(ctx, in.Name))
}

func (s *Server) allowPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.AllowPartner(ctx, in.Name, in.Fingerprint))
}

func (s *Server) blockPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.BlockPartner(ctx, in.Name))
}

// retryPartner tries again at once, parked channels included.
func (s *Server) retryPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	if err := s.federation.RetryPartner(ctx, in.Name); err != nil {
		return Partner{}, err
	}
	return s.decided(ctx)(s.store.Partner(ctx, in.Name))
}

// decided shows the partner that something was decided about.
func (s *Server) decided(ctx context.Context) func(threads.Partner, error) (Partner, error) {
	return func(p threads.Partner, err error) (Partner, error) {
		if err != nil {
			return Partner{}, err
		}
		return s.shown(ctx, p)
	}
}

func (s *Server) listPartners(ctx context.Context, _ struct{}) (PartnerList, error) {
	list := PartnerList{Partners: []Partner{}, Strangers: append([]string{}, s.federation.Strangers()...)}
	for page := (threads.Page{Limit: threads.MaxPage}); ; {
		some, next, err := s.store.Partners(ctx, "", page)
		if err != nil {
			return list, err
		}
		for _, p := range some {
			partner, err := s.shown(ctx, p)
			if err != nil {
				return list, err
			}
			list.Partners = append(list.Partners, partner)
		}
		if page.After = next; next == "" {
			return list, nil
		}
	}
}
