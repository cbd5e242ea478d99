package federation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"meridian/federation"
	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

// rotate gives a running server a new key, as package server does.
func (s *site) rotate(revoked bool) {
	s.t.Helper()
	ring, err := s.ring.Renew(s.name, rand.Reader, s.now(), revoked)
	if err != nil {
		s.t.Fatal(err)
	}
	s.ring = ring
	if s.store == nil {
		return // it is down, and starts with the new one
	}
	s.journal.Rekey(ring.Pen(s.name, random16))
	if err := s.exchange.Rekey(ring); err != nil {
		s.t.Fatal(err)
	}
}

// present is the key that the site signs with.
func (s *site) present() threads.Key {
	signed := s.ring.Signed(s.name)
	return signed[len(signed)-1].Key
}

// company is a channel hosted by the first of three servers, each with an owner in it.
type company struct {
	t       *testing.T
	sites   [3]*site
	people  [3]threads.PersonRecord
	channel threads.Hash
	thread  threads.Hash
}

func newCompany(t *testing.T) *company {
	t.Helper()
	return newCompanyOn(t, onSQLite)
}

// onSQLite is the URL of a fresh database.
func onSQLite(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "meridian.db") }

// onBoth runs a test with each kind of database.
func onBoth(t *testing.T, test func(t *testing.T, database func(testing.TB) string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, onSQLite) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, pgtest.URL) })
}

// newCompanyOn is a company whose host is on that kind of database.
func newCompanyOn(t *testing.T, database func(testing.TB) string) *company {
	t.Helper()
	w := &company{t: t, sites: [3]*site{newSiteOn(t, database(t)), newSite(t), newSite(t)}}
	for i := range w.sites {
		w.people[i] = w.sites[i].person("ana")
	}
	host := w.sites[0]
	for i, a := range w.sites {
		for _, b := range w.sites[i+1:] {
			befriend(t, a, b)
		}
	}
	w.channel = host.do(w.people[0].ID, threads.CreateChannel{Settings: threads.Settings{Name: "works", Kind: "work", History: "full"}})[0]
	for i := 1; i < 3; i++ {
		join(t, host, w.people[0].ID, w.channel, w.sites[i], w.people[i])
	}
	title := "keys"
	w.thread = host.do(w.people[0].ID, threads.StartThread{Channel: w.channel, Content: threads.ThreadContent{Title: &title}})[0]
	for _, s := range w.sites[1:] {
		eventually(t, time.Minute, "the thread arrives", func() bool {
			return len(s.channel(w.channel).Frontier()) > 0
		})
	}
	return w
}

func (w *company) post(i int, text string) (threads.Hash, error) {
	done, err := w.sites[i].journal.Do(context.Background(), journal.Request{
		Actor: w.people[i].ID, Now: w.sites[i].now(), Command: threads.Post{Channel: w.channel, Message: threads.Message{Thread: w.thread, Body: text}},
	})
	if err != nil {
		return "", err
	}
	return done.IDs[0], nil
}

// knows reports whether the channel at every site that is up knows the server by its present key.
func (w *company) knows(s *site) bool {
	for _, at := range w.sites {
		if at.store == nil {
			continue
		}
		if k, _ := at.channel(w.channel).KeyOf(s.name); !k.Same(s.present()) {
			return false
		}
	}
	return true
}

func (w *company) equal() bool {
	return w.sites[0].hash(w.channel) == w.sites[1].hash(w.channel) && w.sites[1].hash(w.channel) == w.sites[2].hash(w.channel)
}

