package federation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// A liar holds the key of a server that others know, and sends what it likes.
type liar struct {
	t    *testing.T
	name string
	key  ed25519.PrivateKey
}

type said struct {
	status int
	code   string
	body   string
}

// request is a signed request of the liar to a server.
func (l liar) request(to *site, path, contentType, body string, at time.Time) *http.Request {
	l.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+to.name+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	signer, err := federation.NewSigner(federation.KeyID(l.name, l.key.Public().(ed25519.PublicKey)), l.key)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := signer.Sign(r, []byte(body), at); err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l liar) send(r *http.Request) said {
	l.t.Helper()
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	var problem struct{ Code string }
	if answer.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(body, &problem); err != nil {
			l.t.Fatalf("%s: %v", body, err)
		}
	}
	return said{answer.StatusCode, problem.Code, string(body)}
}

func (l liar) push(to *site, events ...*threads.Event) said {
	body := []byte("{\"channels\":[]}\n")
	for _, e := range events {
		body = federation.AppendFrame(body, e)
	}
	return l.send(l.request(to, "/federation/v1/push", "application/x-ndjson", string(body), time.Now()))
}

func (l liar) sign(m []byte) []byte { return ed25519.Sign(l.key, m) }

// stage is two servers with a channel, the second of them in the hands of a liar, and a server that
// has nothing to do with either.
type stage struct {
	a               *site
	liar            liar
	ana, ben        threads.PersonRecord
	channel, thread threads.Hash
	state           *threads.Channel // as the liar's server held it
}

func newStage(t *testing.T) *stage { return newStageOn(t, onSQLite) }

func newStageOn(t *testing.T, database func(testing.TB) string) *stage {
	a, b := newSiteOn(t, database(t)), newSite(t)
	befriend(t, a, b)
	s := &stage{a: a, liar: liar{t, b.name, b.key}, ana: a.person("ana"), ben: b.person("ben")}
	s.channel, s.thread, _ = found(a, s.ana.ID, "full")
	join(t, a, s.ana.ID, s.channel, b, s.ben)
	same(t, s.channel, a, b)
	post(b, s.ben.ID, s.channel, s.thread, "Still honest.")
	post(b, s.ben.ID, s.channel, s.thread, "And again.")
	same(t, s.channel, a, b)
	s.state = b.channel(s.channel)
	b.close()
	return s
}

// next is the honest next event of the liar's log.
func (s *stage) next(body string) *threads.Event {
	s.liar.t.Helper()
	public := s.liar.key.Public().(ed25519.PublicKey)
	w := fmt.Appendf(nil, `{"content":%q,"context":%q,"mediaType":"text/markdown","salt":"AAAAAAAAAAAAAAAAAAAAAA","type":"Note"}`, body, s.thread)
	e, err := s.state.Clone().SealData(threads.Draft{Type: threads.TypeMessagePosted, Actor: s.ben.ID, Content: w}, &threads.Pen{
		Server: s.liar.name, Key: threads.Key{ID: federation.KeyID(s.liar.name, public), Public: public}, Sign: s.liar.sign, Now: time.Now(),
	})
	if err != nil {
		s.liar.t.Fatal(err)
	}
	return e
}

func (s *stage) holds(ids ...threads.Hash) int {
	s.liar.t.Helper()
	events, err := s.a.store.EventsByID(context.Background(), s.channel, ids)
	if err != nil {
		s.liar.t.Fatal(err)
	}
	return len(events)
}

