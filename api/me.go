package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"meridian/threads"
	"meridian/threads/worktime"
)

// Me is the person who asks.
type Me struct {
	Profile
	Admin bool `json:"admin" doc:"May use /admin."`
}

func meOf(ctx context.Context, p threads.PersonRecord) (*versioned[Me], error) {
	shown, err := profileOf(p, exchangeOf(ctx).now)
	return &versioned[Me]{ETag: etag(p.Version), Body: Me{Profile: shown, Admin: p.Admin}}, err
}

// Token is a token of the person who asks, without its secret.
type Token struct {
	ID       string     `json:"id"`
	Label    string     `json:"label"`
	Bot      bool       `json:"bot" doc:"Made for a program rather than by signing in."`
	Created  time.Time  `json:"created"`
	LastUsed *time.Time `json:"last_used,omitempty" doc:"To the day."`
	Expires  *time.Time `json:"expires,omitempty"`
	Current  bool       `json:"current" doc:"It is the one that this request bears."`
}

// NewToken is a token with its secret, shown once.
type NewToken struct {
	ID     string `json:"id"`
	Label  string `json:"label"`
	Secret string `json:"token" doc:"Send it as Authorization: Bearer TOKEN. It is shown this once."`
}

func tokenOf(c *caller) func(threads.Token) Token {
	return func(t threads.Token) Token {
		return Token{
			ID: t.ID, Label: t.Label, Bot: t.Bot, Created: t.Created.UTC(),
			LastUsed: unlessZero(t.LastUsed), Expires: unlessZero(t.Expires), Current: t.ID == c.token,
		}
	}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type changeMe struct {
	Unless
	Body struct {
		Name *string `json:"name,omitempty" minLength:"1" maxLength:"200" doc:"As others see it."`
		Zone *string `json:"zone,omitempty" maxLength:"64" doc:"IANA time zone, like Europe/Berlin."`

		Hours worktime.Hours `json:"hours,omitempty" doc:"Working ranges by weekday, mon to sun: {\"mon\":[\"09:00-12:30\",\"13:30-18:00\"]}. One that ends at or before its beginning ends on the next date; weekdays left out are days off. All are replaced."`
	}
}

func (a *API) meRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/me", id: "me", tag: "me", summary: "Your own profile",
	}, func(ctx context.Context, c *caller, _ *struct{}) (*versioned[Me], error) {
		p, err := a.People.Person(ctx, c.person.ID)
		if err != nil {
			return nil, err
		}
		return meOf(ctx, p)
	})
	register(a, operation{
		method: http.MethodPatch, path: "/me", id: "change-me", tag: "me", summary: "Change your own profile",
	}, a.changeMe)
	register(a, operation{
		method: http.MethodPut, path: "/me/password", id: "change-password", tag: "me", status: http.StatusNoContent,
		summary: "Change your password: every other session of yours ends at once",
	}, a.changePassword)
	a.tokenRoutes()
}

type changePassword struct {
	Body struct {
		Current string `json:"current" minLength:"1" maxLength:"1024" doc:"As it is until now."`
		New     string `json:"new" minLength:"1" maxLength:"1024" doc:"At least 8 bytes."`
	}
}

// changePassword checks the present password at the rate of signing in: a
// session that was left open must not be a way to guess it.
func (a *API) changePassword(ctx context.Context, c *caller, in *changePassword) (*struct{}, error) {
	name, _, _ := strings.Cut(c.person.Address, "@")
	if err := take(a.rates.name, name, exchangeOf(ctx).now); err != nil {
		return nil, err
	}
	_, hash, err := a.Accounts.Credentials(ctx, name)
	if err != nil {
		return nil, err
	}
	matches, err := a.verifier.matches(ctx, in.Body.Current, hash)
	if err != nil {
		return nil, fmt.Errorf("check password: %w", err)
	}
	if !matches {
		return nil, refusal(http.StatusForbidden, "wrong_password", "the current password is another one")
	}
	if hash, err = a.verifier.hash(ctx, in.Body.New); err != nil {
		return nil, err
	}
	if err := a.Passwords.ChangePassword(ctx, c.person.ID, hash, c.token); err != nil {
		return nil, err
	}
	theirs := func(other *caller) bool { return other.person.ID == c.person.ID }
	a.sessions.forget(theirs)
	a.hub.recheck(ctx, exchangeOf(ctx).now, theirs)
	return nil, nil
}

