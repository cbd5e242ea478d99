package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// pingTimeout bounds how long readiness waits for the database.
const pingTimeout = 3 * time.Second

// health says whether this server can serve. It never asks about partners:
// their outages are theirs.
type health struct {
	ready atomic.Bool // listening and not stopping
	ping  func(context.Context) error
	key   func() error             // that this node may sign nothing
	warn  func() map[string]string // what needs an operator, though it serves
	stuck atomic.Bool              // the last try to write failed
	doubt chan struct{}            // holds a value when something was not stored
}

// check is what is amiss, by part; empty when the server is ready. That the
// schema is migrated and the key is loaded is so from the first moment: without
// them there is no server.
func (h *health) check(ctx context.Context) map[string]string {
	amiss := map[string]string{}
	if !h.ready.Load() {
		amiss["server"] = "starting or stopping"
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := h.ping(ctx); err != nil {
		amiss["database"] = "does not answer; look at the server's log and the database"
	} else if h.stuck.Load() {
		amiss["database"] = "takes no writes; look at the server's log, the room on its disk and the database"
	}
	if err := h.key(); err != nil {
		amiss["key"] = err.Error()
	}
	return amiss
}

// How often writing is tried: while all is well, and while it fails.
const (
	probeEvery = time.Minute
	probeStuck = time.Second
)

// doubts has writing tried at once. It never blocks.
func (h *health) doubts(error) {
	select {
	case h.doubt <- struct{}{}:
	default: // it is about to be
	}
}

// tryWriting is a step that finds out whether what people write can be stored,
// for a full disk lets everything be read.
func (s *Server) tryWriting(ctx context.Context, now time.Time) (time.Time, error) {
	err := s.store.Probe(ctx)
	if ctx.Err() != nil {
		return now, nil
	}
	if was := s.health.stuck.Swap(err != nil); err != nil && !was {
		s.log.Error("nothing can be stored; it is tried every second", "error", err)
	} else if err == nil && was {
		s.log.Info("what is written is stored again")
	}
	if err != nil {
		return now.Add(probeStuck), nil
	}
	return now.Add(probeEvery), nil
}

func (h *health) serveReady(w http.ResponseWriter, r *http.Request) {
	amiss := h.check(r.Context())
	status, body := http.StatusOK, map[string]any{"status": "ready"}
	if warnings := h.warn(); len(warnings) > 0 {
		body["warnings"] = warnings
	}
	if len(amiss) > 0 {
		status, body = http.StatusServiceUnavailable, map[string]any{"status": "not ready", "errors": amiss}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the asker is gone: nobody to tell
}

// adminHandler serves what operators and their machines ask for. It has no
// sign-in: admin_listen must be kept from strangers.
func adminHandler(h *health, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("alive\n"))
	})
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 3, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}
