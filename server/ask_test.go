package server

import (
	"net/http"
	"testing"
	"time"
)

// waiting are the messages of the open asks that somebody sees, and when each is due.
func (at *site) waiting(token, view string) map[string]time.Time {
	at.t.Helper()
	var found struct {
		Items []struct {
			Message string
			Due     time.Time
		}
	}
	at.must(token, http.MethodGet, "/inbox?view="+view, nil, &found)
	due := map[string]time.Time{}
	for _, one := range found.Items {
		due[one.Message] = one.Due
	}
	return due
}

// What ana asks of ben at another organisation waits with both, due at the same instant, while the partner is
// away too, until he answers, declines, or she takes it back.
func TestAnAskAcrossTheBorderWaitsAtBothSides(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, ""), newSite(t, database())
			a.start()
			b.start()
			ana, ben := a.person("ana"), b.person("ben")
			befriend(a, b)
			b.must(ben, http.MethodPatch, "/me", map[string]any{"zone": "Asia/Tokyo", "hours": map[string]any{"mon": []string{"09:00-18:00"}, "thu": []string{"09:00-18:00"}}}, nil)
			channel := share(a, ana, b, ben, "ben@"+b.name)
			var thread item
			a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pumps"}, &thread)
			a.eventually("told ben's hours", func() bool {
				var e struct{ Basis string }
				return a.call(ana, http.MethodGet, "/expectation?to=ben@"+b.name, nil, &e) == http.StatusOK && e.Basis == "profile"
			})
			ask := func() string {
				var made item
				a.must(ana, http.MethodPost, "/threads/"+thread.ID+"/messages",
					map[string]any{"body": "Which seal?", "ask": map[string]any{"of": []string{"ben@" + b.name}}}, &made)
				return made.ID
			}
			b.mustStop()
			asked := [3]string{ask(), ask(), ask()}
			due := a.waiting(ana, "waiting")
			if len(due) != 3 || due[asked[0]].Before(time.Now()) {
				t.Fatalf("ana waits for %v", due)
			}
			b.start()
			b.eventually("asked", func() bool { return len(b.waiting(ben, "asked")) == 3 })
			for id, at := range b.waiting(ben, "asked") {
				if !at.Equal(due[id]) {
					t.Errorf("%s is due at %v here and %v there", id, due[id], at)
				}
			}
			b.must(ben, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "The red one.", "reply_to": asked[0]}, nil)
			b.must(ben, http.MethodPost, "/messages/"+asked[1]+"/decline", nil, nil)
			a.eventually("answered and declined", func() bool { return len(a.waiting(ana, "waiting")) == 1 })
			a.must(ana, http.MethodPost, "/messages/"+asked[2]+"/withdraw", nil, nil)
			b.eventually("withdrawn", func() bool { return len(b.waiting(ben, "asked")) == 0 })
			a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
		})
	}
}
