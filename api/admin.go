package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"meridian/threads"
)

// Account is a person of this server, as administrators see them: nothing of
// what they do.
type Account struct {
	Person
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled" doc:"They cannot sign in, and no token of theirs works."`
	Created  time.Time `json:"created"`
}

func accountOf(p threads.PersonRecord) Account {
	return Account{Person: personOf(p), Admin: p.Admin, Disabled: p.Disabled, Created: p.Created.UTC()}
}

type accountOut struct{ Body Account }

type newAccount struct {
	Once
	Body newAccountBody
}

type newAccountBody struct {
	Name     string `json:"name" minLength:"1" maxLength:"64" doc:"What stands before the @ of the address, for ever."`
	Shown    string `json:"shown,omitempty" maxLength:"200" doc:"As others see it; the name when left out."`
	Password string `json:"password,omitempty" maxLength:"1024" doc:"At least 8 bytes; left out for who signs in otherwise."`
	Zone     string `json:"zone,omitempty" maxLength:"64" doc:"IANA time zone, like Europe/Berlin."`
	Admin    bool   `json:"admin,omitempty"`
	Bot      bool   `json:"bot,omitempty"`
}

type changeAccount struct {
	Address string `path:"address" maxLength:"320" doc:"name@server"`
	Body    struct {
		Disabled bool `json:"disabled" doc:"Either way every token of theirs is revoked at once."`
	}
}

// needAdmin answers like what does not exist to who is no administrator.
func needAdmin(c *caller) error {
	if !c.person.Admin {
		return notFound()
	}
	return nil
}

func (a *API) adminRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/admin/people", id: "accounts", tag: "admin", summary: "The people of this server, by name",
	}, func(ctx context.Context, c *caller, in *Paged) (*listed[Account], error) {
		if err := needAdmin(c); err != nil {
			return nil, err
		}
		people, next, err := a.Accounts.People(ctx, in.page())
		if err != nil {
			return nil, err
		}
		return listOf(ctx, people, next, accountOf), nil
	})
	register(a, operation{
		method: http.MethodPost, path: "/admin/people", id: "make-account", tag: "admin", status: http.StatusCreated,
		summary: "Make a person of this server",
	}, a.makeAccount)
	register(a, operation{
		method: http.MethodPatch, path: "/admin/people/{address}", id: "change-account", tag: "admin",
		summary: "Shut a person of this server out, or let them in again",
	}, a.changeAccount)
	a.partnerRoutes()
	a.auditRoutes()
	a.erasureRoutes()
	a.forkRoutes()
}

func (a *API) makeAccount(ctx context.Context, c *caller, in *newAccount) (*accountOut, error) {
	if err := needAdmin(c); err != nil {
		return nil, err
	}
	b := in.Body
	n := threads.NewPerson{Name: b.Name, Shown: b.Shown, Zone: b.Zone, Admin: b.Admin, Bot: b.Bot, Created: exchangeOf(ctx).now, By: c.person.ID}
	if _, err := time.LoadLocation(b.Zone); err != nil || b.Zone == "Local" {
		return nil, invalid("/zone", "must be an IANA time zone, like Europe/Berlin")
	}
	if b.Password != "" {
		hash, err := a.verifier.hash(ctx, b.Password)
		if err != nil {
			return nil, err
		}
		n.Password = hash
	}
	told := b
	told.Password = "" // no digest of it may be kept
	if err := a.claimOnce(ctx, c, "make-account", in.Once, told); err != nil {
		return nil, err
	}
	n.ID = a.newPersonID(c, in.IdempotencyKey)
	p, err := a.Accounts.CreatePerson(ctx, n)
	if isKind(err, threads.Conflict) && in.IdempotencyKey != "" {
		if made, again := a.People.Person(ctx, n.ID); again == nil { // by the same request before
			p, err = made, nil
		}
	}
	return &accountOut{accountOf(p)}, err
}

// newPersonID is a fresh id, the same one for a request repeated under its key.
func (a *API) newPersonID(c *caller, key string) string {
	var random [16]byte
	sum := derived(c, "person", key+freshUnless(key))
	copy(random[:], sum[:])
	return threads.PersonID(a.server, random)
}

func (a *API) changeAccount(ctx context.Context, c *caller, in *changeAccount) (*accountOut, error) {
	if err := needAdmin(c); err != nil {
		return nil, err
	}
	p, err := a.People.PersonByAddress(ctx, strings.ToLower(in.Address))
	if err == nil && !p.Local {
		err = notFound()
	}
	if err != nil {
		return nil, unseen(err)
	}
	if p.ID == c.person.ID {
		return nil, refusal(http.StatusConflict, "yourself", "another administrator has to do this to you")
	}
	change := a.Directory.Enable
	if in.Body.Disabled {
		change = a.Directory.Disable
	}
	if err := change(ctx, p.ID, threads.Act{Who: c.person.ID, At: exchangeOf(ctx).now}); err != nil {
		return nil, err
	}
	a.revoked(func(other *caller) bool { return other.person.ID == p.ID })
	p.Disabled = in.Body.Disabled
	return &accountOut{accountOf(p)}, nil
}
