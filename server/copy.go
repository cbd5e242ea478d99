package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"meridian/internal/store"
	"meridian/threads"
)

// Copied says what a database holds that was copied from another.
type Copied struct {
	Rows     int64                         `json:"rows"`
	Channels map[threads.Hash]threads.Hash `json:"channels"` // state hash by id, equal in both
}

// CopyDatabase copies a database, of which no server may run, into an empty one
// of either kind, and compares the state of every channel afterwards.
func CopyDatabase(ctx context.Context, from, to string) (Copied, error) {
	var done Copied
	if path, isFile := strings.CutPrefix(from, "sqlite:"); isFile {
		if _, err := os.Stat(path); err != nil {
			return done, fmt.Errorf("--from: %w", err)
		}
	}
	source, err := openIdle(ctx, from)
	if err != nil {
		return done, fmt.Errorf("--from: %w", err)
	}
	target, err := openIdle(ctx, to)
	if err != nil {
		return done, errors.Join(fmt.Errorf("--to: %w", err), source.Close())
	}
	err = done.copy(ctx, source, target)
	return done, errors.Join(err, target.Close(), source.Close())
}

func openIdle(ctx context.Context, url string) (*store.Store, error) {
	db, err := store.Open(ctx, store.Options{URL: url})
	if err != nil {
		return nil, err
	}
	if err := db.Idle(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (c *Copied) copy(ctx context.Context, source, target *store.Store) error {
	err := target.Import(ctx, func(put func(store.Rows) error) (err error) {
		c.Channels, err = source.Export(ctx, func(rows store.Rows) error {
			c.Rows += int64(len(rows.Rows))
			return put(rows)
		})
		return err
	})
	if err == nil {
		err = target.Index(ctx)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(source.Idle(ctx), target.Idle(ctx)); err != nil {
		return fmt.Errorf("it was copied in vain: %w", err)
	}
	got, err := target.States(ctx)
	if err != nil {
		return err
	}
	for id, want := range c.Channels {
		if got[id] != want {
			return fmt.Errorf("channel %s has the state %s in the copy and %s in the original; do not use the copy", id, got[id], want)
		}
	}
	return nil
}
