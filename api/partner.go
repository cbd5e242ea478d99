package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"meridian/threads"
)

// Partner is another organisation's server.
type Partner struct {
	Name          string           `json:"name"`
	State         string           `json:"state" enum:"pending,allowed,blocked"`
	Paused        bool             `json:"paused" doc:"Nothing is exchanged until an administrator resumes it."`
	Resembles     string           `json:"resembles,omitempty" doc:"Another server whose name people can take for this one's: allowing it needs confusable. Only where one partner is asked for."`
	Fingerprint   string           `json:"fingerprint" doc:"Of its key: compare it with its administrators before you allow it."`
	Verified      bool             `json:"verified" doc:"Its own page gave the same key."`
	Hold          string           `json:"hold,omitempty" doc:"Why nothing is exchanged for now."`
	Backlog       int64            `json:"backlog" doc:"Events of this server that it has not applied yet, of those within 10,000 journal positions."`
	Oldest        *time.Time       `json:"oldest_undelivered,omitempty" doc:"When the oldest of these was written."`
	OldestSeconds float64          `json:"oldest_undelivered_seconds" doc:"How long ago that was; 0 without any."`
	Added         time.Time        `json:"added"`
	ContactIn     *time.Time       `json:"contact_in,omitempty" doc:"Its last request to this server."`
	ContactOut    *time.Time       `json:"contact_out,omitempty" doc:"Its last answer to this server."`
	Error         string           `json:"error,omitempty" doc:"The last one, in plain words."`
	Remedy        string           `json:"remedy,omitempty"`
	Reason        string           `json:"reason,omitempty" doc:"The error in one word, as the metrics have it."`
	Attempts      int64            `json:"attempts" doc:"Failed in a row."`
	NextTry       *time.Time       `json:"next_try,omitempty"`
	ClockSeconds  float64          `json:"clock_seconds" doc:"How far its clock is ahead of this server's."`
	CertUntil     *time.Time       `json:"certificate_until,omitempty" doc:"End of the certificate that it showed last."`
	CertDays      *int             `json:"certificate_days,omitempty" doc:"Whole days until then."`
	OwnCertUntil  *time.Time       `json:"own_certificate_until,omitempty" doc:"End of the certificate that this server shows; absent where a proxy does."`
	OwnCertDays   *int             `json:"own_certificate_days,omitempty" doc:"Whole days until then."`
	Parked        []ParkedChannel  `json:"parked" nullable:"false" doc:"Channels that it does not take, at most 100; the others go on."`
	Channels      []PartnerChannel `json:"channels,omitempty" doc:"That it is a member of, at most 1,000: what it holds of them stays there when it is blocked. Only where one partner is asked for."`
}

// ParkedChannel is a channel that does not go on at a partner.
type ParkedChannel struct {
	Channel  string     `json:"channel"`
	State    string     `json:"state" enum:"parked,rejected" doc:"parked: the channel as a whole; rejected: one event, the rest waits behind it."`
	Since    *time.Time `json:"since"`
	Attempts int64      `json:"attempts"`
	Error    string     `json:"error"`
	Remedy   string     `json:"remedy"`
}

// PartnerChannel is a channel that a partner is a member of.
type PartnerChannel struct {
	Channel string `json:"channel"`
	Name    string `json:"name"`
}

// PartnerOf is a partner as administrators are shown it.
func PartnerOf(p threads.PartnerSight, now time.Time) Partner {
	shown := Partner{
		Name: p.Name, State: string(p.State), Paused: p.Paused, Resembles: p.Resembles, Fingerprint: p.Fingerprint, Verified: p.Verified, Hold: p.Hold,
		Backlog: p.Events, Oldest: unlessZero(p.Oldest),
		Added: p.Added.UTC(), ContactIn: unlessZero(p.ContactIn), ContactOut: unlessZero(p.ContactOut),
		Error: p.Error, Remedy: p.Remedy, Reason: p.Reason, Attempts: p.Attempts, NextTry: unlessZero(p.NextTry),
		ClockSeconds: p.ClockDiff.Seconds(), CertUntil: unlessZero(p.CertUntil), CertDays: daysUntil(p.CertUntil, now),
		OwnCertUntil: unlessZero(p.OwnCertEnd), OwnCertDays: daysUntil(p.OwnCertEnd, now), Parked: []ParkedChannel{},
	}
	if !p.Oldest.IsZero() {
		shown.OldestSeconds = max(0, now.Sub(p.Oldest).Seconds())
	}
	for _, c := range p.Parked {
		shown.Parked = append(shown.Parked, ParkedChannel{c.Channel, c.State, unlessZero(c.Since), c.Attempts, c.Error, c.Remedy})
	}
	for _, c := range p.Channels {
		shown.Channels = append(shown.Channels, PartnerChannel{c.ID, c.Name})
	}
	return shown
}

// daysUntil is nil for no instant.
func daysUntil(t, now time.Time) *int {
	if t.IsZero() {
		return nil
	}
	days := int(math.Floor(t.Sub(now).Hours() / 24))
	return &days
}

type partnerOut struct{ Body Partner }

type listPartners struct {
	Paged
	State string `query:"state" enum:"pending,allowed,blocked"`
}

