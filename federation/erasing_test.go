package federation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
)

// files is the directory in which the site's database keeps its bytes, after
// all that is committed has been written into it.
func (s *site) files() string {
	s.t.Helper()
	if path, ok := strings.CutPrefix(s.path, "sqlite:"); ok {
		return filepath.Dir(path)
	}
	db, err := sql.Open("postgres", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("checkpoint"); err != nil {
		s.t.Fatal(err)
	}
	var dir string
	err = db.QueryRow("select current_setting('data_directory') || '/base/' || oid from pg_database where datname = current_database()").Scan(&dir)
	if err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// holds counts the files of the site's database in which a text stands.
func (s *site) holds(text string) (found []string) {
	s.t.Helper()
	err := filepath.WalkDir(s.files(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(text)) {
			found = append(found, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

func (s *site) sweep() {
	s.t.Helper()
	eventually(s.t, time.Minute, "the sweep", func() bool {
		err := s.store.Sweep(context.Background())
		if err != nil {
			s.t.Logf("sweep: %v", err)
		}
		return err == nil
	})
}

// finds is how many hits a person has for a word at the site.
func (s *site) finds(person, word string) int {
	s.t.Helper()
	hits, _, err := s.store.Reading().Search(context.Background(), person, word, threads.Page{})
	var unknown *threads.Error
	if err != nil && !errors.As(err, &unknown) {
		s.t.Fatal(err)
	}
	return len(hits)
}

// canary is a word of 32 letters that search finds.
func canary() string { return strings.ToLower(rand.Text() + rand.Text())[:32] }

// receipts is what other servers said of an erasure, by server.
func (s *site) receipts(message threads.Hash) map[string]string {
	s.t.Helper()
	e, err := s.store.ErasureOf(context.Background(), "", message)
	if err != nil {
		s.t.Fatal(err)
	}
	states := map[string]string{}
	for _, r := range e.Receipts {
		states[r.Partner] = r.State
	}
	return states
}

// T18: the bytes of an erased message and of its edits are in no file of a
// server that processed the erasure, and no route brings them back.
func TestWhatIsErasedIsGoneFromEveryServerAndNotTakenBack(t *testing.T) {
	for name, database := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "meridian.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			whatIsErasedIsGone(t, newSiteOn(t, database(t)), newSiteOn(t, database(t)), newSiteOn(t, database(t)))
		})
	}
}

func whatIsErasedIsGone(t *testing.T, a, b, late *site) {
	ctx := context.Background()
	befriend(t, a, b)
	befriend(t, a, late)
	befriend(t, b, late)
	ana, ben, cem := a.person("ana"), b.person("ben"), late.person("cem")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	word, edited := canary(), canary()
	message := post(a, ana.ID, channel, thread, "before "+word+" after")
	edit := a.do(ana.ID, threads.Edit{Channel: channel, Target: message, Body: "now " + edited})[0]
	same(t, channel, a, b)
	for i := range 40 { // pages split, and what stood on them moves
		post(b, ben.ID, channel, thread, strings.Repeat("x", 100*(i%7+1)))
	}
	same(t, channel, a, b)
	taken, err := b.store.EventsByID(ctx, channel, []threads.Hash{message, edit})
	if err != nil || len(taken) != 2 || taken[0].Content == nil {
		t.Fatalf("%v, %v", taken, err)
	}
	for _, s := range []*site{a, b} {
		if len(s.holds(word)) == 0 || s.finds(ben.ID, word)+s.finds(ana.ID, edited) == 0 {
			t.Fatalf("%s does not hold what is to be erased: the test would prove nothing", s.name)
		}
	}

	a.do(ana.ID, threads.Erase{Channel: channel, Target: message})
	same(t, channel, a, b)
	eventually(t, time.Minute, "b's receipt", func() bool { return a.receipts(message)[b.name] == threads.ErasureConfirmed })
	join(t, a, ana.ID, channel, late, cem)
	same(t, channel, a, b, late)
	for _, s := range []*site{a, b, late} { // by every route a server has for contents
		for _, from := range []*site{a, b, late} {
			for _, below := range []bool{false, true} {
				if s == from {
					continue
				}
				if _, err := s.journal.Ingest(ctx, threads.Batch{From: from.name, Events: taken, Below: below, Now: s.now()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		liar{t, b.name, b.key}.push(s, taken...)
		for _, gone := range []string{word, edited} {
			if n := s.finds(ana.ID, gone) + s.finds(ben.ID, gone) + s.finds(cem.ID, gone); n > 0 {
				t.Errorf("search at %s finds %d", s.name, n)
			}
		}
		s.sweep()
		for _, gone := range []string{word, edited} {
			if files := s.holds(gone); len(files) > 0 {
				t.Errorf("%s holds %s in %v", s.name, gone, files)
			}
		}
		if _, err := s.store.Verify(ctx, func(f store.Fault) { t.Errorf("%s: %s", s.name, f) }); err != nil {
			t.Error(err)
		}
	}
	same(t, channel, a, b, late)
}
