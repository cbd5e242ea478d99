package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// writer is the connection of the journal with its prepared statements, kept
// from transaction to transaction.
type writer struct {
	conn  *sqlx.Conn
	bind  func(string) string
	stmts map[string]*sql.Stmt
	names *names
	last  int64 // newest position that it knows
}

// pinned is the writer, connected anew when there is none. s.pen must be held.
func (s *Store) pinned(ctx context.Context) (*writer, error) {
	if s.writer != nil {
		return s.writer, nil
	}
	conn, err := s.writers.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	s.writer = &writer{conn: conn, bind: s.bind, stmts: map[string]*sql.Stmt{}, names: newNames()}
	return s.writer, nil
}

// dropWriter gives up the connection after err, whose cause may be the
// connection itself; the next transaction makes a new one. s.pen must be held.
func (s *Store) dropWriter(err error) error {
	w := s.writer
	s.writer = nil
	if w == nil {
		return err
	}
	w.closeStatements()
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // which closes it, instead of its going back to the pool
	return err
}

func (w *writer) close() error {
	w.closeStatements()
	return w.conn.Close()
}

// closeStatements comes before the connection is closed: afterwards the SQLite
// driver would touch what is freed.
func (w *writer) closeStatements() {
	for _, stmt := range w.stmts {
		_ = stmt.Close() // goes with its connection in any case
	}
}

// stmt is the query prepared; queries are written with ? and must be few.
func (w *writer) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := w.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := w.conn.PrepareContext(ctx, w.bind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", query, err)
	}
	w.stmts[query] = stmt
	return stmt, nil
}

// ignoreDone drops the errors that say that the work or the connection is over.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}
