package server

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// T45: the clock of a server that writes is set back by an hour.
func TestAServerWhoseClockIsWrongWritesNothingUntilItIsSetRightOrTrusted(t *testing.T) {
	a, b, c := newSite(t, ""), newSite(t, ""), newSite(t, "")
	var behind atomic.Int64
	a.options.Clock = func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }
	for _, at := range []*site{a, b, c} {
		at.start()
	}
	ana, ben := a.person("ana"), b.person("ben")
	befriend(a, b)
	befriend(a, c)
	channel := share(a, ana, b, ben, "ben@"+b.name)
	var thread item
	a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &thread)
	b.holding(ben, thread.ID, 1)

	behind.Store(int64(time.Hour))
	look := func(status int) {
		t.Helper()
		a.eventually("answered by both partners", func() bool {
			for _, partner := range []*site{b, c} {
				a.mustOperate("partners.retry", PartnerChange{Name: partner.name}, nil)
			}
			return a.call(ana, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "x"}, nil) == status
		})
	}
	look(http.StatusServiceUnavailable)
	var problem struct{ Code string }
	if status := a.refused(ana, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "two"}, &problem); status != http.StatusServiceUnavailable || problem.Code != "clock_off" {
		t.Errorf("a post with a wrong clock: %d %s", status, problem.Code)
	}
	if warning := a.warnings()["clock"]; warning == "" {
		t.Error("readiness says nothing of the clock")
	}
	a.mustOperate("clock.trust", TrustedClock{Minutes: 5}, nil)
	a.must(ana, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "trusted"}, nil)
	a.mustOperate("clock.trust", TrustedClock{}, nil)
	look(http.StatusServiceUnavailable)
	behind.Store(0)
	look(http.StatusCreated)
	if warning := a.warnings()["clock"]; warning != "" {
		t.Errorf("readiness says: %s", warning)
	}
	a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
	if logs := b.logsOf(channel, a.name); len(logs) != 1 {
		t.Errorf("A's logs are %+v", logs)
	}
}

// warnings are those of a ready server.
func (at *site) warnings() map[string]string {
	at.t.Helper()
	answer, err := http.Get(at.admin + "/readyz")
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	var ready struct{ Warnings map[string]string }
	if err := json.NewDecoder(answer.Body).Decode(&ready); err != nil || answer.StatusCode != http.StatusOK {
		at.t.Fatalf("readiness: %d %v", answer.StatusCode, err)
	}
	return ready.Warnings
}