func (a *API) changeMe(ctx context.Context, c *caller, in *changeMe) (*versioned[Me], error) {
	if zone := in.Body.Zone; zone != nil && *zone != "" {
		if _, err := worktime.Zone(*zone); err != nil {
			return nil, invalid("/zone", "must be an IANA time zone, like Europe/Berlin")
		}
	}
	hours, err := in.hours()
	if err != nil {
		return nil, err
	}
	end, err := a.alone(ctx, c.person.ID, in.Unless)
	if err != nil {
		return nil, err
	}
	defer end()
	p, err := a.People.Person(ctx, c.person.ID)
	if err != nil {
		return nil, err
	}
	if err := in.holds(p.Version); err != nil {
		return nil, err
	}
	p, err = a.Accounts.ChangeProfile(ctx, threads.ProfileChange{
		Person: c.person.ID, Version: p.Version, Shown: in.Body.Name, Zone: in.Body.Zone, Hours: hours, Now: exchangeOf(ctx).now,
	})
	if isKind(err, threads.Conflict) {
		return nil, stale()
	}
	if err != nil {
		return nil, err
	}
	a.sessions.forget(func(other *caller) bool { return other.person.ID == c.person.ID })
	return meOf(ctx, p)
}

// hours are the working hours as a profile keeps them, nil where they stay.
func (in *changeMe) hours() (*string, error) {
	if in.Body.Hours == nil {
		return nil, nil
	}
	text, err := threads.FormatHours(in.Body.Hours)
	return &text, err
}

type makeToken struct {
	Once
	Body struct {
		Label string `json:"label" minLength:"1" maxLength:"200" doc:"What you call it."`
	}
}

func (a *API) tokenRoutes() {
	type out struct{ Body NewToken }
	register(a, operation{
		method: http.MethodGet, path: "/me/tokens", id: "tokens", tag: "me", summary: "Your tokens, oldest first",
	}, func(ctx context.Context, c *caller, in *Paged) (*listed[Token], error) {
		tokens, next, err := a.Tokens.Tokens(ctx, c.person.ID, in.page())
		if err != nil {
			return nil, err
		}
		return listOf(ctx, tokens, next, tokenOf(c)), nil
	})
	register(a, operation{
		method: http.MethodPost, path: "/me/tokens", id: "make-token", tag: "me",
		summary: "Make a token for a program of yours", status: http.StatusCreated,
	}, func(ctx context.Context, c *caller, in *makeToken) (*out, error) {
		t, secret, err := a.makeToken(ctx, c, in)
		return &out{NewToken{t.ID, t.Label, secret}}, err
	})
	register(a, operation{
		method: http.MethodDelete, path: "/me/tokens/{id}", id: "revoke-token", tag: "me",
		summary: "Revoke a token of yours, at once and for good",
	}, func(ctx context.Context, c *caller, in *struct {
		ID string `path:"id" maxLength:"64"`
	},
	) (*struct{}, error) {
		return nil, a.revokeToken(ctx, c, in.ID, threads.Act{Who: c.person.ID, At: exchangeOf(ctx).now})
	})
}

// makeToken gives the same token again when the request is repeated: its secret
// follows from the caller's and the key, so that neither is stored.
func (a *API) makeToken(ctx context.Context, c *caller, in *makeToken) (threads.Token, string, error) {
	t := threads.Token{Person: c.person.ID, Label: in.Body.Label, Bot: true, Created: exchangeOf(ctx).now, By: c.person.ID}
	if in.IdempotencyKey == "" {
		secret, err := a.newToken(ctx, &t, "")
		return t, secret, err
	}
	if err := a.claimOnce(ctx, c, "make-token", in.Once, in.Body); err != nil {
		return t, "", err
	}
	secret := derivedSecret(c, in.IdempotencyKey)
	_, id, err := a.Tokens.PersonByToken(ctx, secret, t.Created)
	if isKind(err, threads.NotFound) {
		_, err = a.newToken(ctx, &t, secret)
		return t, secret, err
	}
	t.ID = id
	return t, secret, err
}