func TestAnEventIsTakenOnlyAsItsOwnServerWroteIt(t *testing.T) {
	s := newStage(t)
	other := "127.0.0.3:7000"
	good := s.next("True.")
	lies := map[string]func(h *threads.Header){
		"another member's origin":      func(h *threads.Header) { h.Origin, h.Actor = s.a.name, s.ana.ID },
		"a stranger's origin":          func(h *threads.Header) { h.Origin, h.Actor = other, "https://"+other+"/people/AAAAAAAAAAAAAAAAAAAAAA" },
		"another server's person":      func(h *threads.Header) { h.Actor = s.ana.ID },
		"another key":                  func(h *threads.Header) { h.Key = "https://" + s.liar.name + "/keys/0000000000000000" },
		"another member's key":         func(h *threads.Header) { h.Key = s.a.exchange.EventKey().ID },
		"another channel":              func(h *threads.Header) { h.Channel = threads.HashOf([]byte("elsewhere")) },
		"another admission":            func(h *threads.Header) { h.Epoch = 7<<32 + 1 },
		"an admission before its own":  func(h *threads.Header) { h.Epoch = 1<<32 + 1 },
		"a chain that does not fit":    func(h *threads.Header) { h.Prev = threads.HashOf(nil) },
		"a control event of its own":   func(h *threads.Header) { h.Control.Hash = threads.HashOf(nil) },
		"a control event to come":      func(h *threads.Header) { h.Control.Number = 99 },
		"a time before the one before": func(h *threads.Header) { h.Time = 1_000_000_000_000 * 2048 },
		"a control event, though no host": func(h *threads.Header) {
			h.Log, h.Epoch, h.Control, h.After, h.Seq, h.Prev = threads.LogControl, 0, threads.ControlRef{}, nil, s.state.Control.Seq+1, s.state.Control.Hash
		},
		"a channel made anew under its id": func(h *threads.Header) {
			h.Log, h.Epoch, h.Control, h.After, h.Seq, h.Prev, h.Channel, h.Type = threads.LogControl, 0, threads.ControlRef{}, nil, 1, "", "", threads.TypeChannelCreated
		},
	}
	before := s.a.hash(s.channel)
	for name, lie := range lies {
		h := good.Header
		lie(&h)
		e := threads.Seal(h, good.Content, s.liar.sign)
		got := s.liar.push(s.a, e)
		if got.status != http.StatusOK || s.holds(e.ID) != 0 || s.a.hash(s.channel) != before {
			t.Errorf("%s: %d %s, stored %d", name, got.status, got.body, s.holds(e.ID))
		}
		if !strings.Contains(got.body, `"code"`) && !strings.Contains(got.body, `"waiting"`) {
			t.Errorf("%s: not told: %s", name, got.body)
		}
	}
	forged := *good
	forged.Sig = bytes.Clone(good.Sig)
	forged.Sig[7] ^= 1
	if got := s.liar.push(s.a, &forged); !strings.Contains(got.body, `"signature"`) || s.holds(good.ID) != 0 {
		t.Errorf("a forged signature: %s", got.body)
	}
	if got := s.liar.push(s.a, good); got.status != http.StatusOK || s.holds(good.ID) != 1 {
		t.Errorf("the true event: %d %s", got.status, got.body)
	}
}

func TestTwoEventsOfOnePlaceEndTheirLogBelowIt(t *testing.T) {
	onBoth(t, func(t *testing.T, database func(testing.TB) string) {
		s := newStageOn(t, database)
		log := s.next("").Header.LogID()
		for _, end := range []int64{1, 0} { // a lower fork replaces a higher one
			other := threads.Seal(func(h threads.Header) threads.Header {
				h.Seq = end + 1
				if end == 0 {
					h.Prev = ""
				}
				return h
			}(s.next("Another.").Header), nil, s.liar.sign)
			other.Content = nil
			got := s.liar.push(s.a, other)
			c := s.a.channel(s.channel)
			if !strings.Contains(got.body, `"fork"`) || c.LogOf(log).Seq != end || c.ForkOf(log).Seq != end+1 || s.holds(other.ID) != 0 {
				t.Fatalf("below %d: %s, the log ends at %d, forked at %d", end+1, got.body, c.LogOf(log).Seq, c.ForkOf(log).Seq)
			}
			s.a.close()
			s.a.open()
			if again := s.a.channel(s.channel); again.ForkOf(log) != c.ForkOf(log) || again.LogOf(log).Seq != end {
				t.Errorf("after a restart the log ends at %d, forked at %d", again.LogOf(log).Seq, again.ForkOf(log).Seq)
			}
		}
		proofs, _, err := s.a.store.Proofs(context.Background(), threads.Page{Limit: 10})
		if err != nil || len(proofs) != 1 || proofs[0].Ref() != (threads.Ref{LogID: log, Seq: 1}) || !s.a.channel(s.channel).CheckFork(proofs[0].Fork) {
			t.Errorf("proofs kept: %+v, %v", proofs, err)
		}
	})
}

