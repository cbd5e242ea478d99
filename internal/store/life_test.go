package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
	"meridian/threads/journal"
)

// T59: an index that was falsified has nothing dropped that is not old.
func TestAFalsifiedIndexDropsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s, err := Open(context.Background(), Options{URL: "sqlite:" + path, Server: testServer})
	if err != nil {
		t.Fatal(err)
	}
	ana := createPerson(t, s, "ana", 1)
	for _, key := range []string{"one", "two"} {
		err := s.Write(context.Background(), func(tx journal.Tx) error {
			return tx.Remember(journal.Key{Person: ana.ID, Key: key}, journal.Remembered{Digest: threads.HashOf([]byte(key)), At: testNow})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The index of a table in which everything is old takes the place of the true one.
	breakIt(t, s, `create table lies (person integer not null, key text not null, digest blob, events blob, at integer not null,
		primary key (person, key)) without rowid`)
	breakIt(t, s, "insert into lies select person, key, digest, events, 1 from idempotency")
	breakIt(t, s, "create index lies_at on lies (at)")
	breakIt(t, s, "pragma writable_schema = on")
	breakIt(t, s, `update sqlite_schema set rootpage = (select rootpage from sqlite_schema where name = 'lies_at') where name = 'idempotency_at'`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(context.Background(), Options{URL: "sqlite:" + path, Server: testServer})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	n, err := again.ForgetOutcomes(context.Background(), testNow.Add(-time.Hour), 10)
	if n != 0 || err == nil || !strings.Contains(err.Error(), "nothing was dropped") {
		t.Errorf("dropped %d, %v", n, err)
	}
	var left int
	if err := again.readers.Get(&left, "select count(*) from idempotency not indexed"); err != nil || left != 2 {
		t.Errorf("%d are left, %v; want 2", left, err)
	}
}

// T60: a reader of another program that holds its snapshot for long lets the WAL
// grow, and once it ends the WAL is cut to 64 MiB again.
func TestTheWALIsCutOnceALongReaderEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := openTest(t, "sqlite:"+path, testServer)
	ctx := context.Background()
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	grow := func() {
		t.Helper()
		err := s.change(ctx, func(tx *sqlx.Tx) error {
			_, err := tx.Exec("insert into probe (id, filler) values (1, randomblob(12000000)) on conflict (id) do update set filler = excluded.filler")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.view(ctx, func(q *sqlx.Tx) error {
		var n int
		if err := q.Get(&n, "select count(*) from event"); err != nil {
			return err
		}
		for range 7 {
			grow()
		}
		if size() <= 64<<20 {
			t.Errorf("the WAL has %d bytes while a reader holds it; the test shows nothing", size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	grow()
	grow()
	if size() > 64<<20 {
		t.Errorf("the WAL has %d bytes after the reader has ended", size())
	}
}

// T60: a database that another program writes to for too long is an outage, and
// no error of the request.
func TestABusyDatabaseIsAnOutage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := openTest(t, "sqlite:"+path, testServer)
	other, err := openSQLiteFile(path, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	breakIt(t, s, "pragma busy_timeout = 50")
	if _, err := other.Exec("begin immediate"); err != nil {
		t.Fatal(err)
	}
	err = s.Write(context.Background(), func(journal.Tx) error { return nil })
	if err == nil || !Lost(err) {
		t.Errorf("a write while another program writes: %v", err)
	}
	if _, err := other.Exec("rollback"); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), func(journal.Tx) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
