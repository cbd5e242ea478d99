package server

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"meridian/internal/mbox"
)

// byHand opens the database of a stopped site as an administrator with a shell would.
func (at *site) byHand(f func(db *sql.DB, arg func(n int) string)) {
	at.t.Helper()
	driver, source := "sqlite", filepath.Join(at.options.Config.DataDir, "meridian.db")
	arg := func(int) string { return "?" }
	if url := at.options.Config.Database; strings.HasPrefix(url, "postgres") {
		driver, source, arg = "postgres", url, func(n int) string { return fmt.Sprintf("$%d", n) }
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		at.t.Fatal(err)
	}
	defer db.Close()
	f(db, arg)
}

// flip changes one bit in a column of the events that a condition picks.
func (at *site) flip(column, condition string) {
	at.t.Helper()
	at.byHand(func(db *sql.DB, arg func(int) string) {
		var pos int64
		var bytes []byte
		if err := db.QueryRow("select pos, "+column+" from event where "+condition).Scan(&pos, &bytes); err != nil {
			at.t.Fatal(err)
		}
		bytes[len(bytes)/2] ^= 4
		if _, err := db.Exec("update event set "+column+" = "+arg(1)+" where pos = "+arg(2), bytes, pos); err != nil {
			at.t.Fatal(err)
		}
	})
}

func (at *site) execByHand(statement string) {
	at.t.Helper()
	at.byHand(func(db *sql.DB, _ func(int) string) {
		if _, err := db.Exec(statement); err != nil {
			at.t.Fatal(err)
		}
	})
}

func (at *site) verified() (v Verified) {
	at.t.Helper()
	at.mustOperate("verify", struct{}{}, &v)
	return v
}

// T81, T59: bits that flip in the database, and rows that somebody deletes, are
// found by the walk through the logs and repaired from a partner.
func TestDamageIsRepairedFromAPartner(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, database()), newSite(t, "")
			a.start()
			b.start()
			ana, ben := a.person("ana"), b.person("ben")
			made := a.importArchive(Archive{Title: "List", As: "ana", Odd: func(mbox.Oddity) {}}, archive(30))
			befriend(a, b)
			invite(a, ana, b, ben, "ben@"+b.name, made.Channel)
			b.eventually("holding all of it", func() bool { return len(b.tree(ben, made.Channel)) == 30 })
			var threads list
			b.must(ben, http.MethodGet, "/channels/"+made.Channel+"/threads", nil, &threads)
			for i := range 5 {
				b.tryPost(ben, threads.Items[0].ID, fmt.Sprint("From B ", i))
			}
			a.eventually("holding what B wrote", func() bool { return len(a.tree(ana, made.Channel)) == 35 })
			want, state := fmt.Sprint(a.tree(ana, made.Channel)), a.stateHash(ana, made.Channel)
			if err := a.stop(); err != nil {
				t.Fatal(err)
			}
			ours := "log = (select min(id) from log where origin = (select id from server where name = '" + a.name + "'))"
			theirs := "log = (select min(id) from log where origin = (select id from server where name = '" + b.name + "'))"
			a.flip("header", ours+" and seq = 7")
			a.flip("content", ours+" and seq = 9")
			a.flip("sig", ours+" and seq = 11")
			a.flip("header", theirs+" and seq = 2")
			a.execByHand("delete from event where " + ours + " and seq in (20, 21)")
			a.execByHand("delete from event where " + theirs + " and seq = 5") // the newest
			a.execByHand("delete from scrub")
			a.start()
			if faults := a.verified().Faults; len(faults) == 0 {
				t.Log("repaired before anybody looked")
			}
			a.eventually("sound again", func() bool { return len(a.verified().Faults) == 0 })
			if got := fmt.Sprint(a.tree(ana, made.Channel)); got != want {
				t.Errorf("people see %s, want %s", got, want)
			}
			if got := a.stateHash(ana, made.Channel); got != state || got != b.stateHash(ben, made.Channel) {
				t.Error("the states differ")
			}
			a.eventually("counted", func() bool {
				return strings.Contains(metricsOf(a), `meridian_scrub_faults_total{outcome="repaired"} 6`)
			})
		})
	}
}

// T81: who deletes from the audit log by hand is found out, and where.
func TestACutAuditLogIsNamed(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a := newSite(t, database())
			a.start()
			for i := range 5 {
				a.person(fmt.Sprint("p", i))
			}
			if v := a.verified(); v.Audit != nil || v.Audited < 5 {
				t.Fatalf("%+v", v)
			}
			if err := a.stop(); err != nil {
				t.Fatal(err)
			}
			a.execByHand("delete from audit where seq = 3")
			a.execByHand("delete from scrub") // so that the walk begins at once
			a.start()
			if v := a.verified(); v.Audit == nil || v.Audit.Seq != 3 || !strings.Contains(v.Audit.What, "missing") {
				t.Errorf("%+v", v.Audit)
			}
			a.eventually("found by the walk", func() bool { return strings.Contains(metricsOf(a), `meridian_scrub_faults_total{outcome="damaged"} 1`) })
		})
	}
}