func TestARepeatedRequestHasNoSecondEffect(t *testing.T) {
	s := newStage(t)
	e := s.next("Once.")
	body := federation.AppendFrame([]byte("{\"channels\":[]}\n"), e)
	captured := func(at time.Time) *http.Request {
		return s.liar.request(s.a, "/federation/v1/push", "application/x-ndjson", string(body), at)
	}
	now := time.Now()
	first := s.liar.send(captured(now))
	hash := s.a.hash(s.channel)
	if again := s.liar.send(captured(now)); again != first || s.a.hash(s.channel) != hash {
		t.Errorf("repeated: %+v, first %+v", again, first)
	}
	if old := s.liar.send(captured(now.Add(-6 * time.Minute))); old.status != http.StatusUnauthorized || old.code != "signature_date" {
		t.Errorf("six minutes later: %+v", old)
	}
	elsewhere := newSite(t)
	r := captured(now)
	r.URL.Host = elsewhere.name
	if other := s.liar.send(r); other.status != http.StatusUnauthorized || other.code != "signature_host" {
		t.Errorf("to another server: %+v", other)
	}
	s.a.close()
	s.a.open()
	if again := s.liar.send(captured(now)); again.status != http.StatusOK || s.a.hash(s.channel) != hash {
		t.Errorf("after a restart: %+v", again)
	}
}

func TestNobodyLearnsOfAChannelThatTheyAreNotIn(t *testing.T) {
	s := newStage(t)
	secret, thread, message := found(s.a, s.ana.ID, "full")
	tell := func(path, contentType, body string) said {
		return s.liar.send(s.liar.request(s.a, path, contentType, body, time.Now()))
	}
	answers := map[string]said{
		"pull":     tell("/federation/v1/pull", "application/json", fmt.Sprintf(`{"channels":[{"channel":%q,"control":[0,""],"contents":[%q,%q]}]}`, secret, thread, message)),
		"below":    tell("/federation/v1/pull", "application/json", fmt.Sprintf(`{"channels":[{"channel":%q,"control":[0,""],"below":[[%q,4294967297,9,9,%q]]}]}`, secret, s.a.name, message)),
		"foreign":  tell("/federation/v1/pull", "application/json", fmt.Sprintf(`{"channels":[{"channel":%q,"control":[0,""],"contents":[%q,%q]}]}`, s.channel, thread, message)),
		"push":     tell("/federation/v1/push", "application/x-ndjson", fmt.Sprintf("{\"channels\":[{\"channel\":%q,\"control\":[9,%q]}]}\n", secret, message)),
		"command":  tell("/federation/v1/request", "application/json", fmt.Sprintf(`{"id":"1","kind":"command","channel":%q,"command":{"kind":"settings","actor":%q,"settings":{"name":"Mine"}}}`, secret, s.ben.ID)),
		"accept":   tell("/federation/v1/request", "application/json", fmt.Sprintf(`{"id":"1","kind":"accept","channel":%q,"accept":{"acceptance":"","person":%q,"prev":"","role":"owner"}}`, secret, s.ben.ID)),
		"digest":   tell("/federation/v1/digest", "application/json", `{"buckets":{}}`),
		"profiles": tell("/federation/v1/profiles", "application/json", fmt.Sprintf(`{"people":[%q]}`, s.a.person("zoe").ID)),
	}
	nothing := threads.HashOf([]byte("no such channel"))
	unknown := tell("/federation/v1/pull", "application/json", fmt.Sprintf(`{"channels":[{"channel":%q,"control":[0,""]}]}`, nothing))
	if want := strings.ReplaceAll(unknown.body, nothing, secret); answers["pull"].body != want {
		t.Errorf("a secret channel answers %s, one that does not exist %s", answers["pull"].body, want)
	}
	for name, got := range answers {
		if name != "pull" && name != "below" && strings.Contains(got.body, secret) || strings.Contains(got.body, "Pump") || strings.Contains(got.body, "It leaks") && name != "foreign" || strings.Contains(got.body, "zoe") || strings.Contains(got.body, thread) {
			t.Errorf("%s tells: %s", name, got.body)
		}
	}
}

