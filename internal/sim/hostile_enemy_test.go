package sim_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// An enemy is another organisation's server in the hands of the test: it has a real key and a real
// listener, can be made a partner and join channels like any other, and sends what it likes.
type enemy struct {
	t      testing.TB
	name   string
	key    ed25519.PrivateKey
	person string            // id of its one person
	state  *threads.Channel  // the channel that it joined, as far as it has been told
	offers map[string]string // channel → id of the invitation into it

	mu    sync.Mutex
	heard []heard
	// answers to what the victim asks, by path, where quiet is not enough.
	answers map[string]func(body []byte) (status int, contentType string, answer []byte)
	// files answers requests for files, as badly as it likes.
	files func(w http.ResponseWriter, asked fileAsked)
}

type heard struct {
	path    string
	body    []byte
	request *http.Request // as it came, its body apart
}

func newEnemy(t testing.TB) *enemy {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := &enemy{t: t, key: key, offers: map[string]string{}, answers: map[string]func([]byte) (int, string, []byte){}}
	listener := httptest.NewServer(e)
	t.Cleanup(listener.Close)
	e.name = listener.Listener.Addr().String()
	e.person = e.somebody()
	return e
}

// somebody is the id of a further person of this server.
func (e *enemy) somebody() string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	return threads.PersonID(e.name, random)
}

func (e *enemy) public() ed25519.PublicKey { return e.key.Public().(ed25519.PublicKey) }

func (e *enemy) keyID() string { return federation.KeyID(e.name, e.public()) }

func (e *enemy) sign(m []byte) []byte { return ed25519.Sign(e.key, m) }

// quiet are the answers of a server that has nothing to say and takes note of nothing.
var quiet = map[string]string{toDigest: `{"buckets":{}}`, toPush: `{}`, toPull: "{\"channels\":[]}\n"}

// ServeHTTP introduces the enemy, notes what it is asked, and takes invitations.
func (e *enemy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/.well-known/meridian" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"server": e.name, "software": "enemy/1", "versions": []int{1}, "endpoints": map[string]string{},
			"keys": []any{map[string]string{"algorithm": "ed25519", "id": e.keyID(), "public": base64.RawURLEncoding.EncodeToString(e.public())}},
		})
		return
	}
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.heard = append(e.heard, heard{r.URL.Path, body, r})
	answer, files := e.answers[r.URL.Path], e.files
	var asked struct{ ID, Kind, Channel string }
	if r.URL.Path == "/federation/v1/request" && json.Unmarshal(body, &asked) == nil && asked.Kind == "invite" {
		e.offers[asked.Channel] = asked.ID
		answer = func([]byte) (int, string, []byte) { return 200, "application/json", []byte("{}") }
	}
	e.mu.Unlock()
	if r.URL.Path == toFile && files != nil {
		var asked fileAsked
		_ = json.Unmarshal(body, &asked)
		files(w, asked)
		return
	}
	if answer == nil && r.URL.Path == toProfiles {
		answer = e.introduce
	}
	if answer == nil {
		answer = func([]byte) (int, string, []byte) { return 200, "application/json", []byte(quiet[r.URL.Path]) }
	}
	status, contentType, out := answer(body)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// introduce tells the profile of the enemy's one person.
func (e *enemy) introduce([]byte) (int, string, []byte) {
	profile := fmt.Sprintf(`{"address":"somebody@%s","name":"Somebody","person":%q,"version":1,"zone":"Europe/Berlin"}`, e.name, e.person)
	sig := e.sign([]byte("meridian-profile-v1\x00" + profile))
	return 200, "application/json", fmt.Appendf(nil, `{"profiles":[{"profile":%s,"sig":%q}]}`, profile, base64.RawURLEncoding.EncodeToString(sig))
}

// answer sets what the victim is answered on a path from now on.
func (e *enemy) answer(path string, f func(body []byte) (int, string, []byte)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers[path] = f
}

