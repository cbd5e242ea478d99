package sim_test

import (
	"crypto/rand"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/internal/store/pgtest"
)

// T18: an installation is put back from a backup that was made before an erasure. The erased text
// comes with it, and goes again with the first that the partner tells: be it of the server whose people
// erased or of a partner that had confirmed it, on either database, by the real commands.
func TestARestoredServerErasesAgainWhatWasErasedMeanwhile(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	log := newHistory()
	fresh := []string{"", pgtest.URL(t)} // dropped after the houses have ended
	houses := newHouses(t, log, false, "", pgtest.URL(t))
	a, b := houses[0].owner, houses[1].owner
	channel := a.newChannel("Pumps")
	a.bring(channel, b)
	var thread named
	a.must(http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "The pump"}, &thread)
	settled(t, channel, a, b)
	words := map[string]string{} // erased text by message
	for _, p := range []person{a, b} {
		word := strings.ToLower(rand.Text())
		words[p.say(thread.ID, "before "+word+" after", "")] = word
	}
	settled(t, channel, a, b)
	var files []string
	for _, h := range houses {
		files = append(files, filepath.Join(shortDir(t), "before.backup"))
		h.mustRun("", "backup", files[len(files)-1])
		if n := h.holding(words); n != len(words) {
			t.Fatalf("%s holds %d of %d texts: the test would prove nothing", h.name, n, len(words))
		}
	}
	for _, m := range a.replica(channel).messages {
		by := []person{a, b}[slices.IndexFunc([]person{a, b}, func(p person) bool { return p.address == m.Author })]
		by.must(http.MethodDelete, "/messages/"+m.ID, nil, nil)
		by.confirmed(m.ID)
	}
	settled(t, channel, a, b)
	for i, h := range houses {
		h.putBack(files[i], fresh[i])
		if n := h.holding(words); n != len(words) {
			t.Fatalf("the backup of %s holds %d of %d texts: the test would prove nothing", h.name, n, len(words))
		}
		t.Logf("T18: %s is put back", h.name)
		h.start()
		h.eventually("without the erased texts", func() bool { return h.holding(words) == 0 })
		settled(t, channel, a, b)
		for _, p := range []person{a, b} {
			for id, word := range words {
				var found struct{ Items []named }
				if p.must(http.MethodGet, "/search?q="+word, nil, &found); len(found.Items) > 0 {
					t.Errorf("%s restored: %s finds the erased text", h.name, p.address)
				}
				var m struct {
					Body   string
					Erased bool
				}
				if p.must(http.MethodGet, "/messages/"+id, nil, &m); !m.Erased || m.Body != "" {
					t.Errorf("%s restored: %s reads %+v", h.name, p.address, m)
				}
				if n := p.house.holding(words); n > 0 {
					t.Errorf("%s restored: %s holds %d erased texts", h.name, p.house.name, n)
				}
			}
		}
	}
	for id := range words { // who erased is still told what became of it
		a.confirmed(id)
		b.confirmed(id)
	}
	verify(houses...)
}

// confirmed waits until every partner said that it holds nothing of an erased message; where somebody of
// another server erased it there is nothing to wait for.
func (p person) confirmed(message string) {
	p.house.t.Helper()
	p.house.eventually("told that "+message+" is erased elsewhere", func() bool {
		var ledger struct{ Receipts []struct{ State string } }
		came, status := p.do(http.MethodGet, "/messages/"+message+"/erasure", "", nil, &ledger)
		if status == http.StatusNotFound {
			return true
		}
		return came == acknowledged && len(ledger.Receipts) == 1 && ledger.Receipts[0].State == "confirmed"
	})
}

// putBack stops the house, empties its installation but for the configuration, and restores a backup,
// into another database where one is named.
func (h *house) putBack(file, database string) {
	h.t.Helper()
	h.stop()
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "meridian.yaml" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(h.dir, e.Name())); err != nil {
			h.t.Fatal(err)
		}
	}
	if database != "" {
		h.env = append(h.env, "MERIDIAN_DATABASE="+database)
	}
	if data := h.dataDir(); data != h.dir {
		if err := os.Mkdir(data, 0o700); err != nil {
			h.t.Fatal(err)
		}
	}
	h.mustRun("", "restore", file)
}

// dataDir is where the house keeps its files.
func (h *house) dataDir() string {
	h.t.Helper()
	settings, err := os.ReadFile(filepath.Join(h.dir, "meridian.yaml"))
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(settings)) {
		if at, found := strings.CutPrefix(strings.TrimSpace(line), "data_dir: "); found {
			return strings.Trim(at, `"'`)
		}
	}
	h.t.Fatal("the configuration names no data_dir")
	return ""
}

// database opens the house's database beside the program, to look at it.
func (h *house) database() (db *sql.DB, postgres bool) {
	h.t.Helper()
	driver, source := "sqlite", "file:"+filepath.Join(h.dataDir(), "meridian.db")+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)"
	for _, setting := range h.env {
		if at, found := strings.CutPrefix(setting, "MERIDIAN_DATABASE="); found {
			driver, source = "postgres", at
		}
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		h.t.Fatal(err)
	}
	return db, driver == "postgres"
}

// holding counts the texts that stand in events of the house's database.
func (h *house) holding(words map[string]string) (n int) {
	h.t.Helper()
	db, postgres := h.database()
	defer db.Close()
	query := "select count(*) from event where instr(content, cast(? as blob)) > 0"
	if postgres {
		query = "select count(*) from event where position(convert_to($1, 'UTF8') in content) > 0"
	}
	for _, word := range words {
		var found int
		if err := db.QueryRow(query, word).Scan(&found); err != nil {
			h.t.Fatal(err)
		}
		n += min(found, 1)
	}
	return n
}
