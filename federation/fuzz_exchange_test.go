package federation_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/federation"
	"meridian/internal/cost"
)

// T75: the body of every exchange, signed by a partner that shares a channel. Whatever it holds, the answer
// is 2xx or a 4xx that says what is wrong, and the server's own state of the channel stays.
func FuzzExchanges(f *testing.F) {
	a, b := newSite(f), newSite(f)
	befriend(f, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, _, message := found(a, ana.ID, "full")
	join(f, a, ana.ID, channel, b, ben)
	same(f, channel, a, b)
	b.close()
	a.close()
	a.rate = 1e9 // else most inputs are turned away before they are read
	a.open()
	public := b.key.Public().(ed25519.PublicKey)
	signer, err := federation.NewSigner(federation.KeyID(b.name, public), b.key)
	if err != nil {
		f.Fatal(err)
	}
	paths := []string{"push", "pull", "digest", "request", "profiles", "file", "erased", "check"}
	for i, bodies := range [][]string{
		{`{"channels":[{"channel":"` + channel + `","control":[1,"` + channel + `"]}]}` + "\n" + `{"header":"{}","sig":"","content":"{}"}` + "\n"},
		{
			`{"channels":[{"channel":"` + channel + `","control":[0,""],"frontier":[],"waiting":true}],"limit":5}`,
			`{"channels":[{"channel":"` + channel + `","control":[0,""],"admission":true,"contents":["` + message + `"],"probe":[["` + a.name + `",4294967296,1]]}]}`,
			`{"channels":[{"channel":"` + channel + `","control":[1,"` + channel + `"],"below":[["` + a.name + `",4294967296,1,9,"x"]],"ahead":[["",0,5]],"at":[["",0,1]]}]}`,
		},
		{`{"buckets":{"00":"aaaa","ff":""}}`, `{"buckets":{}}`},
		{
			`{"id":"1","kind":"invite","channel":"` + message + `","invite":{"address":"` + ana.Address + `","inviter":"` + ben.ID + `","name":"x","purpose":"","role":"member"}}`,
			`{"id":"2","kind":"accept","channel":"` + channel + `","accept":{"acceptance":"","person":"` + ben.ID + `","prev":"` + channel + `","role":"member"}}`,
			`{"id":"3","kind":"command","channel":"` + channel + `","command":{"kind":"settings","actor":"` + ben.ID + `","settings":{"name":"x"}}}`,
			`{"id":"4","kind":"decline","channel":"` + channel + `"}`,
		},
		{`{"people":["` + ana.ID + `"],"known":{"x":1}}`, `{"people":[]}`},
		{`{"channel":"` + channel + `","digest":"` + message + `","from":0}`},
		{`{"events":["` + message + `"]}`},
		{`{}`, `{"name":"` + b.name + `","size":10}`},
	} {
		for _, body := range bodies {
			f.Add(byte(i), body)
		}
	}
	handler, before := a.exchange.Handler(), a.hash(channel)
	state := a.store.StateHash
	f.Fuzz(func(t *testing.T, which byte, body string) {
		path := "/federation/v1/" + paths[int(which)%len(paths)]
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Host, r.URL.Host = a.name, a.name
		r.Header.Set("Content-Type", "application/json")
		if err := signer.Sign(r, []byte(body), a.now()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		cost.Hold(t, func() { handler.ServeHTTP(w, r) })
		if w.Code >= 500 || w.Code == http.StatusUnauthorized || w.Code == http.StatusTooManyRequests {
			t.Errorf("%s %q is answered with %d: %s", path, body, w.Code, w.Body)
		}
		if after, err := state(t.Context(), channel); err != nil || fmt.Sprint(after) != before {
			t.Errorf("%s %q changed the channel (%v)", path, body, err)
		}
	})
}