// toldOf reports whether something that the victim sent contains a text.
func (e *enemy) toldOf(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.heard, func(h heard) bool { return bytes.Contains(h.body, []byte(text)) })
}

// said is an answer of the victim.
type said struct {
	status            int
	code, field, text string // of a problem
	retry             string // its Retry-After
	body              string
}

func (s said) refusedWhole() bool {
	return s.status >= 400 && s.status < 500 && s.code != "" && s.text != ""
}

const (
	toPush     = "/federation/v1/push"
	toPull     = "/federation/v1/pull"
	toDigest   = "/federation/v1/digest"
	toRequest  = "/federation/v1/request"
	toProfiles = "/federation/v1/profiles"
	toFile     = "/federation/v1/file"
)

// request is a request of the enemy under a key id, signed with its own key.
func (e *enemy) request(to *victim, path, body, keyID string, at time.Time) *http.Request {
	e.t.Helper()
	r, err := http.NewRequest(http.MethodPost, to.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if path == toPush {
		r.Header.Set("Content-Type", "application/x-ndjson")
	}
	signer, err := federation.NewSigner(keyID, e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := signer.Sign(r, []byte(body), at); err != nil {
		e.t.Fatal(err)
	}
	return r
}

// send sends a request and reads the answer.
func (e *enemy) send(r *http.Request) said {
	e.t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	got := said{status: answer.StatusCode, body: string(body), retry: answer.Header.Get("Retry-After")}
	if answer.Header.Get("Content-Type") == "application/problem+json" {
		var problem struct{ Code, Field, Detail string }
		if err := json.Unmarshal(body, &problem); err != nil {
			e.t.Fatalf("%s: %v", body, err)
		}
		got.code, got.field, got.text = problem.Code, problem.Field, problem.Detail
	}
	return got
}

// ask sends a body under the enemy's own name.
func (e *enemy) ask(to *victim, path, body string) said {
	e.t.Helper()
	return e.send(e.request(to, path, body, e.keyID(), to.now()))
}

// pushed is the answer to a push.
type pushed struct {
	said
	Channels []struct {
		Channel string
		Waiting []any
	}
	Refusals []refusal
}

type refusal struct {
	Channel, Code, Detail, Origin string
	Epoch, Seq                    int64
	Index                         int
}

// pushRaw pushes lines as they are, after an honest first line.
func (e *enemy) pushRaw(to *victim, lines string) pushed {
	e.t.Helper()
	p := pushed{said: e.ask(to, toPush, "{\"channels\":[]}\n"+lines)}
	if p.status == http.StatusOK {
		if err := json.Unmarshal([]byte(p.body), &p); err != nil {
			e.t.Fatalf("%s: %v", p.body, err)
		}
	}
	return p
}

// push pushes events.
func (e *enemy) push(to *victim, events ...*threads.Event) pushed {
	e.t.Helper()
	return e.pushRaw(to, frames(events...))
}

func frames(events ...*threads.Event) string {
	var body []byte
	for _, e := range events {
		body = federation.AppendFrame(body, e)
	}
	return string(body)
}

// accept answers an invitation into a channel as the person's server does, and fetches it.
func (e *enemy) accept(host *victim, channel string) {
	e.t.Helper()
	var offer string
	host.eventually("inviting "+e.name, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		offer = e.offers[channel]
		return offer != ""
	})
	stale := e.ask(host, toRequest, e.acceptance(host, channel, offer, ""))
	var problem struct{ Control []any }
	if err := json.Unmarshal([]byte(stale.body), &problem); err != nil || len(problem.Control) != 2 {
		e.t.Fatalf("first acceptance: %+v", stale)
	}
	if got := e.ask(host, toRequest, e.acceptance(host, channel, offer, problem.Control[1].(string))); got.status != http.StatusOK {
		e.t.Fatalf("acceptance: %+v", got)
	}
	e.state = threads.NewChannel(channel)
	e.catchUp(host)
}

// acceptance is the request that accepts an offer at a place of the control log, "" to learn it.
func (e *enemy) acceptance(host *victim, channel, offer, prev string) string {
	sig := ""
	if prev != "" {
		a := threads.Acceptance{
			Channel: channel, Host: host.name, Person: e.person, Role: threads.RoleMember, Prev: prev,
			Key: threads.Key{ID: e.keyID(), Public: e.public()},
		}
		sig = base64.RawURLEncoding.EncodeToString(e.sign(a.SigningBytes()))
	}
	return fmt.Sprintf(`{"id":%q,"kind":"accept","channel":%q,"accept":{"acceptance":%q,"person":%q,"prev":%q,"role":"member"}}`,
		offer, channel, sig, e.person, prev)
}

// pullBody asks for all of a channel after the control event that the enemy has.
func pullBody(channel string, control threads.Head, more string) string {
	return fmt.Sprintf(`{"channels":[{"channel":%q,"control":[%d,%q]%s}]}`, channel, control.Seq, control.Hash, more)
}

// pull asks for a channel from its beginning, with more members of the request.
func (e *enemy) pull(from *victim, channel, more string) said {
	e.t.Helper()
	return e.ask(from, toPull, pullBody(channel, threads.Head{}, more))
}

// catchUp brings the enemy's own idea of its channel up to date.
func (e *enemy) catchUp(from *victim) {
	e.t.Helper()
	got := e.ask(from, toPull, pullBody(e.state.ID, e.state.Control, ""))
	at := strings.LastIndexByte(strings.TrimSuffix(got.body, "\n"), '\n') + 1
	read, err := federation.ReadFrames([]byte(got.body[:at]))
	if err != nil || got.status != http.StatusOK || len(read.Bad) > 0 {
		e.t.Fatalf("pull: %+v, %v", got, err)
	}
	for _, event := range read.Events {
		switch h := &event.Header; {
		case h.Log == threads.LogControl:
			if err := e.state.CheckControl(event); err != nil {
				e.t.Fatal(err)
			}
			if err := e.state.ApplyControl(event); err != nil {
				e.t.Fatal(err)
			}
			if e.state.Admission(e.name) == h.Seq {
				e.state.StartLogs(e.name)
			}
		case h.Seq == e.state.LogOf(h.LogID()).Seq+1:
			e.state.Advance(event)
		}
	}
}

// pen is what the enemy seals with.
func (e *enemy) pen(at time.Time) *threads.Pen {
	return &threads.Pen{Server: e.name, Key: threads.Key{ID: e.keyID(), Public: e.public()}, Sign: e.sign, Now: at}
}

// salt is a fresh one, so that contents differ.
func salt() string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// note is the content of a message.
func note(thread, body string) []byte {
	return fmt.Appendf(nil, `{"content":%q,"context":%q,"mediaType":"text/markdown","salt":%q,"type":"Note"}`, body, thread, salt())
}

// write seals the honest next event of the enemy's log and counts it as sent.
func (e *enemy) write(d threads.Draft) *threads.Event {
	e.t.Helper()
	if d.Actor == "" {
		d.Actor = e.person
	}
	event, err := e.state.SealData(d, e.pen(time.Now()))
	if err != nil {
		e.t.Fatal(err)
	}
	return event
}

// draft seals the next event but does not count it as sent.
func (e *enemy) draft(d threads.Draft) *threads.Event {
	e.t.Helper()
	kept := e.state
	e.state = kept.Clone()
	defer func() { e.state = kept }()
	return e.write(d)
}

// post is a message as the next event.
func (e *enemy) post(thread, body string) *threads.Event {
	e.t.Helper()
	return e.write(threads.Draft{Type: threads.TypeMessagePosted, Content: note(thread, body)})
}

// changed is an event made of another one's header, signed by the enemy.
func (e *enemy) changed(event *threads.Event, f func(h *threads.Header)) *threads.Event {
	h := event.Header
	f(&h)
	return threads.Seal(h, event.Content, e.sign)
}
