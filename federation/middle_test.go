package federation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// middle stands between a server and whoever asks it, with a certificate that everybody accepts.
type middle struct {
	to     *secured
	at     string // its address
	onward http.RoundTripper

	mu       sync.Mutex
	mode     string
	recorded []*http.Request
	bodies   [][]byte
	meddled  int
}

// between has from reach to by way of a middle.
func between(t *testing.T, from, to *secured) *middle {
	t.Helper()
	m := &middle{to: to, at: "127.0.0.2:" + to.port, onward: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	listener, err := net.Listen("tcp", m.at)
	if err != nil {
		t.Fatal(err)
	}
	stolen := to.authority.issue(to.host, nil)
	front := &http.Server{Handler: m, TLSConfig: &tls.Config{Certificates: []tls.Certificate{*stolen}}, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = front.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = front.Close(); m.onward.(*http.Transport).CloseIdleConnections() })
	from.route(to.name, m.at)
	return m
}

func (m *middle) set(mode string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mode = mode
}

// altered are bytes in which what people wrote says something else.
func altered(b []byte) []byte { return bytes.ReplaceAll(b, []byte("Genuine"), []byte("ALTERED")) }

func digested(b []byte) string {
	sum := sha256.Sum256(b)
	return "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

func (m *middle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m.mu.Lock()
	mode := m.mode
	if r.Method == http.MethodPost {
		m.recorded, m.bodies = append(m.recorded, r.Clone(context.Background())), append(m.bodies, body)
	}
	m.mu.Unlock()
	if mode == "rewrites answers" && strings.HasSuffix(r.URL.Path, "/push") {
		w.WriteHeader(http.StatusBadGateway) // so that what is new has to come in answers
		return
	}
	out := r.Clone(r.Context())
	sent := m.request(mode, out, body)
	if !bytes.Equal(sent, body) || out.Header.Get("Signature") != r.Header.Get("Signature") {
		m.mu.Lock()
		m.meddled++
		m.mu.Unlock()
	}
	answer, err := m.pass(out, sent)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	got, _ := io.ReadAll(answer.Body)
	if mode == "rewrites answers" {
		if changed := altered(got); !bytes.Equal(changed, got) {
			got = changed
			m.mu.Lock()
			m.meddled++
			m.mu.Unlock()
		}
	}
	for _, name := range []string{"Content-Type", "Date", "Retry-After"} {
		w.Header().Set(name, answer.Header.Get(name))
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(got)
}

// request is the body that is passed on, and changes the headers.
func (m *middle) request(mode string, r *http.Request, body []byte) []byte {
	switch mode {
	case "rewrites bodies":
		return altered(body)
	case "rewrites bodies and digests":
		body = altered(body)
		r.Header.Set("Digest", digested(body))
	case "signs with a key of its own":
		body = altered(body)
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil || r.Method != http.MethodPost {
			return body
		}
		_, keyID, _ := strings.Cut(r.Header.Get("Signature"), `keyId="`)
		keyID, _, _ = strings.Cut(keyID, `"`)
		signer, err := federation.NewSigner(keyID, key)
		if err != nil {
			return body
		}
		again, err := http.NewRequest(r.Method, "https://"+m.to.name+r.URL.Path, nil)
		if err != nil {
			return body
		}
		again.Header.Set("Content-Type", r.Header.Get("Content-Type"))
		if signer.Sign(again, body, time.Now()) == nil {
			r.Header = again.Header
		}
	case "strips the signature":
		r.Header.Del("Signature")
	}
	return body
}

// pass sends a request on to the server.
func (m *middle) pass(r *http.Request, body []byte) (*http.Response, error) {
	out := r.Clone(context.Background())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "https", "127.0.0.1:"+m.to.port, ""
	out.Host = m.to.name
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return m.onward.RoundTrip(out)
}

// replay sends all that was recorded again, and counts the answers.
func (m *middle) replay() (statuses map[int]int) {
	m.mu.Lock()
	requests, bodies := slices.Clone(m.recorded), slices.Clone(m.bodies)
	m.mu.Unlock()
	statuses = map[int]int{}
	for i := range requests {
		if answer, err := m.pass(requests[i], bodies[i]); err == nil {
			_ = answer.Body.Close()
			statuses[answer.StatusCode]++
		}
	}
	return statuses
}

// texts are the messages of a thread, in the order of their text.
func (s *site) texts(person string, thread threads.Hash) (all []string) {
	s.t.Helper()
	for page := (threads.Page{Limit: threads.MaxPage}); ; {
		some, next, err := s.store.Reading().Messages(s.t.Context(), person, thread, page)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range some {
			all = append(all, m.Body)
		}
		if page.After = next; next == "" {
			slices.Sort(all)
			return all
		}
	}
}

// T14: who ends TLS between two partners, with a certificate that both accept, can hold messages up,
// and nothing more.
func TestWhoStandsInTheMiddleAltersNothing(t *testing.T) {
	a := newAuthority(t)
	kobo, havel := newSecured(t, a, "kobo.example"), newSecured(t, a, "havel.example")
	befriend(t, kobo.site, havel.site)
	ana, ben := kobo.person("ana"), havel.person("ben")
	channel, thread, _ := found(kobo.site, ana.ID, "full")
	join(t, kobo.site, ana.ID, channel, havel.site, ben)
	same(t, channel, kobo.site, havel.site)
	middles := []*middle{between(t, kobo, havel), between(t, havel, kobo)}
	posted := 0
	both := func(body string) {
		post(kobo.site, ana.ID, channel, thread, body)
		post(havel.site, ben.ID, channel, thread, body)
		posted += 2
	}
	for _, mode := range []string{
		"", "rewrites bodies", "rewrites bodies and digests", "signs with a key of its own", "strips the signature", "rewrites answers",
	} {
		for _, m := range middles {
			m.set(mode)
		}
		both("Genuine, while somebody " + mode)
		met := func() (all int) {
			for _, m := range middles {
				m.mu.Lock()
				all += m.meddled
				m.mu.Unlock()
			}
			return all
		}
		before := met()
		for begun := time.Now(); time.Since(begun) < time.Second || mode != "" && met() == before && time.Since(begun) < time.Minute; time.Sleep(100 * time.Millisecond) {
			for _, pair := range [][2]*secured{{kobo, havel}, {havel, kobo}} {
				pair[0].idle() // a connection from before would go round the middle
				if _, err := pair[0].exchange.ResyncPartner(t.Context(), pair[1].name); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, s := range []*secured{kobo, havel} {
			if text := fmt.Sprint(s.texts(map[*secured]string{kobo: ana.ID, havel: ben.ID}[s], thread)); strings.Contains(text, "ALTERED") {
				t.Errorf("who %s had %s accept %s", mode, s.host, text)
			}
		}
		if mode != "" && met() == before {
			t.Errorf("nothing was met by who %s", mode)
		}
	}
	for _, m := range middles {
		m.set("")
	}
	for _, pair := range [][2]*secured{{kobo, havel}, {havel, kobo}} {
		if _, err := pair[0].exchange.RetryPartner(t.Context(), pair[1].name); err != nil {
			t.Fatal(err)
		}
	}
	same(t, channel, kobo.site, havel.site)
	frontier := fmt.Sprint(kobo.channel(channel).Frontier())
	replayed := fmt.Sprint(middles[0].replay(), middles[1].replay())
	same(t, channel, kobo.site, havel.site)
	if got := fmt.Sprint(kobo.channel(channel).Frontier()); got != frontier {
		t.Errorf("what was replayed had an effect: %s became %s", frontier, got)
	}
	here, there := kobo.texts(ana.ID, thread), havel.texts(ben.ID, thread)
	if len(here) != posted+1 || !slices.Equal(here, there) {
		t.Errorf("%d posted, here %q, there %q", posted+1, here, there)
	}
	for _, reason := range []string{"digest", "signature", "missing"} {
		const failures = "meridian_federation_signature_failures_total"
		if kobo.metric(failures, "reason="+reason)+havel.metric(failures, "reason="+reason) == 0 {
			t.Errorf("no metric says that %s was refused", reason)
		}
	}
	if kobo.metric("meridian_federation_frames_refused_total", "code=digest")+havel.metric("meridian_federation_frames_refused_total", "code=digest") == 0 {
		t.Error("no metric says that frames in answers were altered")
	}
	for _, s := range []*secured{kobo, havel} {
		s.close()
		if raw, err := os.ReadFile(strings.TrimPrefix(s.path, "sqlite:")); err != nil || bytes.Contains(raw, []byte("ALTERED")) {
			t.Errorf("the database of %s holds something altered: %v", s.host, err)
		}
	}
	t.Logf("%d messages; replays answered %s", posted+1, replayed)
}