type newPartner struct {
	Once
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"255" doc:"Host, and port unless it is 443, of the partner's public URL."`
	}
}

// PartnerPath names a server.
type PartnerPath struct {
	Name string `path:"name" maxLength:"255"`
}

type allowPartner struct {
	PartnerPath
	Once
	Body struct {
		Fingerprint string `json:"fingerprint,omitempty" maxLength:"128" doc:"Of the key to pin; the one that was shown when left out."`
		Confusable  bool   `json:"confusable,omitempty" doc:"It is this server that is meant, although its name resembles another's. Without it that is refused with 409 and the code confusable."`
	}
}

type changePartner struct {
	PartnerPath
	Once
}

func (a *API) partnerRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/admin/partners", id: "partners", tag: "admin", summary: "The servers that this one knows, by name",
	}, func(ctx context.Context, c *caller, in *listPartners) (*listed[Partner], error) {
		if err := needAdmin(c); err != nil {
			return nil, err
		}
		partners, next, err := a.Partners.Partners(ctx, threads.PartnerState(in.State), in.page())
		if err != nil {
			return nil, err
		}
		now := a.clock()
		return listOf(ctx, partners, next, func(p threads.PartnerSight) Partner { return PartnerOf(p, now) }), nil
	})
	register(a, operation{
		method: http.MethodGet, path: "/admin/partners/{name}", id: "partner", tag: "admin", summary: "A server that this one knows",
	}, func(ctx context.Context, c *caller, in *PartnerPath) (*partnerOut, error) {
		if err := needAdmin(c); err != nil {
			return nil, err
		}
		p, err := a.Partners.Partner(ctx, in.Name)
		if err != nil {
			return nil, unseen(err)
		}
		return &partnerOut{PartnerOf(p, a.clock())}, nil
	})
	register(a, operation{
		method: http.MethodPost, path: "/admin/partners", id: "add-partner", tag: "admin", status: http.StatusCreated,
		summary: "Ask a server who it is; its administrator and you then allow each other",
	}, func(ctx context.Context, c *caller, in *newPartner) (*partnerOut, error) {
		return a.decide(ctx, c, in.Once, in.Body, func() (threads.Partner, error) { return a.PartnerBook.AddPartner(ctx, c.person.ID, in.Body.Name) })
	})
	register(a, operation{
		method: http.MethodPost, path: "/admin/partners/{name}/allow", id: "allow-partner", tag: "admin",
		summary: "Pin a server's key and exchange with it",
	}, func(ctx context.Context, c *caller, in *allowPartner) (*partnerOut, error) {
		return a.decide(ctx, c, in.Once, in.Body, func() (threads.Partner, error) {
			if in.Body.Confusable {
				return a.PartnerBook.AllowConfusable(ctx, c.person.ID, in.Name, in.Body.Fingerprint)
			}
			return a.PartnerBook.AllowPartner(ctx, c.person.ID, in.Name, in.Body.Fingerprint)
		})
	})
	for _, v := range []struct {
		verb, summary string
		do            partnerDeed
	}{
		{
			"block", "End all exchange with a server; what is held stays, here and in the channels named",
			func(ctx context.Context, by, name string) (threads.Partner, error) {
				return a.PartnerBook.BlockPartner(ctx, by, name)
			},
		},
		{
			"pause", "Stop the exchange with a server until it is resumed: nothing is sent or fetched",
			func(ctx context.Context, by, name string) (threads.Partner, error) {
				return a.PartnerPace.PausePartner(ctx, by, name)
			},
		},
		{"resume", "End a pause", func(ctx context.Context, by, name string) (threads.Partner, error) {
			return a.PartnerPace.ResumePartner(ctx, by, name)
		}},
		{
			"retry", "Try a server again now, parked channels included",
			func(ctx context.Context, by, name string) (threads.Partner, error) {
				return a.PartnerPace.RetryPartner(ctx, by, name)
			},
		},
		{
			"resync", "Compare every shared channel with a server again, both ways, and exchange what is lacking",
			func(ctx context.Context, by, name string) (threads.Partner, error) {
				return a.PartnerPace.ResyncPartner(ctx, by, name)
			},
		},
	} {
		a.partnerVerb(v.verb, v.summary, v.do)
	}
}

// partnerDeed is what an administrator, by, does to a partner.
type partnerDeed func(ctx context.Context, by, name string) (threads.Partner, error)

// partnerVerb is a route that does one thing to a partner.
func (a *API) partnerVerb(verb, summary string, do partnerDeed) {
	register(a, operation{
		method: http.MethodPost, path: "/admin/partners/{name}/" + verb, id: verb + "-partner", tag: "admin", summary: summary,
	}, func(ctx context.Context, c *caller, in *changePartner) (*partnerOut, error) {
		return a.decide(ctx, c, in.Once, verb, func() (threads.Partner, error) { return do(ctx, c.person.ID, in.Name) })
	})
}

// decide does what an administrator decided about a partner; done twice it
// comes to the same.
func (a *API) decide(ctx context.Context, c *caller, key Once, body any, do func() (threads.Partner, error)) (*partnerOut, error) {
	if err := needAdmin(c); err != nil {
		return nil, err
	}
	if err := a.claimOnce(ctx, c, "decide-partner", key, body); err != nil {
		return nil, err
	}
	p, err := do()
	if err != nil {
		return nil, err
	}
	shown, err := a.Partners.Partner(ctx, p.Name)
	return &partnerOut{PartnerOf(shown, a.clock())}, err
}
