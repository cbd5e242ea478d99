package store

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// probeBytes is more than a message takes, so that a disk with little room left
// is found full.
const probeBytes = 128 << 10

// Probe writes something durably: its error says that writing does not work now.
func (s *Store) Probe(ctx context.Context) error {
	filler := make([]byte, probeBytes)
	rand.Read(filler) // never fails; zeros would be compressed
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO probe (id, filler) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET filler = excluded.filler`), filler)
		return err
	})
	if err != nil {
		return fmt.Errorf("try writing: %w", err)
	}
	return nil
}
