package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// claimKey is the advisory lock of a server on its PostgreSQL database: another one
// than that of its writing, which would wait for the claim for ever.
const claimKey = journalLock + 1

// claimTime is how long a server that died may leave its claim behind: until
// PostgreSQL notices that the connection is gone.
const claimTime = 10 * time.Second

// Claim makes this process the only server on the database until the store is
// closed, or says that another one runs on it. On SQLite the file's lock did so
// when it was opened.
func (s *Store) Claim(ctx context.Context) error {
	if !s.postgres {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	conn, err := s.writers.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	for {
		var got bool
		if err := conn.GetContext(ctx, &got, "select pg_try_advisory_lock($1)", claimKey); err != nil {
			return errors.Join(fmt.Errorf("claim the database: %w", err), conn.Close())
		}
		if got {
			s.claim = conn
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("another server runs on this database; stop it first, or give this one a database of its own"), conn.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
