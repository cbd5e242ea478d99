package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"meridian/threads"
)

// Session is a fresh sign-in.
type Session struct {
	Token  string `json:"token" doc:"Send it as Authorization: Bearer TOKEN. It is shown this once."`
	Person Person `json:"person"`
}

// sessionLife is how long a sign-in lasts.
const sessionLife = 90 * 24 * time.Hour

type signIn struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"320" doc:"Name or address on this server."`
		Password string `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *API) sessionRoutes() {
	type out struct{ Body Session }
	register(a, operation{
		method: http.MethodPost, path: "/sessions", id: "sign-in", tag: "sessions", open: true,
		summary: "Sign in with name and password", status: http.StatusCreated,
	}, func(ctx context.Context, _ *caller, in *signIn) (*out, error) {
		person, err := a.signIn(ctx, in)
		if err != nil {
			return nil, err
		}
		now := exchangeOf(ctx).now
		t := threads.Token{Person: person.ID, Label: "sign-in", Created: now, Expires: now.Add(sessionLife)}
		secret, err := a.newToken(ctx, &t, "")
		if err != nil {
			return nil, err
		}
		return &out{Session{Token: secret, Person: personOf(person)}}, nil
	})
	register(a, operation{
		method: http.MethodDelete, path: "/sessions/current", id: "sign-out", tag: "sessions",
		summary: "Revoke the token that this request bears",
	}, func(ctx context.Context, c *caller, _ *struct{}) (*struct{}, error) {
		return nil, a.revokeToken(ctx, c, c.token, threads.Act{})
	})
}

// signIn checks name and password, at a bounded rate for each client address
// and, so that many addresses cannot guess together, a higher one for each
// name. Which of the two was wrong is not told.
func (a *API) signIn(ctx context.Context, in *signIn) (threads.PersonRecord, error) {
	name := strings.ToLower(in.Body.Name)
	if local, server, ok := strings.Cut(name, "@"); ok {
		if server != a.server {
			return threads.PersonRecord{}, invalid("/name", "must be a name on this server; people of others sign in there")
		}
		name = local
	}
	x := exchangeOf(ctx)
	if err := take(a.rates.signIn, x.from, x.now); err != nil {
		return threads.PersonRecord{}, err // and none of the name's is used up: one address must not keep others from signing in
	}
	if err := take(a.rates.name, name, x.now); err != nil {
		return threads.PersonRecord{}, err
	}
	person, hash, err := a.Accounts.Credentials(ctx, name)
	if err != nil && !isKind(err, threads.NotFound) {
		return person, fmt.Errorf("read credentials: %w", err)
	}
	matches, err := a.verifier.matches(ctx, in.Body.Password, hash)
	if err != nil {
		return person, fmt.Errorf("check password: %w", err)
	}
	if !matches || person.Disabled {
		return person, unauthorized("name or password is wrong")
	}
	return person, nil
}

// newToken stores a token and fills in its id. A secret of "" is made here.
func (a *API) newToken(ctx context.Context, t *threads.Token, secret string) (string, error) {
	if secret == "" {
		secret = "mrd_" + rand.Text()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	t.ID = id.String()
	if err := a.Tokens.AddToken(ctx, *t, secret); err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	return secret, nil
}

func (a *API) revokeToken(ctx context.Context, c *caller, id string, by threads.Act) error {
	if err := a.Tokens.RevokeToken(ctx, c.person.ID, id, by); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	a.revoked(func(other *caller) bool { return other.token == id })
	return nil
}

// derived is a value that repeating a request under its key makes again: only
// who holds the caller's secret can make it.
func derived(c *caller, purpose, key string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join([]string{"meridian", purpose, c.secret, key}, "\x00")))
}

func derivedSecret(c *caller, key string) string {
	sum := derived(c, "token", key)
	return "mrd_" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// freshUnless is a random text where there is no key to derive from.
func freshUnless(key string) string {
	if key != "" {
		return ""
	}
	return rand.Text()
}
