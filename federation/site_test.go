package federation_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/federation"
	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// A site is a whole server without a client interface: database, journal and exchange behind a real
// listener on loopback.
type site struct {
	t        testing.TB
	name     string
	key      ed25519.PrivateKey // its first
	ring     federation.Keyring
	path     string
	handler  *switchboard
	store    *store.Store
	journal  *journal.Journal
	exchange *federation.Exchange
	fates    fates
	failing  atomic.Bool // channels cannot be looked up, until a step has failed for it
	now      func() time.Time
	events   int // of one server that it takes a second; 0 for the default
	stop     func()

	rate      int               // exchanges a second of one partner; 0 for what servers allow
	welcomes  bool              // federation is open
	transport http.RoundTripper // to partners; nil for one to loopback
	registry  *prometheus.Registry
	said      io.Writer // takes its log as well, where it is not nil
}

// switchboard lets a test take a server off the network and look at what is asked of it.
type switchboard struct {
	mu      sync.Mutex
	handler http.Handler
	down    bool
	chokes  string // a body with this in it is answered with 500
	hears   func(body string)
}

func (s *switchboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h, down := s.handler, s.down
	chokes, hears := s.chokes, s.hears
	s.mu.Unlock()
	if down || h == nil {
		panic(http.ErrAbortHandler)
	}
	if chokes != "" || hears != nil {
		body, _ := io.ReadAll(r.Body)
		if hears != nil {
			hears(string(body))
		}
		if chokes != "" && bytes.Contains(body, []byte(chokes)) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	h.ServeHTTP(w, r)
}

func (s *switchboard) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// logs are the store's logs as the exchange needs them.
type logs struct{ *store.Store }

func (l logs) LogEvents(ctx context.Context, channel threads.Hash, from threads.Ref, limit int) ([]*threads.Event, error) {
	return l.Store.LogEvents(ctx, store.Span{Channel: channel, Log: from.LogID, From: from.Seq, Limit: limit, Bytes: federation.MaxBody})
}

// trying is a journal whose channels cannot always be looked up.
type trying struct {
	*journal.Journal
	site *site
}

func (j trying) Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	if j.site.failing.Load() {
		return nil, errors.New("the database went away")
	}
	return j.Journal.Channel(ctx, id)
}

func newSite(t testing.TB) *site {
	t.Helper()
	return newSiteOn(t, onSQLite(t))
}

func newSiteOn(t testing.TB, database string) *site {
	t.Helper()
	board := &switchboard{}
	listener := httptest.NewServer(board)
	t.Cleanup(listener.Close)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, name: listener.Listener.Addr().String(), key: key, ring: federation.Keyring{{Private: key}}, handler: board,
		path: database, now: time.Now,
	}
	s.open()
	t.Cleanup(func() { s.close() })
	return s
}

// open starts the server over whatever its database holds.
func (s *site) open() {
	s.t.Helper()
	var err error
	s.registry = prometheus.NewRegistry()
	if s.store, err = store.Open(context.Background(), store.Options{URL: s.path, Server: s.name}); err != nil {
		s.t.Fatal(err)
	}
	recent := federation.NewRecent(s.name, logs{s.store})
	s.journal = journal.New(journal.Options{
		Store: s.store, Clock: s.now, Committed: func(c journal.Commit) {
			var entries []threads.Entry
			for _, e := range c.Entries {
				entries = append(entries, threads.Entry{Pos: e.Pos, Event: e.Event, Void: e.Void})
			}
			recent.Committed(entries)
		},
		Pen:  s.ring.Pen(s.name, random16),
		Late: func(server string) bool { return s.exchange.PutsOff(server) },
	})
	s.exchange, err = federation.New(federation.Options{
		Server: s.name, Keys: s.ring, Events: s.events, Journal: trying{s.journal, s}, Logs: recent, Neighbours: s.store, Partners: s.store,
		Deliveries: s.store, Invitations: s.store, People: s.store, Erasures: s.store,
		Do: func(ctx context.Context, o federation.Order) error {
			_, err := s.journal.Do(ctx, journal.Request{Actor: o.Actor, Key: o.Key, Now: o.Now, Command: o.Command})
			return err
		},
		Told:      s.fates.told,
		Transport: cmp.Or(s.transport, http.RoundTripper(federation.NewTransport(onLoopback(), nil))),
		Clock:     s.now, Jitter: func() float64 { return 0.5 }, NewID: uuid.NewString, Rate: s.rate, Open: s.welcomes,
		Log: slog.New(slog.NewTextHandler(s.logTo(), nil)), Software: "test", Registry: s.registry,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.handler.mu.Lock()
	s.handler.handler = s.exchange.Handler()
	s.handler.mu.Unlock()
	s.start()
}

func onLoopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func (s *site) logTo() io.Writer {
	if s.said != nil {
		return s.said
	}
	if testing.Verbose() {
		return testWriter{s}
	}
	return io.Discard
}

type testWriter struct{ *site }

func (w testWriter) Write(b []byte) (int, error) {
	fmt.Printf("%s %s", w.name, b)
	return len(b), nil
}

// start runs a goroutine for each server that this one exchanges with, as package server does.
func (s *site) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	served := map[string]bool{}
	all.Go(func() {
		for ctx.Err() == nil {
			couriers, err := s.exchange.Couriers(ctx)
			if err != nil && ctx.Err() == nil {
				s.t.Errorf("couriers: %v", err)
				return
			}
			for _, c := range couriers {
				if !served[c.Name()] {
					served[c.Name()] = true
					all.Go(func() { s.drive(ctx, c) })
				}
			}
			wait(ctx, 20*time.Millisecond, nil, nil)
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			next, err := s.exchange.RenewKeys(ctx, s.now())
			if err != nil && ctx.Err() == nil {
				s.t.Errorf("renew keys: %v", err)
				return
			}
			wait(ctx, next.Sub(s.now()), nil, s.exchange.KeysChanged())
		}
	})
	s.stop = func() {
		cancel()
		all.Wait()
	}
}

func random16() (b [16]byte) {
	_, _ = rand.Read(b[:])
	return b
}

func (s *site) drive(ctx context.Context, c *federation.Courier) {
	for ctx.Err() == nil {
		changed := s.journal.Changed()
		next, err := c.Step(ctx, s.now())
		if s.failing.CompareAndSwap(true, false) && err != nil {
			continue
		}
		if err != nil && ctx.Err() == nil {
			s.t.Errorf("step of %s to %s: %v", s.name, c.Name(), err)
			return
		}
		wait(ctx, max(next.Sub(s.now()), time.Millisecond), changed, c.Woken())
	}
	if err := c.Flush(context.Background()); err != nil {
		s.t.Errorf("flush: %v", err)
	}
}

func wait(ctx context.Context, d time.Duration, changed, woken <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-changed:
	case <-woken:
	}
}

