package store

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
	"meridian/threads"
)

// posting writes messages one a transaction, trying each until it is confirmed,
// and returns how many attempts failed.
func posting(t *testing.T, s *Store, w *world, count int, before func(i int)) (failures int) {
	t.Helper()
	thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
	feed(t, s, w.c.ID, w.all...)
	for i := range count {
		e := w.post(w.kobo, w.ana, thread.ID, prose())
		before(i)
		for deadline := time.Now().Add(time.Minute); ; {
			if stored, err := s.EventsByID(context.Background(), w.c.ID, []threads.Hash{e.ID}); err == nil && len(stored) == 1 {
				break // unknown, as it turned out stored
			}
			err := tryFeed(s, w.c.ID, e)
			if err == nil {
				break
			}
			failures++
			if time.Now().After(deadline) {
				t.Fatalf("message %d: still %v", i, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return failures
}

// holdsAll checks that the store has each event once, and a sound journal.
func holdsAll(t *testing.T, s *Store, w *world) {
	t.Helper()
	if n, err := s.Verify(context.Background(), func(f Fault) { t.Errorf("%v", f) }); n != int64(len(w.all)) || err != nil {
		t.Errorf("%d events of %d, %v", n, len(w.all), err)
	}
	entries, err := s.Entries(context.Background(), 0, len(w.all)+1)
	if err != nil || len(entries) != len(w.all) {
		t.Fatalf("%d entries of %d, %v", len(entries), len(w.all), err)
	}
	for i, e := range w.all {
		if entries[i].Event.ID != e.ID {
			t.Fatalf("entry %d is %s", i, entries[i].Event.ID)
		}
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	s := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "full.db"), testServer)
	w := newWorld(t)
	failures := posting(t, s, w, 120, func(i int) {
		switch i {
		case 20:
			limitPages(t, s, 4)
		}
	})
	if failures == 0 {
		t.Error("the disk was never full")
	}
	holdsAll(t, s, w)
}

// limitPages lets the database grow by no more than so many pages, as long as
// the connection lasts.
func limitPages(t *testing.T, s *Store, more int) {
	t.Helper()
	s.pen.Lock()
	defer s.pen.Unlock()
	var pages int
	if err := s.writer.conn.QueryRowxContext(context.Background(), "pragma page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if err := s.writer.conn.QueryRowxContext(context.Background(), "pragma max_page_count = "+string(threads.AppendInt(nil, int64(pages+more)))).Scan(&pages); err != nil {
		t.Fatal(err)
	}
}

func TestACrashOfPostgreSQLIsSurvived(t *testing.T) {
	if os.Getenv("TEST_POSTGRES_URL") != "" {
		t.Skip("kills a backend of the private cluster; the server that TEST_POSTGRES_URL names is not ours to crash")
	}
	s := openTest(t, pgtest.URL(t), testServer)
	w := newWorld(t)
	failures := posting(t, s, w, 60, func(i int) {
		if i%20 != 10 {
			return
		}
		var pid int
		if err := s.readers.Get(&pid, "select pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		// PostgreSQL then ends every connection and recovers from its log.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
	if failures == 0 {
		t.Error("no attempt failed: the crash missed")
	}
	holdsAll(t, s, w)
}

func TestALostDatabaseIsAnErrorInTime(t *testing.T) {
	if err := newStore(testServer).openPostgres(context.Background(), "postgres://u@127.0.0.1:1/x?sslmode=disable", 0); err == nil {
		t.Fatal("a server that is not there was opened")
	}
}
