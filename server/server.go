// Package server puts the parts together: it opens the store, loads the key,
// builds journal, federation and the client interface, serves them, runs the
// steps of those who follow the log, and stops it all without losing anything.
// It never decides what may happen in a conversation, and keeps nothing outside
// the value that New returns: several servers can live in one process.
package server

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/api"
	"meridian/config"
	"meridian/federation"
	"meridian/internal/store"
	"meridian/threads/journal"
)

// Options are what a Server is made of; all are required.
type Options struct {
	Config config.Config
	Log    *slog.Logger
	// Clock is the only one that the server reads, deadlines of connections aside.
	Clock func() time.Time
	// Registry takes the metrics of this server and of no other.
	Registry *prometheus.Registry
	// Version of the program, told to people and partners.
	Version string
}

// Server is one organisation's installation.
type Server struct {
	config     config.Config
	log        *slog.Logger
	clock      func() time.Time
	registry   *prometheus.Registry
	version    string
	store      *store.Store
	scrubbed   *scrubMetrics
	journal    *journal.Journal
	federation *federation.Exchange
	api        *api.API
	files      *files
	recent     *federation.Recent
	settleNow  chan struct{} // receives when what waits may have come through another node
	mark       *mark         // nil until the database was held against it
	alarms     *alarms
	wentBack   chan struct{} // receives when the database has gone back
	health     health
	// certificate is shown to people and partners; nil where a proxy does that.
	certificate *certificate
	keyNews     chan struct{}         // receives when another node has another key
	signing     ed25519.PrivateKey    // guarded by rekeying
	rekeying    sync.Mutex            // one change of the keys at a time
	keyBehind   atomic.Pointer[error] // why this node may sign nothing; nil, or to nil, while it may
}

// KeyFile is where the server's key lies in its data_dir.
func KeyFile(dataDir string) string { return filepath.Join(dataDir, "server.key") }

// New opens the store, whose schema it brings up to date, and builds the server
// on it. Nothing is served yet, nobody is contacted: see Run. A server that is
// not run must be closed.
func New(ctx context.Context, o Options) (*Server, error) {
	if err := checkUser(o.Config.DataDir); err != nil {
		return nil, err
	}
	keys, err := federation.LoadKeyring(KeyFile(o.Config.DataDir))
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	s := &Server{signing: keys.Present(), keyNews: make(chan struct{}, 1), config: o.Config, log: o.Log, clock: o.Clock, registry: o.Registry, version: o.Version, settleNow: make(chan struct{}, 1), wentBack: make(chan struct{}, 1)}
	if s.store, err = store.Open(ctx, store.Options{URL: o.Config.Database, Server: o.Config.Server()}); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := s.store.Join(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database: %w", err), s.Close())
	}
	if err := errors.Join(s.compareKey(ctx, keys), s.keyHold()); err != nil {
		return nil, errors.Join(fmt.Errorf("data_dir: %w", err), s.Close())
	}
	s.derive(ctx)
	if err := s.build(keys, o.Version); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.prove(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// checkUser keeps root from leaving files in another user's data_dir that the
// server could not open afterwards.
func checkUser(dataDir string) error {
	info, err := os.Stat(dataDir)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 && owner.Uid != 0 {
		return fmt.Errorf("data_dir: %s belongs to user %d; run this as that user: sudo -u '#%d' meridian …", dataDir, owner.Uid, owner.Uid)
	}
	return nil
}

func (s *Server) build(keys federation.Keyring, version string) error {
	metrics, err := registerMetrics(s.registry, s.store)
	if err != nil {
		return err
	}
	s.log = newCalm(s.log.Handler(), s.clock, metrics.leftOut)
	if s.scrubbed, err = newScrubMetrics(s.registry); err != nil {
		return err
	}
	if s.certificate, err = newCertificate(s.config); err != nil {
		return err
	}
	if err := registerCertificate(s.registry, s.certificate); err != nil {
		return err
	}
	if s.alarms, err = newAlarms(s.registry); err != nil {
		return fmt.Errorf("register metrics of the database: %w", err)
	}
	name := s.config.Server()
	s.health.warn, s.health.key = s.clockWarning, s.keyHold
	s.health.ping, s.health.doubt = s.store.Ping, make(chan struct{}, 1)
	if s.files, err = s.newFiles(); err != nil {
		return err
	}
	s.recent = federation.NewRecent(name, logs{s.store})
	pen := keys.Pen(name, random16)
	pen.Awaited = s.awaited
	s.journal = journal.New(journal.Options{
		Store:  s.store,
		Pen:    pen,
		Clock:  s.clock,
		Failed: s.health.doubts,
		Hold:   func(now time.Time) error { return cmp.Or(s.keyHold(), s.federation.ClockHold(now)) },
		Late:   func(server string) bool { return s.federation.PutsOff(server) },
		Committed: func(c journal.Commit) {
			s.committed(c)
			metrics.committed(c)
			if c.Hidden {
				s.recent.Lost()
			}
			s.erased(c)
			s.recent.Committed(entriesOf(c))
			s.files.committed(c)
		},
	})
	if s.federation, err = federation.New(s.federationOptions(keys, version)); err != nil {
		return err
	}
	s.files.journal, s.files.federation = s.journal, s.federation
	s.api, err = api.New(s.apiOptions(version))
	return err
}

// public is what people and partners reach.
func (s *Server) public() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", s.api)
	partners := s.keyed(s.federation.Handler())
	mux.Handle("/.well-known/meridian", partners)
	mux.Handle("/federation/v1/", partners)
	mux.Handle("GET /{$}", http.RedirectHandler("/api/v1/docs", http.StatusFound)) // who comes by with a browser
	return s.plain(mux)
}

// plain has every answer taken by a browser for what it says it is, and allowed
// nothing, unless the answer itself says more; and gives it the Date of the
// server's clock: partners measure by it how far their clocks are apart.
func (s *Server) plain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Date", s.clock().UTC().Format(http.TimeFormat))
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		h.ServeHTTP(w, r)
	})
}