func TestStrangersAndBlockedServersAreHeardNoFurtherThanTheirSignature(t *testing.T) {
	a := newSite(t)
	b := newSite(t)
	stranger := liar{t, b.name, b.key}
	ask := func() said {
		return stranger.send(stranger.request(a, "/federation/v1/digest", "application/json", "not even JSON", time.Now()))
	}
	if got := ask(); got.status != http.StatusForbidden || got.code != "unknown_server" {
		t.Errorf("a stranger: %+v", got)
	}
	if names := a.exchange.Strangers(); len(names) != 1 || names[0] != b.name {
		t.Errorf("the administrator sees %v", names)
	}
	befriend(t, a, b)
	b.close()
	if got := ask(); got.status != http.StatusBadRequest {
		t.Errorf("a partner: %+v", got)
	}
	if _, err := a.exchange.BlockPartner(context.Background(), threads.ByAdmin, b.name); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got.status != http.StatusForbidden || got.code != "blocked" {
		t.Errorf("a blocked server: %+v", got)
	}
}

func TestAChangedKeyHoldsThePartnerUntilAnAdministratorLooked(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	pinned := b.key.Public().(ed25519.PublicKey)
	b.close()
	_, b.key, _ = ed25519.GenerateKey(nil)
	b.ring = federation.Keyring{{Private: b.key}}
	b.open()
	p, err := a.exchange.AddPartner(context.Background(), threads.ByAdmin, b.name)
	if err != nil || p.Hold == "" || !p.Key.Public.Equal(pinned) {
		t.Fatalf("after another key was shown: %+v, %v", p, err)
	}
	changed := liar{t, b.name, b.key}
	if got := changed.send(changed.request(a, "/federation/v1/digest", "application/json", "{}", time.Now())); got.status != http.StatusForbidden {
		t.Errorf("the new key is heard: %+v", got)
	}
	if _, err := a.exchange.AllowPartner(context.Background(), threads.ByAdmin, b.name, federation.Fingerprint(pinned)); err == nil {
		t.Error("a key that is not shown any more was pinned")
	}
	if p, err = a.exchange.AllowPartner(context.Background(), threads.ByAdmin, b.name, federation.Fingerprint(b.key.Public().(ed25519.PublicKey))); err != nil || p.Hold != "" {
		t.Fatalf("allowing the new key: %+v, %v", p, err)
	}
	if got := changed.send(changed.request(a, "/federation/v1/digest", "application/json", `{"buckets":{}}`, time.Now())); got.status != http.StatusOK {
		t.Errorf("the allowed key is not heard: %+v", got)
	}
}

func TestBodiesBeyondTheirBoundsAreRefused(t *testing.T) {
	s := newStage(t)
	send := func(body, encoding string) said {
		r := s.liar.request(s.a, "/federation/v1/digest", "application/json", body, time.Now())
		if encoding != "" {
			r.Header.Set("Content-Encoding", encoding)
		}
		return s.liar.send(r)
	}
	big := `{"buckets":{"00":"` + strings.Repeat("0", federation.MaxBody) + `"}}`
	for name, try := range map[string]struct {
		body, encoding string
		status         int
	}{
		"too large":                  {big, "", http.StatusRequestEntityTooLarge},
		"too large when inflated":    {zipped(big), "gzip", http.StatusRequestEntityTooLarge},
		"a bomb":                     {zipped(strings.Repeat(" ", 64<<20)), "gzip", http.StatusRequestEntityTooLarge},
		"gzip":                       {zipped(`{"buckets":{}}`), "gzip", http.StatusOK},
		"no gzip though it says so":  {`{"buckets":{}}`, "gzip", http.StatusBadRequest},
		"no zstd though it says so":  {`{"buckets":{}}`, "zstd", http.StatusBadRequest},
		"an unknown encoding":        {`{"buckets":{}}`, "br", http.StatusUnsupportedMediaType},
		"two encodings":              {`{"buckets":{}}`, "gzip, gzip", http.StatusUnsupportedMediaType},
		"a key twice":                {`{"buckets":{},"buckets":{}}`, "", http.StatusBadRequest},
		"a float":                    {`{"buckets":{},"x":1.5}`, "", http.StatusBadRequest},
		"something after":            {`{"buckets":{}}{}`, "", http.StatusBadRequest},
		"deep nesting":               {`{"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`, "", http.StatusBadRequest},
		"white space, which is fine": {"{\n \"buckets\" : {} }\n", "", http.StatusOK},
	} {
		if got := send(try.body, try.encoding); got.status != try.status || (got.code == "") != (got.status == http.StatusOK) {
			t.Errorf("%s: %d %q, want %d", name, got.status, got.code, try.status)
		}
	}
}
