package store

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"
)

// aloneClass sets the locks of Alone apart from all others of the database.
const aloneClass = 0x6d657270

// maxAlone is how many connections may be given to those who are, or wait to be,
// alone with something: the others are for reading and writing what they came for.
const maxAlone = 4

// aloneTime is for how long somebody may be alone with something, so that a node
// that stands still meanwhile does not keep it for ever.
const aloneTime = 45 * time.Second

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
	tx, err := s.writers.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		<-s.alone
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(name)) // never fails
	end = func() {
		_ = tx.Rollback() // there is nothing to undo; the lock ends with the transaction, or with its connection
		<-s.alone
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("set local idle_in_transaction_session_timeout = %d", aloneTime.Milliseconds()))
	if err == nil {
		_, err = tx.ExecContext(ctx, "select pg_advisory_xact_lock($1, $2)", aloneClass, int32(sum.Sum32()))
	}
	if err != nil {
		end()
		return nil, fmt.Errorf("wait for other nodes: %w", err)
	}
	return end, nil
}