// operations are what the administrator's command line asks for.
func (s *Server) operations() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /people.add", operation(s.addPerson))
	mux.Handle("POST /people.disable", operation(s.disablePerson))
	mux.Handle("POST /people.erase", operation(s.erasePerson))
	mux.Handle("POST /people.password", operation(s.setPassword))
	mux.Handle("POST /tokens.create", operation(s.createToken))
	mux.Handle("POST /partners.add", operation(s.addPartner))
	mux.Handle("POST /partners.allow", operation(s.allowPartner))
	mux.Handle("POST /partners.block", operation(s.blockPartner))
	mux.Handle("POST /partners.examine", operation(s.examinePartner))
	mux.Handle("POST /partners.pause", operation(s.pausePartner))
	mux.Handle("POST /partners.resume", operation(s.resumePartner))
	mux.Handle("POST /partners.retry", operation(s.retryPartner))
	mux.Handle("POST /partners.resync", operation(s.resyncPartner))
	mux.Handle("POST /clock.trust", operation(s.trustClock))
	mux.Handle("POST /partners.give-up", operation(s.giveUpPartner))
	mux.Handle("POST /partners.list", operation(s.listPartners))
	mux.Handle("POST /keys.rotate", operation(s.rotateKeys))
	mux.Handle("POST /keys.list", operation(s.listKeys))
	mux.Handle("POST /rebuild", operation(s.rebuild))
	mux.Handle("POST /verify", operation(s.verify))
	mux.HandleFunc("POST /import", s.serveImport)
	mux.HandleFunc("POST /backup", s.serveBackup)
	mux.Handle("POST /backup.note", operation(s.noteBackup))
	return mux
}

// Close closes the store. A server that was run has done so.
func (s *Server) Close() error {
	err := s.store.Close()
	if err != nil {
		err = fmt.Errorf("close database: %w", err)
	}
	if s.mark != nil {
		err = errors.Join(err, s.mark.close())
	}
	return err
}
