package store

import (
	"fmt"

	"meridian/threads"
)

// Fill stores contents that had been missing, checked against their digests
// already, with what they do; pos is the journal position by which what changes
// is newer. A content that is not missing, or was erased or dropped for good,
// is left out.
func (t *tx) Fill(c *threads.Channel, pos int64, contents []*threads.Event) error {
	ch, err := t.touch(c, pos)
	if err != nil {
		return fmt.Errorf("fill channel %s: %w", c.ID, err)
	}
	for _, e := range contents {
		if err := t.fillOne(ch, e); err != nil {
			return fmt.Errorf("fill %s: %w", e.ID, err)
		}
	}
	return t.settleAll(ch)
}

func (t *tx) fillOne(ch *touched, e *threads.Event) error {
	row, err := t.lookup(ch.channel.ID, e.ID)
	if err != nil || row == nil || row.event.Content != nil || row.flags != 0 || e.Content == nil {
		return err
	}
	row.event.Content = e.Content
	if err := t.setEvent(row); err != nil {
		return err
	}
	switch e.Header.Type {
	case threads.TypeMessagePosted, threads.TypeMessageEdited, threads.TypeThreadCreated:
		ch.dirty[e.ID] = true
	}
	if e.Header.Erases != "" { // known already by its header, but not its place
		if err := t.exec("delete from erasure where pos = ?", row.pos); err != nil {
			return err
		}
	}
	return t.refer(ch, row.pos, row.event, threads.EffectsOf(row.event))
}
