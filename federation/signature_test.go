package federation

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testKey(fill byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func testNow() time.Time { return time.Date(2026, 11, 23, 9, 0, 0, 500, time.UTC) }

// pin returns a key lookup that knows one server.
func pin(server string, public ed25519.PublicKey) func(string) (Key, error) {
	return func(keyID string) (Key, error) {
		if keyID != KeyID(server, public) {
			return Key{}, ErrUnknownKey
		}
		return Key{Server: server, Public: public}, nil
	}
}

func newSigner(t *testing.T, server string, key ed25519.PrivateKey) *Signer {
	t.Helper()
	signer, err := NewSigner(KeyID(server, publicOf(key)), key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// arrived is a signed request as the receiver's handler would see it.
func arrived(t *testing.T, signer *Signer, url string, body []byte, now time.Time) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-ndjson")
	if err := signer.Sign(r, body, now); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	return r
}

func reasonOf(err error) string {
	var refused *SignatureError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return fmt.Sprint(err)
}

func TestKeyNamesAreStable(t *testing.T) {
	public := publicOf(testKey(1))
	if got, want := KeyID("acme.example", public), "https://acme.example/keys/34750f98bd59fcfc"; got != want {
		t.Errorf("KeyID = %q, want %q", got, want)
	}
	if got, want := Fingerprint(public), "3475-0f98-bd59-fcfc-946d-a45a-aabe-933b-e154-a4b5-094e-1c4a-bf42-8665-05f3-c97e"; got != want {
		t.Errorf("Fingerprint = %q, want %q", got, want)
	}
	if Fingerprint(public) == Fingerprint(publicOf(testKey(2))) {
		t.Error("two keys have one fingerprint")
	}
}

func TestClocksMayDifferByFiveMinutes(t *testing.T) {
	key := testKey(1)
	signer := newSigner(t, "havel.example", key)
	verifier := NewVerifier("kobo.example", pin("havel.example", publicOf(key)))
	now := testNow().Truncate(time.Second)
	for off, want := range map[time.Duration]string{
		0: "", 10 * time.Second: "", -10 * time.Second: "", MaxClockDifference: "", -MaxClockDifference: "",
		MaxClockDifference + time.Second: reasonDate, -MaxClockDifference - time.Second: reasonDate,
		24 * time.Hour: reasonDate, -24 * time.Hour: reasonDate, 290 * 365 * 24 * time.Hour: reasonDate,
		-290 * 365 * 24 * time.Hour: reasonDate,
	} {
		r := arrived(t, signer, "https://kobo.example/federation/v1/push", nil, now.Add(off))
		_, err := verifier.Verify(r, nil, now)
		if want == "" {
			if err != nil {
				t.Errorf("clocks differ by %s: %v", off, err)
			}
			continue
		}
		var refused *SignatureError
		if !errors.As(err, &refused) || refused.Reason != want || !refused.Now.Equal(now) || !strings.Contains(err.Error(), "2026-11-23T09:00:00Z") {
			t.Errorf("clocks differ by %s: %v; want reason %s and the server's time", off, err, want)
		}
	}
}

func TestRequestForOneServerIsRefusedByAnother(t *testing.T) {
	key := testKey(1)
	signer := newSigner(t, "havel.example", key)
	other := NewVerifier("third.example", pin("havel.example", publicOf(key)))
	body := []byte("{}\n")

	r := arrived(t, signer, "https://kobo.example/federation/v1/push", body, testNow())
	if _, err := other.Verify(r, body, testNow()); reasonOf(err) != reasonHost {
		t.Errorf("replayed as it was: %v, want reason %s", err, reasonHost)
	}
	r.Host = "third.example"
	if _, err := other.Verify(r, body, testNow()); reasonOf(err) != reasonSignature {
		t.Errorf("replayed with the host changed: %v, want reason %s", err, reasonSignature)
	}
	// HTTP/2 can carry :authority and a Host header; only the first says who is asked.
	r.Header.Set("Host", "kobo.example")
	if _, err := other.Verify(r, body, testNow()); reasonOf(err) != reasonSignature {
		t.Errorf("replayed with both hosts: %v, want reason %s", err, reasonSignature)
	}
}

func TestVerifyingLeavesTheRequestAsItWas(t *testing.T) {
	key := testKey(1)
	verifier := NewVerifier("kobo.example", pin("havel.example", publicOf(key)))
	r := arrived(t, newSigner(t, "havel.example", key), "https://kobo.example/federation/v1/push", nil, testNow())
	before := r.Header.Clone()
	if _, err := verifier.Verify(r, nil, testNow()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, r.Header); diff != "" {
		t.Errorf("header changed (-before +after):\n%s", diff)
	}
}

// Routers and proxies in front of the handler may change the parsed path; what was signed is what
// was sent.
func TestPathRewrittenBeforeTheCheckIsRefused(t *testing.T) {
	key := testKey(1)
	verifier := NewVerifier("kobo.example", pin("havel.example", publicOf(key)))
	r := arrived(t, newSigner(t, "havel.example", key), "https://kobo.example/federation/v1/push", nil, testNow())
	r.RequestURI = "/elsewhere" + r.RequestURI
	if _, err := verifier.Verify(r, nil, testNow()); reasonOf(err) != reasonTarget {
		t.Errorf("got %v, want reason %s", err, reasonTarget)
	}
}

func TestFailedKeyLookupIsNotARefusal(t *testing.T) {
	key := testKey(1)
	down := errors.New("database is down")
	verifier := NewVerifier("kobo.example", func(string) (Key, error) { return Key{}, down })
	r := arrived(t, newSigner(t, "havel.example", key), "https://kobo.example/federation/v1/push", nil, testNow())
	_, err := verifier.Verify(r, nil, testNow())
	var refused *SignatureError
	if !errors.Is(err, down) || errors.As(err, &refused) {
		t.Errorf("got %v, want the lookup's own error", err)
	}
}

func TestSigningAgainReplacesTheFirstSignature(t *testing.T) {
	key := testKey(1)
	signer := newSigner(t, "havel.example", key)
	verifier := NewVerifier("kobo.example", pin("havel.example", publicOf(key)))
	later, body := testNow().Add(time.Hour), []byte("{}\n")
	r := arrived(t, signer, "https://kobo.example/federation/v1/push", []byte("[]\n"), testNow())
	if err := signer.Sign(r, body, later); err != nil {
		t.Fatal(err)
	}
	if got, err := verifier.Verify(r, body, later); err != nil || got.Server != "havel.example" {
		t.Errorf("Verify = %+v, %v", got, err)
	}
}

func TestSignerRefusesWhatWouldNotVerify(t *testing.T) {
	key := testKey(1)
	signer := newSigner(t, "havel.example", key)
	for name, spoil := range map[string]func(r *http.Request){
		"no content type":  func(r *http.Request) { r.Header.Del("Content-Type") },
		"two of them":      func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") },
		"host in capitals": func(r *http.Request) { r.URL.Host = "Kobo.example" },
		"default port":     func(r *http.Request) { r.URL.Host = "kobo.example:443" },
		"escaped path":     func(r *http.Request) { r.URL.Path = "/federation/v1/a b" },
		"opaque URL":       func(r *http.Request) { r.URL.Opaque = "//kobo.example/other" },
		"empty query":      func(r *http.Request) { r.URL.ForceQuery = true },
		"method":           func(r *http.Request) { r.Method = "PUT" },
	} {
		r := httptest.NewRequest(http.MethodPost, "https://kobo.example/federation/v1/push", nil)
		r.Header.Set("Content-Type", "application/json")
		spoil(r)
		if err := signer.Sign(r, nil, testNow()); err == nil || r.Header.Get("Signature") != "" {
			t.Errorf("%s: signed, error %v", name, err)
		}
	}
	for _, keyID := range []string{"", "a,b", `a"b`, `a\b`, "a b", "é", strings.Repeat("a", maxKeyID+1)} {
		if _, err := NewSigner(keyID, key); err == nil {
			t.Errorf("NewSigner accepts key id %.20q", keyID)
		}
	}
	for _, n := range []int{0, 32, 63, 65} {
		if _, err := NewSigner("k", make(ed25519.PrivateKey, n)); err == nil {
			t.Errorf("NewSigner accepts a key of %d bytes", n)
		}
	}
}

func TestOneSignerServesManyGoroutines(t *testing.T) {
	const goroutines = 64
	total := 100_000
	if testing.Short() {
		total = 6_400
	}
	key := testKey(1)
	signer := newSigner(t, "havel.example", key)
	verifier := NewVerifier("kobo.example", pin("havel.example", publicOf(key)))
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range (total + goroutines - 1) / goroutines {
				body := fmt.Appendf(nil, `{"goroutine":%d,"request":%d}`, g, i)
				r, err := http.NewRequest(http.MethodPost, "https://kobo.example/federation/v1/push", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/json")
				if err := signer.Sign(r, body, testNow()); err != nil {
					t.Error(err)
					return
				}
				r.RequestURI = r.URL.RequestURI()
				if _, err := verifier.Verify(r, body, testNow()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkVerify(b *testing.B) {
	key := testKey(1)
	signer, err := NewSigner(KeyID("havel.example", publicOf(key)), key)
	if err != nil {
		b.Fatal(err)
	}
	verifier := NewVerifier("kobo.example", pin("havel.example", publicOf(key)))
	r := httptest.NewRequest(http.MethodPost, "https://kobo.example/federation/v1/push", nil)
	r.Header.Set("Content-Type", "application/json")
	if err := signer.Sign(r, nil, testNow()); err != nil {
		b.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	for b.Loop() {
		if _, err := verifier.Verify(r, nil, testNow()); err != nil {
			b.Fatal(err)
		}
	}
}
