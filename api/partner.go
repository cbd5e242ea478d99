package api

import (
	"context"
	"net/http"
	"time"

	"meridian/threads"
)

// Partner is another organisation's server.
type Partner struct {
	Name         string     `json:"name"`
	State        string     `json:"state" enum:"pending,allowed,blocked"`
	Fingerprint  string     `json:"fingerprint" doc:"Of its key: compare it with its administrators before you allow it."`
	Verified     bool       `json:"verified" doc:"Its own page gave the same key."`
	Hold         string     `json:"hold,omitempty" doc:"Why nothing is exchanged for now."`
	Backlog      int64      `json:"backlog" doc:"Events of this server that it has not applied yet, of those within 10,000 journal positions."`
	Oldest       *time.Time `json:"oldest_undelivered,omitempty" doc:"When the oldest of these was written."`
	Added        time.Time  `json:"added"`
	ContactIn    *time.Time `json:"contact_in,omitempty" doc:"Its last request to this server."`
	ContactOut   *time.Time `json:"contact_out,omitempty" doc:"Its last answer to this server."`
	Error        string     `json:"error,omitempty" doc:"The last one, in plain words."`
	Remedy       string     `json:"remedy,omitempty"`
	Attempts     int64      `json:"attempts" doc:"Failed in a row."`
	NextTry      *time.Time `json:"next_try,omitempty"`
	ClockSeconds float64    `json:"clock_seconds" doc:"How far its clock is ahead of this server's."`
}

// partner is a server with what it has not got yet.
func (a *API) partner(ctx context.Context, p threads.Partner) (Partner, error) {
	waiting, err := a.Partners.Backlog(ctx, p.Name)
	return Partner{
		Name: p.Name, State: string(p.State), Fingerprint: p.Fingerprint, Verified: p.Verified, Hold: p.Hold,
		Backlog: waiting.Events, Oldest: unlessZero(waiting.Oldest),
		Added: p.Added.UTC(), ContactIn: unlessZero(p.ContactIn), ContactOut: unlessZero(p.ContactOut),
		Error: p.Error, Remedy: p.Remedy, Attempts: p.Attempts, NextTry: unlessZero(p.NextTry),
		ClockSeconds: p.ClockDiff.Seconds(),
	}, err
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
	}
}

type blockPartner struct {
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
		shown := make([]Partner, len(partners))
		for i := range partners {
			if shown[i], err = a.partner(ctx, partners[i]); err != nil {
				return nil, err
			}
		}
		return listOf(ctx, shown, next, func(p Partner) Partner { return p }), nil
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
		shown, err := a.partner(ctx, p)
		return &partnerOut{shown}, err
	})
	register(a, operation{
		method: http.MethodPost, path: "/admin/partners", id: "add-partner", tag: "admin", status: http.StatusCreated,
		summary: "Ask a server who it is; its administrator and you then allow each other",
	}, func(ctx context.Context, c *caller, in *newPartner) (*partnerOut, error) {
		return a.decide(ctx, c, in.Once, in.Body, func() (threads.Partner, error) { return a.PartnerBook.AddPartner(ctx, in.Body.Name) })
	})
	register(a, operation{
		method: http.MethodPost, path: "/admin/partners/{name}/allow", id: "allow-partner", tag: "admin",
		summary: "Pin a server's key and exchange with it",
	}, func(ctx context.Context, c *caller, in *allowPartner) (*partnerOut, error) {
		return a.decide(ctx, c, in.Once, in.Body, func() (threads.Partner, error) {
			return a.PartnerBook.AllowPartner(ctx, in.Name, in.Body.Fingerprint)
		})
	})
	register(a, operation{
		method: http.MethodPost, path: "/admin/partners/{name}/block", id: "block-partner", tag: "admin",
		summary: "End all exchange with a server; what is held stays",
	}, func(ctx context.Context, c *caller, in *blockPartner) (*partnerOut, error) {
		return a.decide(ctx, c, in.Once, nil, func() (threads.Partner, error) { return a.PartnerBook.BlockPartner(ctx, in.Name) })
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
	shown, err := a.partner(ctx, p)
	return &partnerOut{shown}, err
}
