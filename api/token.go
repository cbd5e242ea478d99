package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"meridian/threads"
)

// caller is on whose behalf a request or a socket acts.
type caller struct {
	person  threads.PersonRecord
	token   string // its id
	secret  string
	checked time.Time
}

// maxCallers is how many tokens are remembered, and recheck for how long one is
// believed without asking the store: it may be revoked by another node.
const (
	maxCallers = 10_000
	recheck    = 4 * time.Second
	maxSecret  = 256
)

// sessions remember whom tokens let in. A token that was revoked through this
// process is refused at once.
type sessions struct {
	tokens Tokens

	mu    sync.Mutex // orders remembering after a look-up with forgetting
	round int        // counts forgettings
	known *lru.Cache[[sha256.Size]byte, *caller]
}

func newSessions(tokens Tokens) (*sessions, error) {
	known, err := lru.New[[sha256.Size]byte, *caller](maxCallers)
	return &sessions{tokens: tokens, known: known}, err
}

// remembered is whom the token let in when it was looked up last, nil where
// memory does not say; fresh is whether that still counts.
func (s *sessions) remembered(secret string, now time.Time) (c *caller, fresh bool) {
	c, ok := s.known.Get(sha256.Sum256([]byte(secret)))
	return c, ok && now.Sub(c.checked) < recheck
}

// find is whom the token lets in; a problem of status 401 when nobody.
func (s *sessions) find(ctx context.Context, secret string, now time.Time) (*caller, error) {
	s.mu.Lock()
	round := s.round
	s.mu.Unlock()
	person, token, err := s.tokens.PersonByToken(ctx, secret, now)
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.NotFound {
		s.known.Remove(sha256.Sum256([]byte(secret)))
		return nil, unauthorized("the token is unknown, expired or revoked; sign in again")
	}
	if err != nil {
		return nil, fmt.Errorf("look up token: %w", err)
	}
	c := &caller{person: person, token: token, secret: secret, checked: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.round == round {
		s.known.Add(sha256.Sum256([]byte(secret)), c)
	}
	return c, nil
}

// forget makes every token that matches be looked up again.
func (s *sessions) forget(matches func(*caller) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	for _, key := range s.known.Keys() {
		if c, ok := s.known.Peek(key); ok && matches(c) {
			s.known.Remove(key)
		}
	}
}

// Revoked must be called after every token of a person was revoked by other
// means than this interface: requests and open sockets end at once.
func (a *API) Revoked(person string) {
	a.revoked(func(c *caller) bool { return c.person.ID == person })
}

// Erased must be called when a person was erased: their address is shown no more.
func (a *API) Erased(person string) { a.names.known.Remove(person) }

// Elsewhere must be called when another node of this organisation has changed a
// person's account, tokens or profile, with "" when it may have changed anybody's:
// who they are is looked up again, and sockets whose token was revoked end.
func (a *API) Elsewhere(person string) {
	a.sessions.forget(func(c *caller) bool { return person == "" || c.person.ID == person })
	a.names.forget(person)
	if person != "" { // of all sockets the next sweep asks
		a.hub.suspectPerson(person)
	}
}

// revoked shuts out at once what a change in the store has revoked: requests
// and open sockets.
func (a *API) revoked(matches func(*caller) bool) {
	a.sessions.forget(matches)
	a.hub.revoke(matches)
}

// bearer is the token of the Authorization header; RFC 6750 §2.1. Cookies are
// never read.
func bearer(h http.Header) (secret string, given bool, err error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", false, nil
	}
	scheme, secret, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || secret == "" || len(secret) > maxSecret {
		return "", false, unauthorized("send one header Authorization: Bearer TOKEN")
	}
	return secret, true, nil
}

func unauthorized(detail string) *Problem {
	return refusal(http.StatusUnauthorized, "unauthorized", detail)
}
