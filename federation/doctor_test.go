package federation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// findings are the results of an examination by check.
func findings(t *testing.T, s *site, name string) map[string]federation.Finding {
	t.Helper()
	found, err := s.exchange.Examine(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]federation.Finding{}
	for _, f := range found {
		if _, twice := by[f.Check]; twice || f.Detail == "" || (f.Result == federation.FindingBad) != (f.Remedy != "") {
			t.Errorf("%+v", f)
		}
		by[f.Check] = f
	}
	for _, check := range []string{
		"name", "connection", "tls", "document", "key", "clock", "state_here", "state_there", "signature", "body_limit",
		"reached_back", "own_tls", "signature_back", "own_body_limit",
	} {
		if by[check].Result == "" {
			t.Errorf("nothing is said of %s", check)
		}
	}
	return by
}

// bad are the checks that an examination calls bad.
func bad(by map[string]federation.Finding) string {
	var names []string
	for name, f := range by {
		if f.Result == federation.FindingBad {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// meddle puts something between a site and whoever asks it.
func (s *site) meddle(with func(next http.Handler, w http.ResponseWriter, r *http.Request)) {
	s.handler.mu.Lock()
	defer s.handler.mu.Unlock()
	next := s.exchange.Handler()
	s.handler.handler = next
	if with != nil {
		s.handler.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { with(next, w, r) })
	}
}

func TestTheDoctorNamesWhatStandsBetweenPartners(t *testing.T) {
	limited := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 1<<20 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	}
	otherHost := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		r.Host = "backend:8008"
		next.ServeHTTP(w, r)
	}
	prefixed := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/meridian" {
			r.URL.Path, r.RequestURI = "/meridian"+r.URL.Path, "/meridian"+r.RequestURI
			mux := http.NewServeMux()
			mux.Handle("/meridian/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.URL.Path = strings.TrimPrefix(r.URL.Path, "/meridian")
				next.ServeHTTP(w, r)
			}))
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}
	reworded := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(append(body, ' ')))
		r.ContentLength = -1
		next.ServeHTTP(w, r)
	}
	page := func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<h1>It works!</h1>")
	}
	late := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-4*time.Minute).UTC().Format(http.TimeFormat))
		next.ServeHTTP(w, r)
	}
	for what, test := range map[string]struct {
		where string // at which side
		with  func(http.Handler, http.ResponseWriter, *http.Request)
		bad   string
		says  string
	}{
		"nothing":                            {where: "there"},
		"a proxy there with a small limit":   {"there", limited, "body_limit", "client_max_body_size"},
		"a proxy here with a small limit":    {"here", limited, "own_body_limit", "client_max_body_size"},
		"a proxy there that rewrites Host":   {"there", otherHost, "signature", "Host"},
		"a proxy here that rewrites Host":    {"here", otherHost, "signature_back", "Host"},
		"a proxy there that rewrites paths":  {"there", prefixed, "signature", "path"},
		"a proxy here that rewrites paths":   {"here", prefixed, "signature_back", "path"},
		"a proxy there that rewrites bodies": {"there", reworded, "signature", "body"},
		"another program there":              {"there", page, "document", "Meridian"},
		"another program here":               {"here", page, "reached_back", "proxy"},
		"a clock there that is late":         {"there", late, "clock", "NTP"},
	} {
		t.Run(what, func(t *testing.T) {
			a, b := newSite(t), newSite(t)
			befriend(t, a, b)
			map[string]*site{"here": a, "there": b}[test.where].meddle(test.with)
			by := findings(t, a, b.name)
			if got := bad(by); got != test.bad {
				t.Errorf("bad: %q, want %q: %+v", got, test.bad, by)
			}
			if f := by[test.bad]; test.bad != "" && !strings.Contains(f.Detail+f.Remedy, test.says) {
				t.Errorf("says %+v", f)
			}
		})
	}
}

func TestTheDoctorKnowsHowBothSidesDecided(t *testing.T) {
	ctx := context.Background()
	a, b := newSite(t), newSite(t)
	if got := bad(findings(t, a, b.name)); got != "state_here state_there" && got != "state_there state_here" {
		t.Errorf("before anything: %s", got)
	}
	befriend(t, a, b)
	if got := bad(findings(t, a, b.name)); got != "" {
		t.Errorf("as partners: %s", got)
	}
	if by := findings(t, a, b.name); by["signature_back"].Result != federation.FindingUnknown || bad(by) != "" {
		t.Errorf("called back twice at once: %+v", by)
	}
	for what, do := range map[string]func(context.Context, string, string) (threads.Partner, error){"closed": b.exchange.PausePartner, "blocked": b.exchange.BlockPartner} {
		if _, err := do(ctx, "", a.name); err != nil {
			t.Fatal(err)
		}
		if by := findings(t, a, b.name); bad(by) != "state_there" || by["signature"].Result != federation.FindingUnknown {
			t.Errorf("%s there: %+v", what, by)
		}
	}
	for _, name := range []string{"NOT a name", a.name} {
		if _, err := a.exchange.Examine(ctx, name); err == nil {
			t.Errorf("%q is examined", name)
		}
	}
	b.close()
	if by := findings(t, a, b.name); bad(by) != "connection state_here" && by["connection"].Result != federation.FindingBad {
		t.Errorf("down: %+v", by)
	}
}

// Only who may exchange is answered, and nobody has a server call a third one.
func TestAStrangerIsNotCalledBack(t *testing.T) {
	a := newSite(t)
	called := counted(a)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := liar{t, "127.0.0.1:1", key}
	got := stranger.send(stranger.request(a, "/federation/v1/check", "application/json", `{"back":true}`, time.Now()))
	if got.status != http.StatusForbidden || called.Load() != 1 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
