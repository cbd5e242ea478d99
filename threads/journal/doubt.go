package journal

import (
	"context"

	"meridian/threads"
)

// Doubt puts every log of this server's own in doubt: the database may be older
// than what others hold.
func (j *Journal) Doubt(ctx context.Context) error {
	return j.write(ctx, func(b *batch) error {
		b.j.mu.Lock()
		b.j.forget()
		b.j.mu.Unlock()
		return b.tx.Doubt()
	})
}

// Prove ends the doubts of a channel. The caller has made sure that every member
// server delivered what it holds of this server's own logs.
func (j *Journal) Prove(ctx context.Context, channel threads.Hash) error {
	return j.write(ctx, func(b *batch) error {
		c, err := b.channel(channel)
		if err != nil || c == nil || !c.InDoubt() {
			return err
		}
		if err := b.flushChannel(channel); err != nil {
			return err
		}
		c = c.Clone()
		c.Prove()
		if b.channels[channel] == nil {
			b.order = append(b.order, channel)
		}
		b.channels[channel] = c
		return b.tx.Prove(c, b.last)
	})
}

func (e *Entry) mark() Mark { return Mark{Pos: e.Pos, ID: e.Event.ID} }
