package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
)

// prepared are the statements by which people and partners are served: few, and
// dear to parse and plan each time. Each connection of the readers prepares them
// for itself.
type prepared struct {
	sync.Mutex
	statements map[string]*sqlx.Stmt
}

// statement is the query, written with ?, prepared for readers. Queries must be few.
func (s *Store) statement(ctx context.Context, query string) (*sqlx.Stmt, error) {
	s.prepared.Lock()
	defer s.prepared.Unlock()
	if found := s.prepared.statements[query]; found != nil {
		return found, nil
	}
	made, err := s.readers.PreparexContext(ctx, s.bind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", query, err)
	}
	if s.prepared.statements == nil {
		s.prepared.statements = map[string]*sqlx.Stmt{}
	}
	s.prepared.statements[query] = made
	return made, nil
}

// list reads all rows of a query.
func (s *Store) list(ctx context.Context, rows any, query string, args ...any) error {
	found, err := s.statement(ctx, query)
	if err != nil {
		return err
	}
	return found.SelectContext(ctx, rows, args...)
}

// one reads the one row of a query; sql.ErrNoRows where there is none.
func (s *Store) one(ctx context.Context, row any, query string, args ...any) error {
	found, err := s.statement(ctx, query)
	if err != nil {
		return err
	}
	return found.GetContext(ctx, row, args...)
}