// T62: keys are rotated, at the host too, while everybody posts: nothing is lost.
func TestRotationUnderLoadLosesNothing(t *testing.T) {
	w := newCompany(t)
	var posted []threads.Hash
	for round := range 30 {
		if round%5 == 2 {
			w.sites[round/5%3].rotate(false)
		}
		for i := range w.sites {
			id, err := w.post(i, fmt.Sprint("round ", round))
			if err != nil {
				t.Fatalf("post at %d in round %d: %v", i, round, err)
			}
			posted = append(posted, id)
		}
	}
	for _, s := range w.sites {
		eventually(t, time.Minute, "the channel knows the newest key of "+s.name, func() bool { return w.knows(s) })
	}
	eventually(t, time.Minute, "all hold the same", w.equal)
	for i, s := range w.sites {
		events, err := s.store.EventsByID(context.Background(), w.channel, posted)
		if err != nil || len(events) != len(posted) {
			t.Fatalf("site %d holds %d of %d posts: %v", i, len(events), len(posted), err)
		}
		if slices.ContainsFunc(events, func(e *threads.Event) bool { return e.Content == nil || s.channel(w.channel).Void(&e.Header) }) {
			t.Errorf("site %d hides a post", i)
		}
	}
	for i := range w.sites {
		if id, err := w.post(i, "after"); err != nil || id == "" {
			t.Errorf("post after the rotations: %v", err)
		}
	}
}

// T62: a partner that was away for 30 days takes the new key by the signature of the one it knew.
func TestPartnerAwayDuringRotationsCatchesUp(t *testing.T) {
	w := newCompany(t)
	away := w.sites[0] // the host
	away.close()
	for range 3 {
		w.sites[1].rotate(false)
		if _, err := w.post(1, "meanwhile"); err != nil {
			t.Fatal(err)
		}
	}
	const month = 30 * 24 * time.Hour
	for _, s := range w.sites {
		if s != away {
			s.close()
		}
		s.now = func() time.Time { return time.Now().Add(month) }
	}
	for _, s := range w.sites {
		s.open()
	}
	eventually(t, time.Minute, "the channel knows the newest key", func() bool { return w.knows(w.sites[1]) })
	if _, err := w.post(1, "back"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "all hold the same", w.equal)
	if k, _ := away.channel(w.channel).KeyOf(w.sites[1].name); !k.Same(w.sites[1].present()) {
		t.Error("the host stayed with the old key")
	}
}

