package federation_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"meridian/federation"
)

// introduction is the page of a server that claims a name with a key of its own.
func introduction(t *testing.T, name string) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"endpoints":{},"keys":[{"algorithm":"ed25519","id":%q,"public":%q}],"server":%q,"software":"x","versions":[1]}`,
		federation.KeyID(name, public), base64.RawURLEncoding.EncodeToString(public), name)
}

// T70: whatever a partner's page says, or a cache in front of it, the pinned key stays pinned; another
// key stops the exchange and is said aloud, and nothing else does.
func TestNoFetchReplacesAPinnedKey(t *testing.T) {
	for what, test := range map[string]struct {
		page func(t *testing.T, b *site, flap *atomic.Int64, w http.ResponseWriter, honest func())
		hold bool
	}{
		"another key": {func(t *testing.T, b *site, _ *atomic.Int64, w http.ResponseWriter, _ func()) {
			_, _ = io.WriteString(w, introduction(t, b.name))
		}, true},
		"another key, to be kept for a year": {func(t *testing.T, b *site, flap *atomic.Int64, w http.ResponseWriter, honest func()) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			if flap.Add(1) == 1 {
				_, _ = io.WriteString(w, introduction(t, b.name))
				return
			}
			honest()
		}, false},
		"a redirect to another host": {func(t *testing.T, b *site, _ *atomic.Int64, w http.ResponseWriter, _ func()) {
			elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				t.Error("the redirect was followed")
				_, _ = io.WriteString(w, introduction(t, b.name))
			}))
			t.Cleanup(elsewhere.Close)
			w.Header().Set("Location", elsewhere.URL+"/.well-known/meridian")
			w.WriteHeader(http.StatusMovedPermanently)
		}, false},
		"gone every second time": {func(_ *testing.T, _ *site, flap *atomic.Int64, w http.ResponseWriter, honest func()) {
			if flap.Add(1)%2 == 1 {
				w.WriteHeader(http.StatusGone)
				return
			}
			honest()
		}, false},
		"the page of another server": {func(t *testing.T, _ *site, _ *atomic.Int64, w http.ResponseWriter, _ func()) {
			_, _ = io.WriteString(w, introduction(t, "evil.example"))
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			ctx := context.Background()
			a, b := newSite(t), newSite(t)
			befriend(t, a, b)
			ana, ben := a.person("ana"), b.person("ben")
			channel, thread, _ := found(a, ana.ID, "full")
			join(t, a, ana.ID, channel, b, ben)
			same(t, channel, a, b)
			pinned, err := a.store.Partner(ctx, b.name)
			if err != nil {
				t.Fatal(err)
			}
			var flap atomic.Int64
			b.meddle(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/.well-known/meridian" {
					next.ServeHTTP(w, r)
					return
				}
				test.page(t, b, &flap, w, func() { next.ServeHTTP(w, r) })
			})
			for range 4 {
				_, _ = a.exchange.AddPartner(ctx, "", b.name) // it fetches the page; what comes of it is looked at below
			}
			now, err := a.store.Partner(ctx, b.name)
			if err != nil || !now.Key.Public.Equal(pinned.Key.Public) || now.State != pinned.State {
				t.Fatalf("%+v became %+v, %v", pinned, now, err)
			}
			if test.hold && now.Hold == "" {
				t.Error("nobody is told of the other key")
			}
			post(a, ana.ID, channel, thread, "To whom?")
			if test.hold {
				time.Sleep(300 * time.Millisecond)
				if a.hash(channel) == b.hash(channel) {
					t.Error("the exchange went on")
				}
				return
			}
			same(t, channel, a, b)
		})
	}
}