func (s *site) close() {
	if s.store == nil {
		return
	}
	s.handler.mu.Lock()
	s.handler.handler = nil
	s.handler.mu.Unlock()
	s.stop()
	if err := s.store.Close(); err != nil {
		s.t.Errorf("close: %v", err)
	}
	s.store = nil
}

// person makes somebody of this server.
func (s *site) person(name string) threads.PersonRecord {
	s.t.Helper()
	var random [16]byte
	_, _ = rand.Read(random[:])
	p, err := s.store.CreatePerson(context.Background(), threads.NewPerson{
		ID: threads.PersonID(s.name, random), Name: name, Shown: name, Zone: "Europe/Berlin", Created: s.now(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// do carries out a command and returns the ids of its events.
func (s *site) do(actor string, c threads.Command) []threads.Hash {
	s.t.Helper()
	done, err := s.journal.Do(context.Background(), journal.Request{Actor: actor, Now: s.now(), Command: c})
	if err != nil {
		s.t.Fatalf("%T: %v", c, err)
	}
	return done.IDs
}

func (s *site) channel(id threads.Hash) *threads.Channel {
	s.t.Helper()
	c, err := s.journal.Channel(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// hash is the state hash of a channel.
func (s *site) hash(channel threads.Hash) string {
	s.t.Helper()
	h, err := s.store.StateHash(context.Background(), channel)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(h)
}

// befriend makes two servers partners by the steps that their administrators take.
func befriend(t testing.TB, a, b *site) {
	t.Helper()
	for _, pair := range [][2]*site{{a, b}, {b, a}} {
		p, err := pair[0].exchange.AddPartner(context.Background(), threads.ByAdmin, pair[1].name)
		if err != nil {
			t.Fatal(err)
		}
		if p.State == threads.PartnerPending {
			want := federation.Fingerprint(pair[1].key.Public().(ed25519.PublicKey))
			if p.Fingerprint != want {
				t.Fatalf("shown fingerprint %s of %s, want %s", p.Fingerprint, pair[1].name, want)
			}
		}
	}
	for _, pair := range [][2]*site{{a, b}, {b, a}} {
		if _, err := pair[0].exchange.AllowPartner(context.Background(), threads.ByAdmin, pair[1].name, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until f holds.
func eventually(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// invite offers a channel to a person of another server and is the invitation's id there.
func invite(t testing.TB, host *site, owner string, channel threads.Hash, guest *site, person threads.PersonRecord) (offer string) {
	t.Helper()
	ctx := context.Background()
	if _, err := host.exchange.Invite(ctx, owner, channel, person.Address, threads.RoleMember); err != nil {
		t.Fatalf("invite: %v", err)
	}
	eventually(t, time.Minute, "the invitation arrives", func() bool {
		mine, _, err := guest.store.Invitations(ctx, person.ID, threads.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range mine {
			if i.Channel == channel && i.State == threads.InvitationPending {
				offer = i.ID
			}
		}
		return offer != ""
	})
	return offer
}

// join invites a person of another server, and that person accepts.
func join(t testing.TB, host *site, owner string, channel threads.Hash, guest *site, person threads.PersonRecord) {
	t.Helper()
	offer := invite(t, host, owner, channel, guest, person)
	i, err := guest.exchange.Answer(context.Background(), person.ID, offer, true)
	if err != nil || i.State != threads.InvitationJoined {
		t.Fatalf("accept: %+v, %v", i, err)
	}
}

func orderOf(actor string, c threads.Command) federation.Order {
	return federation.Order{Actor: actor, Now: time.Now(), Command: c}
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}