// T62: whoever has a retired key gets in nowhere with it.
func TestRetiredKeySignsNoRequest(t *testing.T) {
	w := newCompany(t)
	s := w.sites[1]
	retired := s.ring.Present()
	s.rotate(false)
	eventually(t, time.Minute, "the channel knows the new key", func() bool { return w.knows(s) })
	for _, at := range []*site{w.sites[0], w.sites[2]} {
		signer, err := federation.NewSigner(federation.KeyID(s.name, retired.Public().(ed25519.PublicKey)), retired)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(`{"buckets":{}}`)
		r, _ := http.NewRequest(http.MethodPost, "http://"+at.name+"/federation/v1/digest", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if err := signer.Sign(r, body, time.Now()); err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		var p federation.Problem
		_ = json.NewDecoder(answer.Body).Decode(&p)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden || p.Code != "unknown_server" {
			t.Errorf("a request signed by the retired key is answered %d %s", answer.StatusCode, p.Code)
		}
	}
}

// T62: a thief with a stolen key forges events; beyond the cut none is visible anywhere, and the server
// goes on in a new log.
func TestRevokedKeyCountsUpToTheCut(t *testing.T) {
	onBoth(t, func(t *testing.T, database func(testing.TB) string) {
		w := newCompanyOn(t, database)
		s, host, witness := w.sites[1], w.sites[0], w.sites[2]
		before, err := w.post(1, "genuine")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "all hold the same", w.equal)
		stolen := s.ring.Pen(s.name, random16)
		stolen.Now = time.Now()
		thief := &thief{w: w, pen: stolen, c: s.channel(w.channel).Clone()}
		// The witness is told of the forgeries before anybody knows of the theft, and of more after it.
		thief.forge(3)
		if n := thief.push(witness); n != 3 {
			t.Fatalf("the witness took %d of 3 events of a key that nobody revoked yet", n)
		}
		// They never reach the host: it asks the witness before it cuts, so the witness is off the network.
		witness.handler.set(true)
		witness.stop()
		s.rotate(true)
		eventually(t, time.Minute, "the host records the new key", func() bool {
			k, _ := host.channel(w.channel).KeyOf(s.name)
			return k.Same(s.present())
		})
		witness.handler.set(false)
		witness.start()
		eventually(t, time.Minute, "everybody knows the new key", func() bool { return w.knows(s) })
		thief.forge(3)
		for _, at := range []*site{host, witness} {
			if n := thief.push(at); n != 0 {
				t.Errorf("%d events forged after the revocation were taken", n)
			}
		}
		after, err := w.post(1, "with the new key")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "all hold the same", w.equal)
		for i, at := range w.sites {
			shown, _, err := at.store.Reading().Messages(context.Background(), w.people[i].ID, w.thread, threads.Page{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			var bodies []string
			for _, m := range shown {
				bodies = append(bodies, m.Body)
			}
			if !slices.Equal(bodies, []string{"genuine", "with the new key"}) {
				t.Errorf("site %d shows %q", i, bodies)
			}
		}
		if before == after {
			t.Error("one id for two messages")
		}
	})
}

// thief writes with another server's key.
type thief struct {
	w      *company
	pen    threads.Pen
	c      *threads.Channel
	forged []*threads.Event
}

func (f *thief) forge(n int) {
	for range n {
		f.pen.Now = time.Now()
		v := &threads.View{
			Channel: f.c, Actor: f.w.people[1].ID, Pen: &f.pen,
			Find: func(id threads.Hash) (threads.Target, error) {
				return threads.Target{ID: id, Channel: f.w.channel, Type: threads.TypeThreadCreated}, nil
			},
		}
		if err := (threads.Post{Channel: f.w.channel, Message: threads.Message{Thread: f.w.thread, Body: "forged"}}).Decide(v); err != nil {
			f.w.t.Fatal(err)
		}
		f.forged = append(f.forged, v.Events...)
	}
}

// push hands the forgeries to a server as if they came from the one they name, past every check of who
// asks, and is how many were taken.
func (f *thief) push(to *site) int {
	f.w.t.Helper()
	a, err := to.journal.Ingest(context.Background(), threads.Batch{
		From: f.w.sites[1].name, Events: f.forged, Now: time.Now().Add(time.Second), MetAfter: time.Hour,
	})
	if err != nil {
		f.w.t.Fatal(err)
	}
	return len(a.Channels[f.w.channel].Taken)
}

// T62: a server that lost its key goes on once its partners' administrators allowed the new one; the host
// then records it with cuts.
func TestLostKeyIsReplacedOnceAdministratorsAllowedTheNewOne(t *testing.T) {
	onBoth(t, func(t *testing.T, database func(testing.TB) string) {
		w := newCompanyOn(t, database)
		s := w.sites[1]
		if _, err := w.post(1, "with the key that is lost"); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "all hold the same", w.equal)
		s.close()
		_, fresh, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.ring = federation.Keyring{{Private: fresh}}
		s.open()
		var refused *threads.Error
		if _, err := w.post(1, "too early"); !errors.As(err, &refused) || refused.Code != "key_unknown" {
			t.Errorf("writing before the channel knows the new key: %v", err)
		}
		for _, at := range []*site{w.sites[0], w.sites[2]} {
			p, err := at.exchange.AddPartner(context.Background(), threads.ByAdmin, s.name)
			if err != nil || p.Hold == "" {
				t.Fatalf("a new key that the old one did not sign: %+v, %v", p, err)
			}
			if _, err := at.exchange.AllowPartner(context.Background(), threads.ByAdmin, s.name, federation.Fingerprint(s.present().Public)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, time.Minute, "everybody knows the new key", func() bool { return w.knows(s) })
		if _, err := w.post(1, "with the new one"); err != nil {
			t.Fatal(err)
		}
		for _, at := range []*site{w.sites[0], w.sites[2]} { // it was refused till now, and waits before it tries again
			if _, err := s.exchange.RetryPartner(context.Background(), at.name); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, time.Minute, "all hold the same", w.equal)
		if c := w.sites[2].channel(w.channel); c.KeyFollows(s.name, threads.Key{}) || c.Admission(s.name) == c.JoinedAt(s.name) {
			t.Error("the old log goes on after its key was lost")
		}
	})
}
