package store

import (
	"context"
	"database/sql"
	"fmt"

	"meridian/threads"
)

// OwnEvents are at most limit events beyond after, in the order of the journal,
// that this server wrote: those of its data logs, and of the control logs of the
// channels that it hosts. The contents of void ones are left out. Up to through
// there are no others.
func (s *Store) OwnEvents(ctx context.Context, after int64, limit int) (entries []threads.Entry, through int64, err error) {
	if through, err = s.Last(ctx); err != nil || through <= after {
		return nil, after, err
	}
	err = s.each(ctx, func(rows *sql.Rows) error {
		var entry threads.Entry
		var flags int64
		var err error
		entry.Event, err = scanEvent(rows, &entry.Pos, &flags)
		if entry.Void = flags&eventVoid != 0; entry.Void {
			entry.Event.Content = nil
		}
		entries = append(entries, entry)
		return err
	}, `select header, sig, content, pos, flags from event where pos > ? and pos <= ?
		and log + 0 in (select l.id from log l join server s on s.id = l.origin where s.name = ?
			union all select l.id from channel c join server s on s.id = c.host
				join log l on l.channel = c.id and l.origin = 0 where s.name = ?)
		order by pos limit ?`, after, through, s.server, s.server, limit)
	if err != nil {
		return nil, after, fmt.Errorf("read own events after %d: %w", after, err)
	}
	if len(entries) == limit {
		through = entries[limit-1].Pos
	}
	return entries, through, nil
}

// Servers are the servers, but this one, that are members of a channel known
// here, by name; at most 10,000.
func (s *Store) Servers(ctx context.Context) ([]string, error) {
	var names []string
	err := s.readers.SelectContext(ctx, &names, s.bind(`select distinct s.name from channel_server m
		join server s on s.id = m.server where m.removed = 0 and s.name <> ? order by s.name limit 10000`), s.server)
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	return names, nil
}

// ChannelsWith are the channels of which the server is or was a member, at most
// limit, after the one named, in the order of their bytes.
func (s *Store) ChannelsWith(ctx context.Context, server string, after threads.Hash, limit int) ([]threads.Hash, error) {
	return s.hashes(ctx, sharedQuery, server, afterRaw(after), limit)
}

const sharedQuery = `select c.hash from channel_server m join server s on s.id = m.server
	join channel c on c.id = m.channel where s.name = ? and c.hash > ? order by c.hash limit ?`
