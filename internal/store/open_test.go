package store

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"meridian/internal/store/pgtest"
)

const testServer = "kobo.example"

// onEach runs a test on an empty store of each kind.
func onEach(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a b%.db") },
		"postgres": pgtest.URL,
	} {
		t.Run(name, func(t *testing.T) { f(t, openTest(t, url(t), testServer)) })
	}
}

// openEach opens an empty store of each kind.
func openEach(t *testing.T) []*Store {
	t.Helper()
	return []*Store{
		openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), testServer),
		openTest(t, pgtest.URL(t), testServer),
	}
}

func openTest(t testing.TB, url, server string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url, Server: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestAnOpenedDatabaseIsDurableAndEmpty(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		var events int
		if err := s.readers.Get(&events, "select count(*) from event"); err != nil || events != 0 {
			t.Fatalf("%d events, %v", events, err)
		}
		want, query := "2", "pragma synchronous" // FULL
		if s.postgres {
			want, query = "on", "show synchronous_commit"
		}
		var got string
		if err := s.writers.Get(&got, query); err != nil || got != want {
			t.Fatalf("%s is %q, %v; want %q", query, got, err, want)
		}
		if s.postgres {
			return
		}
		if err := s.writers.Get(&got, "pragma journal_mode"); err != nil || got != "wal" {
			t.Errorf("the journal mode is %q, %v", got, err)
		}
		if _, err := s.readers.Exec("delete from event"); err == nil {
			t.Error("a reader's connection could write")
		}
	})
}

func TestChangesCommitOrLeaveNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		insert := func(tx *sqlx.Tx) error {
			_, err := tx.Exec(s.bind("insert into server (name) values (?)"), "havel.example")
			return err
		}
		failed := context.Canceled
		if err := s.change(ctx, func(tx *sqlx.Tx) error {
			if err := insert(tx); err != nil {
				return err
			}
			return failed
		}); err == nil {
			t.Fatal("the error was lost")
		}
		if err := s.change(ctx, insert); err != nil {
			t.Fatalf("after a change that failed: %v", err)
		}
		var n int
		if err := s.readers.Get(&n, "select count(*) from server"); err != nil || n != 1 {
			t.Fatalf("%d servers, %v; want 1", n, err)
		}
	})
}

func TestASecondProcessIsRefused(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	openTest(t, url, testServer)
	_, err := Open(context.Background(), Options{URL: url})
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("got %v", err)
	}
}

func TestABadDatabaseURLIsRefused(t *testing.T) {
	for url, want := range map[string]string{
		"":                                  "must be sqlite:PATH",
		"sqlite:":                           "names no file",
		"mysql://x":                         "must be sqlite:PATH",
		"postgres://u:secret@127.0.0.1/x":   "sslmode",
		"sqlite:/nowhere/that/exists/at.db": "no such file",
	} {
		_, err := Open(context.Background(), Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %q", url, err, want)
		}
	}
}
