package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"meridian/config"
	"meridian/federation"
	"meridian/internal/loopback"
	"meridian/internal/store/pgtest"
)

// site is a server of a test, in this process.
type site struct {
	t       *testing.T
	options Options
	name    string
	url     string
	admin   string
	running *Server       // since the last start
	stop    func() error  // ends the run; safe to repeat
	ahead   *atomic.Int64 // of its clock, where a test puts it forward
}

// sites are the databases that everything has to work on.
func databases(t *testing.T) map[string]func() string {
	return map[string]func() string{
		"SQLite":     func() string { return "" },
		"PostgreSQL": func() string { return pgtest.URL(t) },
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := loopback.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// newSite installs a server on a database, "" for SQLite in its data_dir. It
// does not run yet.
func newSite(t *testing.T, database string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	at := &site{t: t, name: freeAddress(t), stop: func() error { return nil }}
	at.url = "http://" + at.name
	var file bytes.Buffer
	if err := config.WriteDefault(&file, at.url, dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "meridian.yaml")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := federation.CreateKey(KeyFile(dir), rand.Reader); err != nil {
		t.Fatal(err)
	}
	admin := freeAddress(t)
	at.admin = "http://" + admin
	flags := map[string]string{"admin_listen": admin}
	if database != "" {
		flags["database"] = database
	}
	settings, err := config.Load(path, nil, flags)
	if err != nil {
		t.Fatal(err)
	}
	at.options = Options{Config: settings, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Clock: time.Now, Version: "test"}
	return at
}

// start runs the server until the test ends or at.stop is called.
func (at *site) start() {
	at.t.Helper()
	at.options.Registry = prometheus.NewRegistry()
	s, err := New(at.t.Context(), at.options)
	if err != nil {
		at.t.Fatal(err)
	}
	at.running = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var result error
	at.stop = func() error {
		cancel()
		if err, running := <-ended; running {
			result = err
			close(ended)
		}
		return result
	}
	at.t.Cleanup(func() {
		if err := at.stop(); err != nil {
			at.t.Error(err)
		}
	})
	at.eventually("ready", func() bool { return at.status(at.admin+"/readyz", "") == http.StatusOK })
}

// eventually fails the test when something is not so in time.
func (at *site) eventually(what string, f func() bool) {
	at.t.Helper()
	wait := 10 * time.Millisecond
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; time.Sleep(wait) {
		if f() {
			return
		}
		wait = min(2*wait, time.Second/4) // what a person may ask in the long run
	}
	at.t.Fatalf("%s: not %s in time", at.name, what)
}

// status is that of the answer to a GET, 0 without one.
func (at *site) status(url, token string) int {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		at.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

// operate runs an operation of the control socket.
func (at *site) operate(operation string, in, out any) error {
	o := at.options
	o.Registry = prometheus.NewRegistry()
	return Attach(at.t.Context(), o, func(client *http.Client) error {
		return Call(at.t.Context(), client, operation, in, out)
	})
}

// mustOperate fails the test where operate errs.
func (at *site) mustOperate(operation string, in, out any) {
	at.t.Helper()
	if err := at.operate(operation, in, out); err != nil {
		at.t.Fatalf("%s: %v", operation, err)
	}
}

// person adds somebody and returns a token of theirs.
func (at *site) person(name string) string {
	at.t.Helper()
	var issued IssuedToken
	at.mustOperate("people.add", NewAccount{Name: name}, nil)
	at.mustOperate("tokens.create", TokenFor{Name: name}, &issued)
	return issued.Token
}

// call does a request of the client interface and returns its status.
func (at *site) call(token, method, path string, in, out any) int {
	at.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			at.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, at.url+"/api/v1"+path, &body)
	if err != nil {
		at.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	if out != nil && answer.StatusCode < 300 {
		if err := json.Unmarshal(raw, out); err != nil {
			at.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	if answer.StatusCode >= 400 {
		at.t.Logf("%s %s: %s", method, path, raw)
	}
	return answer.StatusCode
}

// refused is call for what is to be refused, and reads the problem.
func (at *site) refused(token, method, path string, in, problem any) int {
	at.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		at.t.Fatal(err)
	}
	r, err := http.NewRequest(method, at.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		at.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(problem); err != nil {
		at.t.Fatal(err)
	}
	return answer.StatusCode
}

// must is call for what has to succeed.
func (at *site) must(token, method, path string, in, out any) {
	at.t.Helper()
	if status := at.call(token, method, path, in, out); status >= 300 {
		at.t.Fatalf("%s %s: %d", method, path, status)
	}
}

// tryPost posts and returns the id of what was acknowledged, else "".
func (at *site) tryPost(token, thread, body string) string {
	r, err := http.NewRequest(http.MethodPost, at.url+"/api/v1/threads/"+thread+"/messages", strings.NewReader(fmt.Sprintf(`{"body":%q}`, body)))
	if err != nil {
		return ""
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	var made item
	if answer.StatusCode != http.StatusCreated || json.NewDecoder(answer.Body).Decode(&made) != nil {
		return ""
	}
	return made.ID
}

// count is how many messages a thread has.
func (at *site) count(token, thread string) int {
	at.t.Helper()
	var found struct{ Messages int }
	at.must(token, http.MethodGet, "/threads/"+thread, nil, &found)
	return found.Messages
}

type item struct {
	ID, Body, Author, State, Channel string
	ReplyTo                          string `json:"reply_to"`
}

type list struct{ Items []item }

// befriend makes two sites partners by the real handshake.
func befriend(a, b *site) {
	for _, pair := range [][2]*site{{a, b}, {b, a}} {
		pair[0].mustOperate("partners.add", PartnerChange{Name: pair[1].name}, nil)
	}
	for _, pair := range [][2]*site{{a, b}, {b, a}} {
		pair[0].mustOperate("partners.allow", PartnerChange{Name: pair[1].name}, nil)
	}
}

// share makes a channel at one site and brings a person of the other one in.
func share(a *site, ana string, b *site, ben, benAddress string) (channel string) {
	a.t.Helper()
	var made item
	a.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Shared"}, &made)
	invite(a, ana, b, ben, benAddress, made.ID)
	return made.ID
}

// invite brings a person of one site into a channel of the other.
func invite(a *site, ana string, b *site, ben, benAddress, channel string) {
	a.t.Helper()
	inviteAs(a, ana, b, ben, newMember{Address: benAddress}, channel)
}

// newMember is the body of a request to bring somebody into a channel.
type newMember struct {
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`
}

func inviteAs(a *site, ana string, b *site, ben string, who newMember, channel string) {
	a.t.Helper()
	a.must(ana, http.MethodPost, "/channels/"+channel+"/members", who, nil)
	var invitations list
	b.eventually("invited", func() bool {
		b.must(ben, http.MethodGet, "/invitations", nil, &invitations)
		return len(invitations.Items) > 0
	})
	b.must(ben, http.MethodPost, "/invitations/"+invitations.Items[0].ID+"/accept", nil, nil)
	b.eventually("a member", func() bool { return b.status(b.url+"/api/v1/channels/"+channel, ben) == http.StatusOK })
}

// stateHash is that of a channel as the site has it.
func (at *site) stateHash(token, channel string) string {
	at.t.Helper()
	var state struct {
		StateHash string `json:"state_hash"`
	}
	at.must(token, http.MethodGet, "/channels/"+channel+"/state", nil, &state)
	if state.StateHash == "" {
		at.t.Fatal("no state hash")
	}
	return state.StateHash
}

func TestWhatIsPostedOnOneSideIsReadAndAnsweredOnTheOther(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, ""), newSite(t, database())
			a.start()
			b.start()
			ana, ben := a.person("ana"), b.person("ben")
			befriend(a, b)
			channel := share(a, ana, b, ben, "ben@"+b.name)

			var thread, answer item
			a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Hello", "body": "From A."}, &thread)
			var messages list
			read := func(at *site, token string, n int) {
				at.t.Helper()
				at.eventually(fmt.Sprintf("holding %d messages", n), func() bool {
					return at.status(at.url+"/api/v1/threads/"+thread.ID, token) == http.StatusOK &&
						at.call(token, http.MethodGet, "/threads/"+thread.ID+"/messages", nil, &messages) == http.StatusOK && len(messages.Items) == n
				})
			}
			read(b, ben, 1)
			if first := messages.Items[0]; first.Body != "From A." {
				t.Errorf("B reads %+v", first)
			}
			b.eventually("told who ana is", func() bool {
				b.must(ben, http.MethodGet, "/threads/"+thread.ID+"/messages", nil, &messages)
				return messages.Items[0].Author == "ana@"+a.name
			})
			b.must(ben, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "From B.", "reply_to": messages.Items[0].ID}, &answer)
			read(a, ana, 2)
			if second := messages.Items[1]; second.Body != "From B." || second.ReplyTo != messages.Items[0].ID || second.ID != answer.ID {
				t.Errorf("A reads %+v", second)
			}
			a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
		})
	}
}
