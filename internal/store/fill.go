package store

import (
	"fmt"

	"meridian/threads"
)

// Fill stores contents that had been missing, checked against their digests
// already, with what they do, each at the next journal position after pos; it
// returns the position of the last. A content that is not missing, or was erased
// or dropped for good, is left out.
func (t *tx) Fill(c *threads.Channel, pos int64, contents []*threads.Event) (int64, error) {
	ch, err := t.touch(c, pos)
	if err != nil {
		return pos, fmt.Errorf("fill channel %s: %w", c.ID, err)
	}
	for _, e := range contents {
		row, err := t.lookup(c.ID, e.ID)
		if err == nil && row != nil && row.event.Content == nil && row.flags == 0 && e.Content != nil {
			pos++
			err = t.fillOne(ch, row, e.Content, pos)
		}
		if err != nil {
			return pos, fmt.Errorf("fill %s: %w", e.ID, err)
		}
	}
	ch.version = max(ch.version, pos)
	return pos, t.settleAll(ch)
}

func (t *tx) fillOne(ch *touched, row *stored, content []byte, pos int64) error {
	e := row.event
	e.Content = content
	if err := t.exec("insert into arrival (pos, event) values (?, ?)", pos, row.pos); err != nil {
		return err
	}
	if err := t.setEvent(row); err != nil {
		return err
	}
	switch e.Header.Type {
	case threads.TypeMessagePosted, threads.TypeMessageEdited, threads.TypeThreadCreated:
		ch.dirty[e.ID] = true
	}
	if e.Header.Erasing() { // known already by its header, but not its place
		if err := t.exec("delete from erasure where pos = ?", row.pos); err != nil {
			return err
		}
	}
	return t.refer(ch, row.pos, row.event, threads.EffectsOf(row.event))
}
