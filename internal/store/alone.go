package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
)

// aloneClass sets the locks of Alone apart from all others of the database.
const aloneClass = 0x6d657270

// maxAlone is how many connections may be given to those who are, or wait to be,
// alone with something: the others are for reading and writing what they came for.
const maxAlone = 4

// Alone returns once no other node is alone with the thing of that name, which
// must be one of few that are changed rarely, and keeps the others from it until
// end is called. Within one process callers must take turns by themselves, and
// on SQLite that is all there is to do.
func (s *Store) Alone(ctx context.Context, name string) (end func(), err error) {
	if !s.postgres {
		return func() {}, nil
	}
	select {
	case s.alone <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := s.writers.Connx(ctx)
	if err != nil {
		<-s.alone
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(name)) // never fails
	key := int32(sum.Sum32())
	end = func() {
		defer func() { <-s.alone }()
		if _, err := conn.ExecContext(context.WithoutCancel(ctx), "select pg_advisory_unlock($1, $2)", aloneClass, key); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the lock ends with the connection
		}
		_ = conn.Close()
	}
	if _, err := conn.ExecContext(ctx, "select pg_advisory_lock($1, $2)", aloneClass, key); err != nil {
		end()
		return nil, fmt.Errorf("wait for other nodes: %w", errors.Join(err, ctx.Err()))
	}
	return end, nil
}
