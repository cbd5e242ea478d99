package journal

import (
	"context"
	"fmt"

	"meridian/threads"
)

// Arrive notes that a file named in a channel is held now, at a place of its own
// in the order of the journal: followers learn of it as of an event, however late
// they read.
func (j *Journal) Arrive(ctx context.Context, a threads.Arrival) error {
	return j.write(ctx, func(b *batch) error {
		if err := b.flush(); err != nil {
			return err
		}
		told, err := b.tx.Arrive(a, b.last)
		if err != nil {
			return fmt.Errorf("note the arrival of file %s: %w", a.Digest, err)
		}
		b.last += told
		b.filled = b.filled || told > 0
		return nil
	})
}
