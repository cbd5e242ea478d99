// Package api serves people's clients: REST, long polls and WebSockets under
// /api/v1, with the OpenAPI document that describes them. It never reads the
// database nor speaks to partners by itself, and never tells anybody what
// another client does: what it needs is passed to it as small interfaces.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/limit"
	"meridian/threads"
)

// Options are what an API is made of. All fields but TrustedProxies and Limits
// are required.
type Options struct {
	Server   string // name of this server, as it stands in addresses
	Version  string // of the program
	Needs    Needs
	Clock    func() time.Time
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Features []string // told by GET /server
	// Lost reports whether an error means that the store cannot work now, so
	// that trying again later may help.
	Lost func(error) bool

	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	Limits         Limits
}

// API is an http.Handler for everything under /api/v1.
type API struct {
	Needs
	server, version string
	features        []string
	lost            func(error) bool
	clock           func() time.Time
	log             *slog.Logger
	proxies         []netip.Prefix
	limits          Limits

	mux       *routes
	huma      huma.API
	ids       requestIDs
	metrics   *metrics
	sessions  *sessions
	lookUps   chan struct{} // holds a value for each look-up for an address that has used up its rate
	verifier  *verifier
	bounds    []limit.Limit
	rates     struct{ person, address, signIn, name *limit.Buckets }
	names     *names
	places    *places
	viewers   *lru.Cache[threads.Hash, string] // a local member of each channel
	edits     *stripes
	json      huma.Format // of bodies
	transfers transfers
	hub       *hub
}

// New makes the client interface. It fails when an option is missing or a
// metric is registered already.
func New(o Options) (*API, error) {
	if o.Server == "" || o.Clock == nil || o.Log == nil || o.Metrics == nil || o.Lost == nil {
		return nil, errors.New("make client interface: server, clock, log, metrics and lost are required")
	}
	a := &API{
		Needs: o.Needs, server: o.Server, version: o.Version, features: o.Features, lost: o.Lost, clock: o.Clock, log: o.Log,
		proxies: o.TrustedProxies, limits: o.Limits.orDefaults(), mux: &routes{ServeMux: http.NewServeMux()}, ids: newRequestIDs(),
		edits: newStripes(), lookUps: make(chan struct{}, maxLookUps), transfers: transfers{persons: map[string]int{}},
	}
	if err := a.prepare(o.Metrics); err != nil {
		return nil, fmt.Errorf("make client interface: %w", err)
	}
	if err := a.routes(); err != nil {
		return nil, fmt.Errorf("make client interface: %w", err)
	}
	return a, nil
}

func (a *API) prepare(registry prometheus.Registerer) (err error) {
	var errs [5]error
	a.metrics, errs[0] = newMetrics(registry)
	a.sessions, errs[1] = newSessions(a.Tokens)
	a.verifier = newVerifier(a.limits.PasswordChecks)
	a.bounds = a.limits.Table()
	a.rates.person, a.rates.address = a.bounds[perPerson].Buckets(), a.bounds[perAddress].Buckets()
	a.rates.signIn, a.rates.name = a.bounds[signInsOfAddress].Buckets(), a.bounds[signInsOfName].Buckets()
	a.names, errs[2] = newNames(a.People)
	a.places, errs[3] = newPlaces()
	a.viewers, errs[4] = lru.New[threads.Hash, string](maxViewers)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	a.hub = newHub(a)
	return nil
}

// Run carries events to clients until ctx ends; without it sockets and long
// polls stay silent. It closes every socket before it returns, so that clients
// come back to another start with their cursors.
func (a *API) Run(ctx context.Context) error { return a.hub.run(ctx) }
