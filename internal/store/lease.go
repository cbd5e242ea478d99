package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"meridian/threads"
)

// NodeLife is for how long a node that says nothing counts as alive; afterwards
// others take its steps over.
const NodeLife = 4 * time.Second

// ErrFenced says that another node has taken a step over: what this one wanted to
// write for it is not written.
var ErrFenced = errors.New("another node does this step now")

// Nodes reports whether the database can have several nodes: steps are leased then.
func (s *Store) Nodes() bool { return s.postgres }

// Join makes this process a node of its organisation on the database. It refuses
// where a node of another organisation runs.
func (s *Store) Join(ctx context.Context) error {
	if !s.postgres {
		return nil // the file's lock was taken when it was opened
	}
	var others []string
	err := s.readers.SelectContext(ctx, &others, "select distinct server from node where until > clock_timestamp() and server <> $1 limit 1", s.server)
	if err != nil {
		return fmt.Errorf("look for other nodes: %w", err)
	}
	if len(others) > 0 {
		return fmt.Errorf("a server of %s runs on this database; give this one a database of its own", others[0])
	}
	_, err = s.Beat(ctx, nil)
	return err
}

// Others reports whether another node of this organisation lives.
func (s *Store) Others(ctx context.Context) (bool, error) {
	if !s.postgres {
		return false, nil
	}
	var alive bool
	err := s.readers.GetContext(ctx, &alive, "select exists (select 1 from node where until > clock_timestamp() and name <> $1)", s.node)
	if err != nil {
		return false, fmt.Errorf("look for other nodes: %w", err)
	}
	return alive, nil
}

// Idle refuses a database on which a server runs now.
func (s *Store) Idle(ctx context.Context) error {
	if !s.postgres {
		return nil // the file's lock was taken when it was opened
	}
	var known bool // in the schema of an old backup there are no nodes
	err := s.readers.GetContext(ctx, &known, "select to_regclass('node') is not null")
	var running []string
	if err == nil && known {
		err = s.readers.SelectContext(ctx, &running, "select server from node where until > clock_timestamp() limit 1")
	}
	if err != nil {
		return fmt.Errorf("look for running servers: %w", err)
	}
	if len(running) > 0 {
		return fmt.Errorf("a server of %s runs on database %s; stop it first", running[0], s.name)
	}
	return nil
}

// Beat says that this node lives, takes the steps of those named that no living
// node has, and returns the fences of all that it has.
func (s *Store) Beat(ctx context.Context, wanted []string) (map[string]threads.Fence, error) {
	held := map[string]threads.Fence{}
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into node (name, server, until) values ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
			on conflict (name) do update set until = excluded.until`, s.node, s.server, NodeLife.Milliseconds())
		if err == nil && len(wanted) > 0 {
			err = s.take(ctx, tx, wanted)
		}
		if err != nil {
			return err
		}
		var rows []struct {
			Step  string
			Fence int64
		}
		if err := tx.SelectContext(ctx, &rows, "select step, fence from lease where node = $1", s.node); err != nil {
			return err
		}
		for _, r := range rows {
			held[r.Step] = threads.Fence{Step: r.Step, Number: r.Fence}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keep this node's leases: %w", err)
	}
	return held, nil
}

func (s *Store) take(ctx context.Context, tx *sqlx.Tx, wanted []string) error {
	_, err := tx.ExecContext(ctx, `insert into lease (step, node, fence)
		select w.step, $1, 1 from unnest($2::text[]) as w (step) where not exists (
			select 1 from lease l join node n on n.name = l.node where l.step = w.step and n.until > clock_timestamp())
		order by w.step
		on conflict (step) do update set node = excluded.node, fence = lease.fence + 1
		where not exists (select 1 from node n where n.name = lease.node and n.until > clock_timestamp())`, s.node, pq.Array(wanted))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "delete from node where until < clock_timestamp() - interval '1 hour'")
	return err
}

// Leave says that this node does no step any more: others take them over at once.
func (s *Store) Leave(ctx context.Context) error {
	if !s.postgres {
		return nil
	}
	if _, err := s.writers.ExecContext(ctx, "delete from node where name = $1", s.node); err != nil {
		return fmt.Errorf("leave the other nodes: %w", err)
	}
	return nil
}

// guarded runs f in one transaction in which no other node can take the fence's
// step over. ErrFenced where one has done so.
func (s *Store) guarded(ctx context.Context, fence threads.Fence, f func(*sqlx.Tx) error) error {
	return s.change(ctx, func(tx *sqlx.Tx) error {
		if fence.Number > 0 {
			var held int
			err := tx.GetContext(ctx, &held, "select count(*) from (select 1 from lease where step = $1 and node = $2 and fence = $3 for share) as held",
				fence.Step, s.node, fence.Number)
			if err == nil && held == 0 {
				err = ErrFenced
			}
			if err != nil {
				return err
			}
		}
		return f(tx)
	})
}
