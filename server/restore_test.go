package server

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
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

// together gives sites that do not run yet one clock, which a test can put forward.
func together(sites ...*site) {
	var ahead atomic.Int64
	for _, at := range sites {
		at.ahead = &ahead
		at.options.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
}

// surely has time pass until the site is sure of its logs in a channel: until
// nothing that it had sent before can still be on its way.
func (at *site) surely(channel string, partner *site) {
	at.t.Helper()
	at.eventually("sure of its logs", func() bool {
		at.ahead.Add(int64(11 * time.Minute))
		at.mustOperate("partners.retry", PartnerChange{Name: partner.name}, nil)
		time.Sleep(200 * time.Millisecond) // for the exchange; else it only takes another round
		c, err := at.running.journal.Channel(at.t.Context(), channel)
		return err == nil && !c.InDoubt()
	})
}

// pairOf are two sites in a channel that a hosts, with a thread in it.
func pairOf(t *testing.T) (a, b *site, ana, ben, channel, thread string) {
	t.Helper()
	a, b = newSite(t, ""), newSite(t, "")
	together(a, b)
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
	a.surely(channel, b)
	a.must(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps"}, nil)
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
	a.surely(channel, b)
	a.mustPost(ana, thread, "three")
	b.holding(ben, thread, 3)
	if logs := b.logsOf(channel, a.name); len(logs) != 1 || logs[0].Seq != 4 {
		t.Errorf("A's logs are %+v", logs)
	}
}

func TestACopyThatIsPutBackTwiceIsDoubtedTwice(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	a.mustStop()
	old := a.copyDatabase()
	a.start()
	a.mustPost(ana, thread, "two")
	b.holding(ben, thread, 2)
	a.mustStop()
	b.mustStop()
	for range 2 { // nothing is written in between
		a.putDatabase(old)
		a.start()
		a.mustStop()
	}
	a.start()
	a.mustPost(ana, thread, "three")
	b.start()
	b.holding(ben, thread, 3)
	if logs := b.logsOf(channel, a.name); len(logs) != 2 || logs[0].Seq != 3 {
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

// T56: the data gone, the key kept.
func TestAServerThatLostAllButItsKeyIsRebuiltFromItsPartner(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, ""), newSite(t, "")
			together(a, b)
			a.start()
			b.start()
			ana, ben := a.person("ana"), b.person("ben")
			befriend(a, b)
			channel := share(a, ana, b, ben, "ben@"+b.name)
			var thread item
			a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &thread)
			b.holding(ben, thread.ID, 1)
			b.mustPost(ben, thread.ID, "two")
			a.mustPost(ana, thread.ID, "three")
			a.holding(ana, thread.ID, 3)
			b.holding(ben, thread.ID, 3)
			b.eventually("told who ana is", func() bool {
				p, err := b.running.store.PersonByAddress(t.Context(), "ana@"+a.name)
				return err == nil && p.Signed != nil
			})
			before := b.stateHash(ben, channel)
			a.mustStop()
			a.lose(database())
			a.start()
			for _, verb := range []string{"add", "allow"} {
				a.mustOperate("partners."+verb, PartnerChange{Name: b.name}, nil)
			}
			a.eventually("told who its own people were", func() bool {
				p, err := a.running.store.PersonByAddress(t.Context(), "ana@"+a.name)
				return err == nil && !p.Local
			})
			ana = a.person("ana")
			a.holding(ana, thread.ID, 3)
			a.surely(channel, b)
			a.must(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps"}, nil)
			a.mustPost(ana, thread.ID, "four")
			b.holding(ben, thread.ID, 4)
			a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
			if before == b.stateHash(ben, channel) {
				t.Error("the state did not move on")
			}
			if logs := b.logsOf(channel, a.name); len(logs) != 1 {
				t.Errorf("A's logs are %+v, though B was there and had all of them", logs)
			}
		})
	}
}

// lose leaves a site that does not run nothing but its configuration and key, on
// another database, "" for its own.
func (at *site) lose(database string) {
	at.t.Helper()
	at.putDatabase(nil)
	if err := os.Remove(MarkFile(at.options.Config.DataDir)); err != nil {
		at.t.Fatal(err)
	}
	if database != "" {
		at.options.Config.Database = database
	}
}

