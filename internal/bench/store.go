package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/lib/pq"  // the driver "postgres"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed floor.go
var floorSource string

// floorTime is how long one measurement of the floor lasts at most.
const floorTime = time.Second

// store is the kind of database that servers and floor stand on.
type store struct {
	admin *sql.DB // makes and drops databases; nil on SQLite
	base  *url.URL
	dir   string
	about string
	run   string // part of the names of this run's databases
}

// openStore looks at the PostgreSQL server at raw, or does nothing for SQLite.
func openStore(ctx context.Context, raw, dir string) (store, error) {
	s := store{dir: dir, run: strings.ToLower(rand.Text()[:8])}
	if raw == "" {
		return s, s.identify(ctx, "sqlite", ":memory:", "select 'SQLite ' || sqlite_version()")
	}
	var err error
	if s.base, err = url.Parse(raw); err != nil || s.base.Scheme != "postgres" || !s.base.Query().Has("sslmode") {
		return store{}, errors.New("database: not a PostgreSQL URL; write it as postgres://user@host/name?sslmode=disable")
	}
	if s.admin, err = sql.Open("postgres", raw); err != nil {
		return store{}, fmt.Errorf("database: %w", err)
	}
	if err := s.identify(ctx, "postgres", raw, "select 'PostgreSQL ' || current_setting('server_version')"); err != nil {
		return store{}, errors.Join(fmt.Errorf("database: %w", err), s.admin.Close())
	}
	return s, nil
}

func (s *store) identify(ctx context.Context, driver, name, query string) error {
	db, err := sql.Open(driver, name)
	if err != nil {
		return err
	}
	return errors.Join(db.QueryRowContext(ctx, query).Scan(&s.about), db.Close())
}

func (s store) close() error {
	if s.admin == nil {
		return nil
	}
	return s.admin.Close()
}

// database makes an empty database and returns its URL, in the form of the
// configuration, and what drops it.
func (s store) database(ctx context.Context, name string) (string, func() error, error) {
	if s.admin == nil {
		path := filepath.Join(s.dir, name+".db")
		return "sqlite:" + path, func() error { return removeSQLite(path) }, nil
	}
	full := "meridian_bench_" + s.run + "_" + name
	if _, err := s.admin.ExecContext(ctx, "create database "+full); err != nil {
		return "", nil, fmt.Errorf("create database %s: %w", full, err)
	}
	at := *s.base
	at.Path = "/" + full
	return at.String(), func() error {
		_, err := s.admin.Exec("drop database " + full + " with (force)")
		return err
	}, nil
}

func removeSQLite(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// size is the bytes a database takes; on SQLite nobody may have it open.
func (s store) size(ctx context.Context, at string) (bytes int64, err error) {
	path, ok := strings.CutPrefix(at, "sqlite:")
	if !ok {
		u, err := url.Parse(at)
		if err != nil {
			return 0, err
		}
		err = s.admin.QueryRowContext(ctx, "select pg_database_size($1)", u.Path[1:]).Scan(&bytes)
		return bytes, err
	}
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		if suffix != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	return bytes, nil
}

// floor is what the database alone does with rows of 1,000 bytes.
type floor struct {
	transactions []time.Duration
	bytesPerRow  float64
}

// floor fills an empty table for a second, or d if that is less.
func (s store) floor(ctx context.Context, perTransaction int, d time.Duration) (f floor, err error) {
	at, drop, err := s.database(ctx, "floor")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	db, parameters, err := openFloor(at)
	if err != nil {
		return f, fmt.Errorf("open the floor's database: %w", err)
	}
	statements := []string{fmt.Sprintf(floorTable, "integer", "blob"), floorIndex}
	if s.admin != nil {
		statements = []string{"set synchronous_commit = on", fmt.Sprintf(floorTable, "bigint", "bytea"), floorIndex}
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return f, errors.Join(fmt.Errorf("make the floor's table: %w", err), db.Close())
		}
	}
	f.transactions, err = fill(ctx, db, parameters, perTransaction, min(d, floorTime))
	if err = errors.Join(err, db.Close()); err != nil {
		return f, fmt.Errorf("fill the floor's table: %w", err)
	}
	size, err := s.size(ctx, at)
	f.bytesPerRow = float64(size) / float64(perTransaction*len(f.transactions))
	return f, err
}

// openFloor opens a database with the durability that servers ask for.
func openFloor(at string) (db *sql.DB, parameters string, err error) {
	if path, sqlite := strings.CutPrefix(at, "sqlite:"); sqlite {
		parameters = "?, ?, ?"
		db, err = sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	} else {
		parameters = "$1, $2, $3"
		db, err = sql.Open("postgres", at)
	}
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, parameters, err
}

// rate is the rows a second that the floor took.
func (f floor) rate(perTransaction int) float64 {
	var total time.Duration
	for _, d := range f.transactions {
		total += d
	}
	return perSecond(perTransaction*len(f.transactions), total)
}
