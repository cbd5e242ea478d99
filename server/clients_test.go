package server

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"meridian/api"
	"meridian/threads"
)

func TestWhatTheHostAloneCanDoIsDoneThereOrRefusedWhileItIsAway(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	a.start()
	b.start()
	ana, ben := a.person("ana"), b.person("ben")
	cy := b.person("cy")
	befriend(a, b)
	var channel, thread struct{ ID, Name string }
	a.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Old"}, &channel)
	inviteAs(a, ana, b, ben, newMember{Address: "ben@" + b.name, Role: "owner"}, channel.ID)
	path := "/channels/" + channel.ID

	b.must(ben, http.MethodPatch, path, map[string]string{"name": "New"}, &channel)
	if channel.Name != "New" {
		t.Errorf("B shows %q at once", channel.Name)
	}
	a.must(ana, http.MethodGet, path, nil, &channel)
	if channel.Name != "New" {
		t.Errorf("the host shows %q", channel.Name)
	}
	b.must(ben, http.MethodPost, path+"/members", newMember{Address: "cy@" + b.name, Role: "reader"}, nil)
	var invitations list
	b.eventually("inviting cy by way of the host", func() bool {
		b.must(cy, http.MethodGet, "/invitations", nil, &invitations)
		return len(invitations.Items) == 1
	})
	b.must(cy, http.MethodPost, "/invitations/"+invitations.Items[0].ID+"/accept", nil, nil)
	b.eventually("letting cy in", func() bool { return b.status(b.url+"/api/v1"+path, cy) == http.StatusOK })
	if status := b.call(cy, http.MethodPatch, path, map[string]string{"name": "Mine"}, nil); status != http.StatusForbidden {
		t.Errorf("a reader's change of the name: %d", status)
	}
	b.must(ben, http.MethodDelete, path+"/members/cy@"+b.name, nil, nil)
	b.eventually("without cy", func() bool { return b.status(b.url+"/api/v1"+path, cy) == http.StatusNotFound })

	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if status := b.call(ben, http.MethodPatch, path, map[string]string{"name": "Newer"}, nil); status != http.StatusServiceUnavailable {
		t.Errorf("a change while the host is away: %d", status)
	}
	b.must(ben, http.MethodPost, path+"/threads", map[string]string{"title": "Meanwhile", "body": "Written while the host was away."}, &thread)
	a.start()
	a.eventually("holding what was written meanwhile", func() bool {
		return a.status(a.url+"/api/v1/threads/"+thread.ID, ana) == http.StatusOK
	})
}

// T68: the key of a request that the host carries out is no other request's.
func TestAKeyUsedForWhatTheHostDoesIsRefusedForAnotherRequest(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	a.start()
	b.start()
	ana, ben := a.person("ana"), b.person("ben")
	befriend(a, b)
	var channel struct{ ID string }
	a.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Old"}, &channel)
	inviteAs(a, ana, b, ben, newMember{Address: "ben@" + b.name, Role: "owner"}, channel.ID)
	actor, _, err := b.running.store.Credentials(t.Context(), "ben")
	if err != nil {
		t.Fatal(err)
	}
	rename := func(name string) error {
		_, err := pen{b.running}.Do(t.Context(), api.Request{
			Actor: actor.ID, Now: time.Now(), Key: "k", Digest: threads.HashOf([]byte(name)),
			Command: threads.ChangeSettings{Channel: channel.ID, Settings: threads.Settings{Name: name}},
		})
		return err
	}
	number := func() int64 {
		c, err := a.running.journal.Channel(t.Context(), channel.ID)
		if err != nil {
			t.Fatal(err)
		}
		return c.Control.Seq
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if err := rename("New"); err == nil {
		t.Fatal("the host is away and did it")
	}
	a.start()
	b.eventually("done by the host", func() bool { return rename("New") == nil })
	before := number()
	if err := rename("New"); err != nil || number() != before {
		t.Errorf("repeated: %v, %d control events more", err, number()-before)
	}
	var refused *threads.Error
	if err := rename("Newer"); !errors.As(err, &refused) || refused.Code != "idempotency_mismatch" || number() != before {
		t.Errorf("another request under its key: %v", err)
	}
}

// loaded posts from several clients until stop is closed and returns the ids of
// what was acknowledged.
func loaded(at *site, token, thread string, stop <-chan struct{}) func() map[string]bool {
	var mu sync.Mutex
	var all sync.WaitGroup
	acknowledged := map[string]bool{}
	for i := range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := at.tryPost(token, thread, fmt.Sprintf("Client %d, message %d.", i, n))
				mu.Lock()
				if id != "" {
					acknowledged[id] = true
				}
				mu.Unlock()
			}
		})
	}
	return func() map[string]bool {
		all.Wait()
		return acknowledged
	}
}

func TestStoppingUnderLoadLosesNothingThatWasAcknowledged(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			at := newSite(t, database())
			at.start()
			token, thread := conversation(at)
			acknowledged := map[string]bool{}
			for range 3 {
				stop := make(chan struct{})
				finish := loaded(at, token, thread, stop)
				at.eventually("under load", func() bool { return at.count(token, thread) >= len(acknowledged)+50 })
				if err := at.stop(); err != nil {
					t.Errorf("stop: %v", err)
				}
				close(stop)
				for id := range finish() {
					acknowledged[id] = true
				}
				at.start()
			}
			for id := range acknowledged {
				if status := at.status(at.url+"/api/v1/messages/"+id, token); status != http.StatusOK {
					t.Fatalf("an acknowledged message is answered with %d", status)
				}
			}
			if n := at.count(token, thread); len(acknowledged) < 150 || n < len(acknowledged) {
				t.Errorf("%d acknowledged, %d there", len(acknowledged), n)
			}
		})
	}
}
