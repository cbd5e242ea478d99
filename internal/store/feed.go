package store

import (
	"context"
	"database/sql"
	"fmt"

	"meridian/threads"
)

// feedSpan is how many journal positions one reading of a feed looks at.
const feedSpan = 5000

// Entries are at most limit events of the person's channels, in the order of
// the journal, beyond after; through is the position up to which there are no
// others, and where the next reading starts. Contents of void events are the
// author's alone.
func (r Reading) Entries(ctx context.Context, person string, after int64, limit int) (entries []threads.Entry, through int64, err error) {
	me, err := r.number(ctx, person)
	if err != nil {
		return nil, after, err
	}
	last, err := r.s.Last(ctx)
	if err != nil || last <= after {
		return nil, after, err
	}
	through = min(last, after+feedSpan)
	err = r.s.each(ctx, func(rows *sql.Rows) error {
		var entry threads.Entry
		var flags int64
		var err error
		if entry.Event, err = scanEvent(rows, &entry.Pos, &flags); err != nil {
			return err
		}
		if entry.Void = flags&eventVoid != 0; entry.Void && entry.Event.Header.Actor != person {
			entry.Event.Content = nil
		}
		entries = append(entries, entry)
		return nil
	}, `SELECT e.header, e.sig, e.content, e.pos, e.flags FROM event e JOIN log l ON l.id = e.log
		WHERE e.pos > ? AND e.pos <= ? AND EXISTS (SELECT 1 FROM membership mb WHERE mb.channel = l.channel AND mb.person = ?)
		ORDER BY e.pos LIMIT ?`, after, through, me, limit)
	if err != nil {
		return nil, after, fmt.Errorf("read events after %d: %w", after, err)
	}
	if len(entries) == limit {
		through = entries[limit-1].Pos
	}
	return entries, through, nil
}
