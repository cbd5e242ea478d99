// Package store keeps what the journal appends and everything derived from it,
// on SQLite or PostgreSQL, and finds it again: the log for followers and
// partners, channels, threads, messages and search for people. It never decides
// whether an event counts (package threads does), never reads a clock and never
// answers for a write before it is durable.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Options say which database to open and for whom.
type Options struct {
	// URL is sqlite:PATH, or postgres:// with sslmode named.
	URL string
	// Server is the name of this server: the contents of its own people's
	// events are kept when they turn void.
	Server string
	// Schema is the newest migration to apply, for what a backup holds; 0 for all.
	// Such a database is good for Import and nothing else.
	Schema int64
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	name     string // of the database, without its password
	server   string
	postgres bool
	readers  *sqlx.DB // on SQLite read-only connections
	prepared prepared // on readers
	writers  *sqlx.DB // on SQLite the one connection that writes
	release  func() error
	dsn      string // of PostgreSQL
	node     string // tells this node from the others on one PostgreSQL
	alone    chan struct{}
	silence  time.Duration // for which PostgreSQL may say nothing

	pen    sync.Mutex // held by whoever writes to the journal; on SQLite by whoever writes
	writer *writer    // guarded by pen
	shared shared
}

// Open opens the database, creating or upgrading its schema. On SQLite it
// refuses a database that another process has open.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := newStore(o.Server)
	s.name = redacted(o.URL)
	scheme, rest, _ := strings.Cut(o.URL, ":")
	var err error
	switch scheme {
	case "sqlite":
		err = s.openSQLite(ctx, rest, o.Schema)
	case "postgres":
		err = s.openPostgres(ctx, o.URL, o.Schema)
	default:
		err = errors.New("must be sqlite:PATH or postgres://…")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", s.name, err), s.Close())
	}
	return s, nil
}

func newStore(server string) *Store {
	return &Store{
		server: server, node: rand.Text(), alone: make(chan struct{}, maxAlone), silence: readTimeout,
		shared: shared{channels: map[threads.Hash]known{}},
	}
}

// redacted is the URL without its password.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Redacted()
}

// Close closes all connections. Nothing may be called after it.
func (s *Store) Close() error {
	var errs []error
	s.pen.Lock()
	defer s.pen.Unlock()
	if s.writer != nil {
		errs = append(errs, s.writer.close())
		s.writer = nil
	}
	for _, db := range []*sqlx.DB{s.readers, s.writers} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.release != nil {
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.readers.PingContext(ctx) }

// bind gives a statement written with ? the placeholders of the dialect.
func (s *Store) bind(query string) string {
	if !s.postgres {
		return query
	}
	return sqlx.Rebind(sqlx.DOLLAR, query)
}

// change runs f in one transaction outside the journal: for what is no event,
// like tokens and read marks. It commits durably when f returns nil.
func (s *Store) change(ctx context.Context, f func(*sqlx.Tx) error) error {
	db := s.writers
	var tx *sqlx.Tx
	var err error
	if !s.postgres {
		s.pen.Lock()
		defer s.pen.Unlock()
		w, err := s.pinned(ctx)
		if err != nil {
			return err
		}
		// A transaction bound to ctx would be rolled back by somebody else when ctx ends, perhaps only
		// after the next one on this connection has begun.
		tx, err = w.conn.BeginTxx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return s.dropWriter(err)
		}
	} else if tx, err = db.BeginTxx(ctx, nil); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}
