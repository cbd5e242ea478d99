package federation

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestStrangersAtOnceAreBounded(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NewSigner(KeyID("stranger.example", private.Public().(ed25519.PublicKey)), private)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	looking, enough := make(chan struct{}), make(chan struct{})
	x := &Exchange{Options: Options{Clock: time.Now}, limits: LimitTable(1, 1), metrics: metrics, verifier: NewVerifier("us.example", func(string) (Key, error) {
		looking <- struct{}{}
		<-enough
		return Key{}, ErrUnknownKey
	})}
	handler := x.exchanged(func(context.Context, caller) (reply, error) { return reply{}, nil })
	knock := func() int {
		r := httptest.NewRequest(http.MethodPost, "https://us.example"+digestPath, http.NoBody)
		r.Header.Set("Content-Type", typeJSON)
		if err := signer.Sign(r, nil, time.Now()); err != nil {
			t.Error(err)
		}
		r.RequestURI = digestPath
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	var all sync.WaitGroup
	for range maxUnverified {
		all.Go(func() {
			if code := knock(); code != http.StatusForbidden {
				t.Errorf("a stranger is answered %d", code)
			}
		})
	}
	for range maxUnverified {
		<-looking
	}
	if code := knock(); code != http.StatusServiceUnavailable {
		t.Errorf("one stranger too many is answered %d", code)
	}
	close(enough)
	all.Wait()
}
