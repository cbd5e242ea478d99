package server

import (
	"context"
	"fmt"
	"slices"

	"meridian/api"
	"meridian/federation"
	"meridian/threads"
)

// PartnerChange is the input of partners.add, .allow, .block, .pause, .resume,
// .retry and .resync.
type PartnerChange struct {
	Name string `json:"name"`
	// Fingerprint is that of the key to allow; "" is the one that partners.add showed.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Confusable allows a server whose name resembles another's.
	Confusable bool `json:"confusable,omitempty"`
}

// Partner is another server as an administrator of this one sees it.
type Partner struct {
	api.Partner
	ClockDiff float64 `json:"clock_difference_seconds"`
}

// PartnerList is the answer of partners.list.
type PartnerList struct {
	Partners []Partner `json:"partners"`
	// Strangers are the names under which unknown servers asked lately, unproven.
	Strangers []string `json:"strangers"`
}

// Examination is the answer of partners.examine.
type Examination struct {
	Partner  string               `json:"partner"`
	Healthy  bool                 `json:"healthy"` // no finding is bad
	Findings []federation.Finding `json:"findings"`
}

// book is what is known of partners, with how it goes at this moment.
type book struct{ *Server }

// Bounds of what an administrator is shown of one partner.
const (
	shownParked   = 100
	shownChannels = 1000
)

// Partner is one partner, with the channels that it is a member of.
func (b book) Partner(ctx context.Context, name string) (threads.PartnerSight, error) {
	p, err := b.store.Partner(ctx, name)
	if err != nil {
		return threads.PartnerSight{}, err
	}
	sight, err := b.sight(ctx, p)
	if err != nil {
		return sight, err
	}
	if sight.Resembles, err = b.federation.Resembles(ctx, name); err != nil {
		return sight, err
	}
	sight.Channels, err = b.federation.SharedChannels(ctx, name, shownChannels)
	return sight, err
}

// Partners lists partners by name: all, or those in one state.
func (b book) Partners(ctx context.Context, state threads.PartnerState, page threads.Page) ([]threads.PartnerSight, string, error) {
	found, next, err := b.store.Partners(ctx, state, page)
	if err != nil {
		return nil, "", err
	}
	sights := make([]threads.PartnerSight, len(found))
	for i, p := range found {
		if sights[i], err = b.sight(ctx, p); err != nil {
			return nil, "", err
		}
	}
	return sights, next, nil
}

func (b book) sight(ctx context.Context, p threads.Partner) (threads.PartnerSight, error) {
	sight := threads.PartnerSight{Partner: b.federation.Current(p), OwnCertEnd: b.certificate.until()}
	var err error
	if sight.Backlog, err = b.store.Backlog(ctx, p.Name); err != nil {
		return sight, err
	}
	rows, _, err := b.store.PartnerChannels(ctx, p.Name, threads.Page{Limit: shownParked})
	if err != nil {
		return sight, fmt.Errorf("list what %s does not take: %w", p.Name, err)
	}
	for _, row := range rows {
		if row.State != threads.ChannelBehind {
			sight.Parked = append(sight.Parked, row)
		}
	}
	return sight, nil
}

// pace stops and hurries the exchange with partners. What it hurries changes
// nothing that is kept about a partner, so it is recorded here.
type pace struct{ *Server }

// PausePartner has nothing sent or fetched until ResumePartner.
func (p pace) PausePartner(ctx context.Context, by, name string) (threads.Partner, error) {
	return p.federation.PausePartner(ctx, by, name)
}

// ResumePartner ends a pause.
func (p pace) ResumePartner(ctx context.Context, by, name string) (threads.Partner, error) {
	return p.federation.ResumePartner(ctx, by, name)
}

// RetryPartner ends every wait.
func (p pace) RetryPartner(ctx context.Context, by, name string) (threads.Partner, error) {
	partner, err := p.federation.RetryPartner(ctx, name)
	return p.recorded(ctx, by, threads.AuditPartnerRetried, partner, err)
}

// ResyncPartner compares everything again.
func (p pace) ResyncPartner(ctx context.Context, by, name string) (threads.Partner, error) {
	partner, err := p.federation.ResyncPartner(ctx, name)
	return p.recorded(ctx, by, threads.AuditPartnerResynced, partner, err)
}

func (p pace) recorded(ctx context.Context, by, what string, partner threads.Partner, err error) (threads.Partner, error) {
	if err == nil {
		err = p.store.Audit(ctx, threads.AuditEntry{Act: threads.Act{Who: by, At: p.clock()}, What: what, Object: partner.Name})
	}
	return partner, err
}

func (s *Server) shown(p threads.PartnerSight) Partner {
	return Partner{Partner: api.PartnerOf(p, s.clock()), ClockDiff: p.ClockDiff.Seconds()}
}

func (s *Server) addPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.AddPartner(ctx, threads.ByAdmin, in.Name))
}

func (s *Server) allowPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	if in.Confusable {
		return s.decided(ctx)(s.federation.AllowConfusable(ctx, threads.ByAdmin, in.Name, in.Fingerprint))
	}
	return s.decided(ctx)(s.federation.AllowPartner(ctx, threads.ByAdmin, in.Name, in.Fingerprint))
}

func (s *Server) blockPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.BlockPartner(ctx, threads.ByAdmin, in.Name))
}

func (s *Server) pausePartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.PausePartner(ctx, threads.ByAdmin, in.Name))
}

func (s *Server) resumePartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(s.federation.ResumePartner(ctx, threads.ByAdmin, in.Name))
}

func (s *Server) retryPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(pace{s}.RetryPartner(ctx, threads.ByAdmin, in.Name))
}

func (s *Server) resyncPartner(ctx context.Context, in PartnerChange) (Partner, error) {
	return s.decided(ctx)(pace{s}.ResyncPartner(ctx, threads.ByAdmin, in.Name))
}

// examinePartner looks at what stands between this server and another.
func (s *Server) examinePartner(ctx context.Context, in PartnerChange) (Examination, error) {
	findings, err := s.federation.Examine(ctx, in.Name)
	bad := slices.ContainsFunc(findings, func(f federation.Finding) bool { return f.Result == federation.FindingBad })
	return Examination{Partner: in.Name, Healthy: !bad, Findings: findings}, err
}

// decided shows the partner that something was decided about.
func (s *Server) decided(ctx context.Context) func(threads.Partner, error) (Partner, error) {
	return func(p threads.Partner, err error) (Partner, error) {
		if err != nil {
			return Partner{}, err
		}
		sight, err := book{s}.Partner(ctx, p.Name)
		return s.shown(sight), err
	}
}

func (s *Server) listPartners(ctx context.Context, _ struct{}) (PartnerList, error) {
	list := PartnerList{Partners: []Partner{}, Strangers: append([]string{}, s.federation.Strangers()...)}
	for page := (threads.Page{Limit: threads.MaxPage}); ; {
		some, next, err := book{s}.Partners(ctx, "", page)
		if err != nil {
			return list, err
		}
		for _, p := range some {
			list.Partners = append(list.Partners, s.shown(p))
		}
		if page.After = next; next == "" {
			return list, nil
		}
	}
}
