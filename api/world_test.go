package api_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"meridian/api"
	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

const kobo = "kobo.example"

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// world is the client interface of one server over a real journal and store.
type world struct {
	t        testing.TB
	database string // its URL
	limits   api.Limits
	store    *store.Store
	journal  *journal.Journal
	registry *prometheus.Registry
	logged   *logs
	api      *api.API
	http     *httptest.Server
	client   *http.Client
	lookUps  *lookUps
	files    *shelves
	url      string
	ahead    atomic.Int64 // how far the clock was moved on, ns
	still    atomic.Int64 // when the clock was stopped, ns since 1970; 0 while it goes
	fails    atomic.Bool  // memberships cannot be read
	stop     func()
}

// logs is what the server wrote to its log.
type logs struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func newWorld(t testing.TB, limits api.Limits) *world {
	t.Helper()
	return newWorldOn(t, "sqlite:"+filepath.Join(t.TempDir(), "w.db"), limits)
}

// onBoth runs a test on each kind of database.
func onBoth(t *testing.T, test func(*testing.T, *world)) {
	t.Run("SQLite", func(t *testing.T) { test(t, newWorld(t, api.Limits{})) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, newWorldOn(t, pgtest.URL(t), api.Limits{})) })
}

func newWorldOn(t testing.TB, database string, limits api.Limits) *world {
	t.Helper()
	if limits.PersonRate == 0 {
		limits.PersonRate = 1_000_000
	}
	if limits.AnonymousRate == 0 {
		limits.AnonymousRate = 1_000_000
	}
	if limits.SignIns == 0 {
		limits.SignIns = 1_000_000
	}
	w := &world{t: t, database: database, limits: limits, client: http.DefaultClient}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) now() time.Time {
	now := time.Now()
	if stopped := w.still.Load(); stopped != 0 {
		now = time.Unix(0, stopped)
	}
	return now.Add(time.Duration(w.ahead.Load()))
}

// start brings the server up over what the database holds.
func (w *world) start() {
	w.t.Helper()
	var err error
	if w.store, err = store.Open(context.Background(), store.Options{URL: w.database, Server: kobo}); err != nil {
		w.t.Fatal(err)
	}
	seed := sha256.Sum256([]byte(kobo))
	private := ed25519.NewKeyFromSeed(seed[:])
	w.journal = journal.New(journal.Options{Store: w.store, Clock: w.now, Pen: threads.Pen{
		Server: kobo,
		Key:    threads.Key{ID: "https://" + kobo + "/keys/1", Public: private.Public().(ed25519.PublicKey)},
		Sign:   func(m []byte) []byte { return ed25519.Sign(private, m) },
		Random: random16,
	}})
	w.registry, w.logged = prometheus.NewRegistry(), &logs{}
	w.api, err = api.New(api.Options{
		Server: kobo, Version: "test", Lost: store.Lost, Clock: w.now, Log: slog.New(slog.NewJSONHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: w.registry, Features: []string{"search"}, Limits: w.limits, Needs: w.needs(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.api.Run(ctx) }()
	w.http = httptest.NewServer(w.api)
	w.url = w.http.URL
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		w.http.Close()
		if err := w.store.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

func random16() (b [16]byte) {
	rand.Read(b[:])
	return b
}

// pen gives the journal the types of the client interface.
type pen struct{ *journal.Journal }

func (p pen) Do(ctx context.Context, r api.Request) (api.Result, error) {
	done, err := p.Journal.Do(ctx, journal.Request(r))
	return api.Result(done), err
}

type entries struct {
	*store.Store
	*journal.Journal
}

func (e entries) Changed() <-chan struct{} { return e.Journal.Changed() }

// user is a person with a token.
type user struct {
	w             *world
	id            string
	address       string
	token, secret string
}

func (w *world) user(name string, admin bool) *user {
	w.t.Helper()
	p, err := w.store.CreatePerson(context.Background(), threads.NewPerson{
		ID: threads.PersonID(kobo, random16()), Name: name, Admin: admin, Created: w.now(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	u := &user{w: w, id: p.ID, address: p.Address, secret: rand.Text(), token: uuid.Must(uuid.NewV7()).String()}
	if err := w.store.AddToken(context.Background(), threads.Token{ID: u.token, Person: p.ID, Label: "test", Created: w.now()}, u.secret); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// answer is what came back of a request.
type answer struct {
	status int
	header http.Header
	raw    []byte
}

// into decodes the body.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.raw, v); err != nil {
		t.Fatalf("%v in %s", err, a.raw)
	}
}

// text is a member of the body, "" when it is not there.
func (a answer) text(key string) string {
	var o map[string]any
	if json.Unmarshal(a.raw, &o) != nil {
		return ""
	}
	s, _ := o[key].(string)
	return s
}

// send makes a request as the user, a stranger for nil; headers are pairs.
func (w *world) send(u *user, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, w.url+"/api/v1"+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if u != nil {
		r.Header.Set("Authorization", "Bearer "+u.secret)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{res.StatusCode, res.Header, raw}
	w.conforms(method, path, a)
	return a
}

// must is send, with the one status that is right.
func (w *world) must(status int, u *user, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	a := w.send(u, method, path, body, headers...)
	if a.status != status {
		w.t.Fatalf("%s %s answered %d instead of %d: %s", method, path, a.status, status, a.raw)
	}
	return a
}

type object = map[string]any

// channel makes a channel of the user's and is its id.
func (w *world) channel(u *user, name string) string {
	w.t.Helper()
	return w.must(201, u, "POST", "/channels", object{"name": name}).text("id")
}

// thread starts a thread and is its id.
func (w *world) thread(u *user, channel, title string) string {
	w.t.Helper()
	return w.must(201, u, "POST", "/channels/"+channel+"/threads", object{"title": title}).text("id")
}

// post writes a message and is its id.
func (w *world) post(u *user, thread, body string) string {
	w.t.Helper()
	return w.must(201, u, "POST", "/threads/"+thread+"/messages", object{"body": body}).text("id")
}
