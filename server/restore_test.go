package server

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"meridian/threads"
)

// database is the SQLite file of a site that does not run.
func (at *site) database() string {
	return strings.TrimPrefix(at.options.Config.Database, "sqlite:")
}

// copyDatabase is the content of the database of a site that does not run.
func (at *site) copyDatabase() []byte {
	at.t.Helper()
	b, err := os.ReadFile(at.database())
	if err != nil {
		at.t.Fatal(err)
	}
	return b
}

// putDatabase puts another database under a site that does not run; nil is none.
func (at *site) putDatabase(b []byte) {
	at.t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.RemoveAll(at.database() + suffix); err != nil {
			at.t.Fatal(err)
		}
	}
	if b == nil {
		return
	}
	if err := os.WriteFile(at.database(), b, 0o600); err != nil {
		at.t.Fatal(err)
	}
}

func (at *site) mustStop() {
	at.t.Helper()
	if err := at.stop(); err != nil {
		at.t.Fatal(err)
	}
}

// mustPost posts and returns the id.
func (at *site) mustPost(token, thread, body string) string {
	at.t.Helper()
	var made item
	at.must(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]string{"body": body}, &made)
	return made.ID
}

// holding waits until a thread has so many messages.
func (at *site) holding(token, thread string, n int) {
	at.t.Helper()
	at.eventually(fmt.Sprintf("holding %d messages", n), func() bool {
		return at.status(at.url+"/api/v1/threads/"+thread, token) == http.StatusOK && at.count(token, thread) == n
	})
}

// logsOf are the data logs of a site in a channel, as another one holds them.
func (at *site) logsOf(channel, origin string) []threads.Head {
	at.t.Helper()
	c, err := at.running.journal.Channel(at.t.Context(), channel)
	if err != nil {
		at.t.Fatal(err)
	}
	var logs []threads.Head
	for _, h := range c.Frontier() {
		if h.Origin == origin {
			logs = append(logs, h)
		}
	}
	return logs
}

// pairOf are two sites in a channel that a hosts, with a thread in it.
func pairOf(t *testing.T) (a, b *site, ana, ben, channel, thread string) {
	t.Helper()
	a, b = newSite(t, ""), newSite(t, "")
	a.start()
	b.start()
	ana, ben = a.person("ana"), b.person("ben")
	befriend(a, b)
	channel = share(a, ana, b, ben, "ben@"+b.name)
	var made item
	a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &made)
	b.holding(ben, made.ID, 1)
	return a, b, ana, ben, channel, made.ID
}

func TestARestoredServerPostsAtOnceInANewLogAndGetsBackWhatWasLost(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	a.mustStop()
	old := a.copyDatabase()
	a.start()
	a.mustPost(ana, thread, "two")
	a.mustPost(ana, thread, "three")
	b.holding(ben, thread, 3)
	a.mustStop()
	b.mustStop()

	a.putDatabase(old)
	a.start()
	a.mustPost(ana, thread, "four") // nobody has answered yet
	var refusal struct{ Code, Detail string }
	status := a.refused(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps"}, &refusal)
	if status != http.StatusServiceUnavailable || refusal.Code != "control_in_doubt" || !strings.Contains(refusal.Detail, b.name) {
		t.Errorf("a control event of a host in doubt: %d %+v", status, refusal)
	}
	b.start()
	a.holding(ana, thread, 4)
	b.holding(ben, thread, 4)
	a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
	logs := b.logsOf(channel, a.name)
	if len(logs) != 2 || logs[0].Epoch>>32 != logs[1].Epoch>>32 || logs[0].Seq != 4 || logs[1].Seq != 1 {
		t.Errorf("A's logs are %+v", logs)
	}
	a.eventually("sure of its control log", func() bool {
		return a.call(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps"}, nil) == http.StatusOK
	})
}

func TestARestoredServerGoesOnInItsLogOnceEveryMemberDeliveredWhatItHolds(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	a.mustStop()
	old := a.copyDatabase()
	a.start()
	a.mustPost(ana, thread, "two")
	b.holding(ben, thread, 2)
	a.mustStop()
	a.putDatabase(old)
	a.start()
	a.eventually("sure of its logs", func() bool {
		c, err := a.running.journal.Channel(t.Context(), channel)
		return err == nil && !c.InDoubt()
	})
	a.mustPost(ana, thread, "three")
	b.holding(ben, thread, 3)
	if logs := b.logsOf(channel, a.name); len(logs) != 1 || logs[0].Seq != 4 {
		t.Errorf("A's logs are %+v", logs)
	}
}

func TestAServerWhoseDatabaseIsCurrentDoubtsNothing(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	b.mustStop()
	a.mustStop()
	a.start()
	a.mustPost(ana, thread, "two")
	b.start()
	b.holding(ben, thread, 2)
	if logs := b.logsOf(channel, a.name); len(logs) != 1 {
		t.Errorf("A's logs are %+v", logs)
	}
}

func TestADatabaseWithoutItsMarkIsDoubted(t *testing.T) {
	a, b, ana, _, channel, thread := pairOf(t)
	b.mustStop()
	a.mustStop()
	if err := os.Remove(MarkFile(a.options.Config.DataDir)); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.mustPost(ana, thread, "two")
	if logs := a.logsOf(channel, a.name); len(logs) != 2 {
		t.Errorf("A's logs are %+v", logs)
	}
}

func TestAHostWaitsForNobodyWhomItsAdministratorGivesUp(t *testing.T) {
	a, b, ana, _, channel, _ := pairOf(t)
	b.mustStop()
	a.mustStop()
	if err := os.Remove(MarkFile(a.options.Config.DataDir)); err != nil {
		t.Fatal(err)
	}
	a.start()
	if status := a.call(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps"}, nil); status != http.StatusServiceUnavailable {
		t.Errorf("before: %d", status)
	}
	var done GaveUp
	a.mustOperate("partners.give-up", PartnerChange{Name: b.name}, &done)
	if len(done.Awaited) != 0 {
		t.Errorf("still awaited: %v", done.Awaited)
	}
	a.must(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps"}, nil)
}
