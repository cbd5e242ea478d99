package store

import (
	"context"
	"database/sql"
	"fmt"

	"meridian/threads"
	"meridian/threads/journal"
)

// derivation is the version of what this program derives from events. It grows
// with every type of event, or member of a content, that takes effect here and
// had none before: an earlier program kept such events as they came and did
// nothing of what they say.
const derivation = 2

// Derive makes all that is derived from the journal anew where an earlier version
// of the program made it, and reports whether it did.
func (s *Store) Derive(ctx context.Context) (anew bool, err error) {
	var made int64
	if err := s.one(ctx, &made, "select coalesce(max(version), 0) from derived"); err != nil {
		return false, fmt.Errorf("read which program derived what is derived: %w", err)
	}
	if made >= derivation {
		return false, nil
	}
	return true, s.Rebuild(ctx, func(int64) {})
}

// rebuildPage is how many events are replayed before what they refer to is settled.
const rebuildPage = 500

// Rebuild makes everything that is derived from the journal anew, by the code
// that made it in the first place, in one transaction: until it is committed
// everyone sees the old. progress is called with the newest position replayed.
func (s *Store) Rebuild(ctx context.Context, progress func(pos int64)) error {
	err := s.Write(ctx, func(opened journal.Tx) error {
		t := opened.(*tx)
		if err := t.clearDerived(); err != nil {
			return fmt.Errorf("clear what is derived: %w", err)
		}
		for after, more := int64(0), true; more; {
			page, err := t.replay(after)
			if err != nil {
				return fmt.Errorf("replay the journal after %d: %w", after, err)
			}
			if more = len(page) > 0; more {
				after = page[len(page)-1].Pos
				progress(after)
			}
		}
		for _, statement := range []string{"delete from derived", fmt.Sprintf("insert into derived (version) values (%d)", derivation)} {
			if err := t.exec(statement); err != nil {
				return err
			}
		}
		return t.exec(`delete from file where not exists (
			select 1 from attachment a where a.channel = file.channel and a.digest = file.digest)`)
	})
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	return nil
}

// clearDerived empties what the journal can fill again. The numbers of threads
// stay, since read marks name them, and so do writes whose contents are erased:
// they alone still say which events were edits of what.
func (t *tx) clearDerived() error {
	statements := []string{
		"update event set flags = flags & 5 where (flags & 2) <> 0",
		"update thread set messages = 0, last_time = 0, version = 0, " + unknownThread,
		"delete from write where value is not null",
		"delete from message", "delete from attachment", "delete from mention", "delete from ask", "delete from erasure", "delete from membership", "delete from channel_server",
	}
	if t.store.postgres {
		statements = append(statements, "delete from message_search")
	} else {
		statements = append(statements, "insert into search (search) values ('delete-all')")
	}
	for _, statement := range statements {
		if err := t.exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// replay takes up the next events of the journal again.
func (t *tx) replay(after int64) ([]journal.Entry, error) {
	page, err := t.entries(after)
	if err != nil {
		return nil, err
	}
	for i := range page {
		if err := t.replayOne(&page[i]); err != nil {
			return nil, fmt.Errorf("event %s: %w", page[i].Event.ID, err)
		}
	}
	if err := t.flush(); err != nil {
		return nil, err
	}
	for _, ch := range t.channels {
		if err := t.settleAll(ch); err != nil {
			return nil, err
		}
	}
	return page, nil
}

func (t *tx) entries(after int64) ([]journal.Entry, error) {
	var page []journal.Entry
	err := t.each(func(rows *sql.Rows) error {
		var entry journal.Entry
		var flags int64
		var err error
		entry.Event, err = scanEvent(rows, &entry.Pos, &flags)
		entry.Void = flags&eventVoid != 0
		page = append(page, entry)
		return err
	}, "select header, sig, content, pos, flags from event where pos > ? order by pos limit ?", after, rebuildPage)
	return page, err
}

func (t *tx) replayOne(entry *journal.Entry) error {
	t.replayed = entry.Pos
	e := entry.Event
	c, err := t.Channel(e.Channel())
	if err != nil {
		return err
	}
	ch, err := t.touch(c, entry.Pos)
	if err != nil {
		return err
	}
	if e.Header.Log == threads.LogControl {
		ch.control = true
		return nil
	}
	entry.Effects = threads.EffectsOf(e)
	if err := t.probeOrphan(ch, e); err != nil {
		return err
	}
	return t.project(ch, entry)
}
