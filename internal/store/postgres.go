package store

import (
	"context"
	"database/sql"
	"errors"
	"net"
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

const maxConnections = 12

func (s *Store) openPostgres(ctx context.Context, raw string) error {
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
	query.Set("synchronous_commit", "on")
	u.RawQuery = query.Encode()
	connector, err := pq.NewConnector(u.String())
	if err != nil {
		return err
	}
	connector.Dialer(deadlineDialer{})
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	s.readers = sqlx.NewDb(db, "postgres")
	s.writers = s.readers
	return migrate(ctx, db, true)
}

// deadlineDialer makes connections on which no read lasts for ever: lib/pq
// itself waits for a silent server whatever the context says.
type deadlineDialer struct{}

func (d deadlineDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, dialTimeout)
}

func (d deadlineDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (deadlineDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return deadlineConn{conn}, nil
}

type deadlineConn struct{ net.Conn }

func (c deadlineConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}
