package sim_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/config"
	"meridian/federation"
	"meridian/internal/loopback"
	"meridian/server"
)

// A victim is a whole server as the program runs it, that others try to harm: real listeners on
// loopback, a real database, people with tokens.
type victim struct {
	t       testing.TB
	name    string
	url     string
	admin   string
	options server.Options
	ahead   atomic.Int64 // nanoseconds by which its clock is ahead
	stop    func()       // ends the run; safe to repeat
}

// client is used for all requests of a test, so that connections are shared.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 8},
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// newVictim installs a server on a database, "" for SQLite in its data_dir, and runs it.
func newVictim(t testing.TB, database string) *victim {
	t.Helper()
	dir, err := os.MkdirTemp("", "h") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &victim{t: t, name: freeAddress(t), stop: func() {}}
	h.url = "http://" + h.name
	admin := freeAddress(t)
	h.admin = "http://" + admin
	var file bytes.Buffer
	if err := config.WriteDefault(&file, h.url, dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "meridian.yaml")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := federation.CreateKey(server.KeyFile(dir), rand.Reader); err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{"admin_listen": admin}
	if database != "" {
		flags["database"] = database
	}
	settings, err := config.Load(path, nil, flags)
	if err != nil {
		t.Fatal(err)
	}
	// What is tried here is not how much of it is let through.
	settings.Limits.PartnerRate, settings.Limits.PersonRate, settings.Limits.AnonymousRate = 100_000, 100_000, 100_000
	h.options = server.Options{Config: settings, Log: slog.New(slog.DiscardHandler), Clock: h.now, Version: "test"}
	if testing.Verbose() && os.Getenv("HOSTILE_LOG") != "" {
		h.options.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := loopback.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func (h *victim) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// start runs the server over whatever its database holds.
func (h *victim) start() {
	h.t.Helper()
	h.options.Registry = prometheus.NewRegistry()
	s, err := server.New(context.Background(), h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err, running := <-ended; running && err != nil {
			h.t.Errorf("%s: %v", h.name, err)
		}
		h.stop = func() {}
	}
	h.eventually("ready", func() bool {
		answer, err := client.Get(h.admin + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

func (h *victim) restart() {
	h.t.Helper()
	h.stop()
	h.start()
}

// eventually fails the test when something is not so in time.
func (h *victim) eventually(what string, f func() bool) {
	h.t.Helper()
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	h.t.Fatalf("%s: not %s in time", h.name, what)
}

// operate runs an operation of the administrator's socket.
func (h *victim) operate(operation string, in, out any) {
	h.t.Helper()
	o := h.options
	o.Registry = prometheus.NewRegistry()
	err := server.Attach(context.Background(), o, func(c *http.Client) error {
		return server.Call(context.Background(), c, operation, in, out)
	})
	if err != nil {
		h.t.Fatalf("%s: %v", operation, err)
	}
}

// person adds somebody and returns their id and a token of theirs.
func (h *victim) person(name string) (id, token string) {
	h.t.Helper()
	var made server.Account
	var issued server.IssuedToken
	h.operate("people.add", server.NewAccount{Name: name}, &made)
	h.operate("tokens.create", server.TokenFor{Name: name}, &issued)
	return made.ID, issued.Token
}

// befriend makes somebody else's server a partner, as far as it is up to this one.
func (h *victim) befriend(name string) {
	h.t.Helper()
	h.operate("partners.add", server.PartnerChange{Name: name}, nil)
	h.operate("partners.allow", server.PartnerChange{Name: name}, nil)
}

// call does a request of the client interface and returns the status of the answer and its body.
func (h *victim) call(token, method, path string, in any) (int, []byte) {
	h.t.Helper()
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			h.t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, h.url+"/api/v1"+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, raw
}

// must is call for what has to succeed; it decodes the answer.
func (h *victim) must(token, method, path string, in, out any) {
	h.t.Helper()
	status, raw := h.call(token, method, path, in)
	if status >= 300 {
		h.t.Fatalf("%s %s: %d %s", method, path, status, raw)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			h.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
}

// shown is what the client interface gives of things.
type shown struct {
	ID, Body, Author, Title, State string
	ReplyTo                        string `json:"reply_to"`
}

type list struct{ Items []shown }

// messages are those of a thread as a person sees them.
func (h *victim) messages(token, thread string) []shown {
	h.t.Helper()
	var all list
	h.must(token, http.MethodGet, "/threads/"+thread+"/messages?limit=200", nil, &all)
	return all.Items
}

// stateHash is that of a channel.
func (h *victim) stateHash(token, channel string) string {
	h.t.Helper()
	var state struct {
		StateHash string `json:"state_hash"`
	}
	h.must(token, http.MethodGet, "/channels/"+channel+"/state", nil, &state)
	if state.StateHash == "" {
		h.t.Fatal("no state hash")
	}
	return state.StateHash
}

// volatile are the tables that say how the exchange with partners goes, and those in which the
// search index of SQLite keeps its pages.
func volatile(table string) bool {
	return table == "partner" || table == "partner_channel" || strings.HasPrefix(table, "sqlite_") || strings.HasPrefix(table, "search_")
}

// rows counts what the database holds, by table, without what is volatile.
func (h *victim) rows() map[string]int {
	h.t.Helper()
	counts := h.allRows()
	maps.DeleteFunc(counts, func(table string, _ int) bool { return volatile(table) })
	return counts
}

// allRows counts what the database holds, by table.
func (h *victim) allRows() map[string]int {
	h.t.Helper()
	kind, at, _ := strings.Cut(h.options.Config.Database, ":")
	driver, source, tables := "sqlite", "file:"+at+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)", "select name from sqlite_master where type = 'table'"
	if kind != "sqlite" {
		driver, source, tables = "postgres", h.options.Config.Database, "select table_name from information_schema.tables where table_schema = current_schema()"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	names, err := db.Query(tables)
	if err != nil {
		h.t.Fatal(err)
	}
	defer names.Close()
	counts := map[string]int{}
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			h.t.Fatal(err)
		}
		var n int
		if err := db.QueryRow(fmt.Sprintf("select count(*) from %q", name)).Scan(&n); err != nil {
			h.t.Fatal(err)
		}
		counts[name] = n
	}
	if err := names.Err(); err != nil || counts["event"] == 0 && len(counts) < 10 {
		h.t.Fatalf("tables %v, %v", counts, err)
	}
	return counts
}

// unchanged fails the test where the database holds more or less than before.
func (h *victim) unchanged(what string, before map[string]int) {
	h.t.Helper()
	for table, n := range h.rows() {
		if n != before[table] {
			h.t.Errorf("%s: %d rows in %s, there were %d", what, n, table, before[table])
		}
	}
}

// scrape reads the metrics: by name with labels.
func (h *victim) scrape() map[string]float64 {
	h.t.Helper()
	answer, err := client.Get(h.admin + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		h.t.Fatalf("scrape: %s, %v", answer.Status, err)
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
			series[line[:at]] = n
		}
	}
	return series
}

// sum adds up the series of a metric.
func sum(series map[string]float64, metric string) (n float64) {
	for name, value := range series {
		if base, _, _ := strings.Cut(name, "{"); base == metric {
			n += value
		}
	}
	return n
}
