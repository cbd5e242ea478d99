package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A server that went away without a word is noticed by the read deadline, which
// lies above the time that any statement may take.
const (
	statementTimeout = "25000" // milliseconds
	readTimeout      = 30 * time.Second
	dialTimeout      = 10 * time.Second
)

// A node that stands still, or whose machine is gone, in the middle of a transaction
// must not keep the others from writing: PostgreSQL ends its session, that of
// the journal's pen first. In milliseconds.
const (
	idleTimeout    = "15000"
	penIdleTimeout = 4000
)

const maxConnections = 12

func (s *Store) openPostgres(ctx context.Context, raw string, upTo int64) error {
	s.postgres = true
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("is not a URL")
	}
	query := u.Query()
	if query.Get("sslmode") == "" {
		return errors.New("does not name sslmode: add ?sslmode=verify-full, or sslmode=disable for a socket of this machine")
	}
	query.Set("statement_timeout", statementTimeout)
	query.Set("idle_in_transaction_session_timeout", idleTimeout)
	query.Set("synchronous_commit", "on")
	u.RawQuery = query.Encode()
	s.dsn = u.String()
	connector, err := pq.NewConnector(s.dsn)
	if err != nil {
		return err
	}
	connector.Dialer(deadlineDialer{s.silence})
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	s.readers = sqlx.NewDb(db, "postgres")
	s.writers = s.readers
	return migrate(ctx, db, true, upTo)
}