// T65, second half: a second server runs on a copy of the whole data directory.
func TestAServerLeavesALogInWhichACopyOfItWrites(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	a.mustStop()
	twin := a.copied()
	a.start()
	twin.start()
	twin.mustPost(ana, thread, "by the copy")
	b.holding(ben, thread, 2)
	a.mustOperate("partners.retry", PartnerChange{Name: b.name}, nil) // at the latest a minute later by itself
	a.holding(ana, thread, 2)
	if !a.measures("meridian_foreign_own_events_total 1") {
		t.Error("the alarm is not counted")
	}
	a.mustPost(ana, thread, "by the server itself")
	b.holding(ben, thread, 3)
	twin.mustPost(ana, thread, "by the copy again")
	b.holding(ben, thread, 4)
	a.mustOperate("partners.retry", PartnerChange{Name: b.name}, nil)
	a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
	if logs := b.logsOf(channel, a.name); len(logs) != 2 || logs[0].Seq != 4 || logs[1].Seq != 1 {
		t.Errorf("B holds of A %+v", logs)
	}
}

// measures reports whether the metrics have the line.
func (at *site) measures(line string) bool {
	at.t.Helper()
	answer, err := http.Get(at.admin + "/metrics")
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	return strings.Contains(string(b), "\n"+line+"\n")
}

// copied is a second site with the name, the key, the database and the mark of
// one that does not run; partners reach the first alone.
func (at *site) copied() *site {
	at.t.Helper()
	twin := newSite(at.t, "")
	own := twin.options.Config.DataDir
	for _, path := range []string{KeyFile(at.options.Config.DataDir), MarkFile(at.options.Config.DataDir), at.database()} {
		b, err := os.ReadFile(path)
		if err != nil {
			at.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(own, filepath.Base(path)), b, 0o600); err != nil {
			at.t.Fatal(err)
		}
	}
	twin.options.Config.PublicURL = at.options.Config.PublicURL
	return twin
}

// T57, second half: what a standby had not yet got when it was promoted is gone
// from the database, under the server that had answered for it.
func TestADatabaseThatWentBackUnderAServerIsHealedByItsPartner(t *testing.T) {
	database := pgtest.URL(t)
	standby := swapOf(t, database)
	a, b := newSite(t, database), newSite(t, "")
	a.start()
	b.start()
	ana, ben := a.person("ana"), b.person("ben")
	befriend(a, b)
	channel := share(a, ana, b, ben, "ben@"+b.name)
	var thread item
	a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &thread)
	b.holding(ben, thread.ID, 1)
	standby.copy()
	post := func(body string) {
		t.Helper()
		a.eventually("storing "+body, func() bool { return a.tryPost(ana, thread.ID, body) != "" })
	}
	post("two")
	b.holding(ben, thread.ID, 2)
	b.mustStop()

	standby.promote()
	post("three") // into another log: B is away and nobody knows what it holds
	a.eventually("stopping by itself", func() bool { return a.status(a.admin+"/readyz", "") != http.StatusOK })
	if err := a.stop(); !errors.Is(err, ErrWentBack) {
		t.Errorf("the server stopped with %v", err)
	}
	a.start()
	b.start()
	a.holding(ana, thread.ID, 3)
	b.holding(ben, thread.ID, 3)
	a.eventually("of one state with B", func() bool { return a.stateHash(ana, channel) == b.stateHash(ben, channel) })
	if logs := b.logsOf(channel, a.name); len(logs) != 2 || logs[0].Seq != 3 || logs[1].Seq != 1 {
		t.Errorf("B holds of A %+v", logs)
	}
}

// swap puts an older copy in the place of a PostgreSQL database in use.
type swap struct {
	t     *testing.T
	admin *sql.DB
	name  string
}

func swapOf(t *testing.T, database string) *swap {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin, err := sql.Open("postgres", u.String())
	if err != nil {
		t.Fatal(err)
	}
	s := &swap{t, admin, name}
	t.Cleanup(func() {
		s.run(`drop database if exists %s_lost with (force)`)
		_ = admin.Close()
	})
	return s
}

// run runs statements about the database, whose name stands for %s.
func (s *swap) run(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, err := s.admin.Exec(strings.ReplaceAll(statement, "%s", s.name)); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

const disconnected = `select pg_terminate_backend(pid) from pg_stat_activity where datname = '%s'`

func (s *swap) copy() {
	s.run(`alter database %s allow_connections false`, disconnected, `select pg_sleep(0.2)`,
		`create database %s_old template %s`, `alter database %s allow_connections true`)
}

func (s *swap) promote() {
	s.run(`alter database %s allow_connections false`, disconnected, `select pg_sleep(0.2)`,
		`alter database %s rename to %s_lost`, `alter database %s_old rename to %s`)
}
