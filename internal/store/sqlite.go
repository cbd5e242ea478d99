package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"syscall"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver
)

func (s *Store) openSQLite(ctx context.Context, path string, upTo int64) error {
	if path == "" {
		return errors.New("names no file: write sqlite:PATH")
	}
	var err error
	if s.release, err = lockFile(path + ".lock"); err != nil {
		return err
	}
	common := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	write := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{
		"secure_delete(1)", "cache_size(-16384)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)",
	}, common["_pragma"]...)}
	read := url.Values{"_pragma": append([]string{"query_only(1)"}, common["_pragma"]...)}
	if s.writers, err = openSQLiteFile(path, write, 1); err != nil {
		return err
	}
	if err := migrate(ctx, s.writers.DB, false, upTo); err != nil {
		return err
	}
	s.readers, err = openSQLiteFile(path, read, max(4, runtime.NumCPU()))
	return err
}

func openSQLiteFile(path string, options url.Values, connections int) (*sqlx.DB, error) {
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return sqlx.NewDb(db, "sqlite3"), nil
}

// lockFile takes the lock that lets only one process have a database open; it
// ends with the process.
func lockFile(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process has this database open (lock on %s): %w", path, err), f.Close())
	}
	return f.Close, nil
}
