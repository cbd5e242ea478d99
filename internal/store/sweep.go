package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// What is erased is gone from every row at once, and its bytes from pages that
// SQLite frees. Where else they may lie (pages that were split, the write-ahead
// log, the search index, dead rows of PostgreSQL) is swept some time later.

// needSweep notes that bytes of something erased may lie about.
func (s *Store) needSweep(ctx context.Context, tx execer) error {
	_, err := tx.ExecContext(ctx, s.bind(sweepDue), 1)
	return err
}

const sweepDue = "insert into sweep (id, due) values (1, ?) on conflict (id) do update set due = excluded.due"

// SweepDue reports whether there is something to sweep.
func (s *Store) SweepDue(ctx context.Context) (bool, error) {
	var due int64
	err := s.one(ctx, &due, "SELECT COALESCE((SELECT due FROM sweep WHERE id = 1), 0)")
	return due != 0, err
}

// Sweep overwrites or gives back every byte of what was erased before it began.
// On SQLite nothing is written meanwhile; on PostgreSQL tables of texts are
// locked while each is written anew, unless they are large: see docs/decisions.
func (s *Store) Sweep(ctx context.Context) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(sweepDue), 0)
		return err
	})
	if err == nil && s.postgres {
		err = s.sweepPostgres(ctx)
	} else if err == nil {
		err = s.sweepSQLite(ctx)
	}
	if err != nil {
		again := s.change(context.WithoutCancel(ctx), func(tx *sqlx.Tx) error { return s.needSweep(ctx, tx) })
		return fmt.Errorf("sweep: %w", errors.Join(err, again))
	}
	return nil
}

// sweepSQLite merges the search index, whose older parts still hold the words of
// what was erased, writes the database anew, and empties the write-ahead log.
func (s *Store) sweepSQLite(ctx context.Context) error {
	s.pen.Lock()
	defer s.pen.Unlock()
	w, err := s.pinned(ctx)
	if err != nil {
		return err
	}
	for _, statement := range []string{"insert into search (search) values ('optimize')", "vacuum"} {
		if _, err := w.conn.ExecContext(ctx, statement); err != nil {
			return s.dropWriter(fmt.Errorf("%s: %w", statement, err))
		}
	}
	var busy, pages, moved int
	if err := w.conn.QueryRowContext(ctx, "pragma wal_checkpoint(truncate)").Scan(&busy, &pages, &moved); err != nil {
		return s.dropWriter(fmt.Errorf("empty the write-ahead log: %w", err))
	}
	if busy != 0 {
		return errors.New("somebody reads from the write-ahead log, which cannot be emptied now")
	}
	return nil
}

// maxRewrite is how large a table of PostgreSQL may be to be written anew, in
// bytes. Of a larger one the room of what was erased is given to what comes next.
const maxRewrite = 1 << 30

// sweepPostgres needs no superuser. The server's own write-ahead log is beyond it.
func (s *Store) sweepPostgres(ctx context.Context) error {
	conn, err := s.writers.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "set statement_timeout = 0; set lock_timeout = '5s'"); err != nil {
		return err
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "reset statement_timeout; reset lock_timeout")
	}()
	for _, table := range []string{"event", "evidence", "write", "message_search", "profile", "account", "invitation", "idempotency"} {
		var size int64
		if err := conn.GetContext(ctx, &size, "select pg_total_relation_size($1)", table); err != nil {
			return err
		}
		how := "vacuum (full) "
		if size > maxRewrite {
			how = "vacuum "
		}
		if _, err := conn.ExecContext(ctx, how+table); err != nil {
			return fmt.Errorf("%s%s: %w", how, table, err)
		}
	}
	return nil
}
