package store

import (
	"context"
	"fmt"

	"meridian/threads"
)

// SharedPeople are those of this server's people, among the ids, who share a
// channel with the server now: whose profiles it may have. At most
// threads.MaxPage ids are looked up.
func (s *Store) SharedPeople(ctx context.Context, server string, ids []string) ([]threads.PersonRecord, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ids = ids[:min(len(ids), threads.MaxPage)]
	var rows []personRow
	err := s.selectIn(ctx, &rows, personSelect+`
		WHERE p.uri IN (?) AND a.person IS NOT NULL AND EXISTS (
			SELECT 1 FROM membership mb JOIN channel_server cs ON cs.channel = mb.channel AND cs.removed = 0
			JOIN server o ON o.id = cs.server WHERE mb.person = p.id AND o.name = ?)
		ORDER BY p.id LIMIT ?`, ids, server, threads.MaxPage)
	if err != nil {
		return nil, fmt.Errorf("read shared people: %w", err)
	}
	people := make([]threads.PersonRecord, len(rows))
	for i := range rows {
		people[i] = rows[i].record()
	}
	return people, nil
}

// PeopleOf are the ids of people of another server who are members of channels
// here, at most limit, after the one named: with the version of each profile
// known, 0 for none.
func (s *Store) PeopleOf(ctx context.Context, server, after string, limit int) ([]threads.PersonRecord, error) {
	var rows []personRow
	err := s.readers.SelectContext(ctx, &rows, s.bind(personSelect+`
		WHERE s.name = ? AND p.uri > ? AND EXISTS (SELECT 1 FROM membership mb WHERE mb.person = p.id)
		ORDER BY p.uri LIMIT ?`), server, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read people of %s: %w", server, err)
	}
	people := make([]threads.PersonRecord, len(rows))
	for i := range rows {
		people[i] = rows[i].record()
	}
	return people, nil
}

// maxBacklog is how many journal positions a backlog is counted over.
const maxBacklog = 10_000

// Backlog is what lies between the partner's delivery cursor and the newest
// position, counted over at most 10,000 positions: how many events of this
// server's own in channels of the partner, and when the oldest was taken in.
func (s *Store) Backlog(ctx context.Context, partner string) (threads.Backlog, error) {
	var row struct{ Events, Oldest int64 }
	err := s.readers.GetContext(ctx, &row, s.bind(`
		SELECT COUNT(*) AS events, COALESCE(MIN(e.at), 0) AS oldest FROM event e
		JOIN log l ON l.id = e.log
		JOIN channel c ON c.id = l.channel
		JOIN channel_server cs ON cs.channel = l.channel AND cs.removed = 0
		JOIN partner p ON p.name = ?
		JOIN server o ON o.id = cs.server AND o.name = p.name
		JOIN server us ON us.name = ?
		WHERE e.pos > p.journal AND e.pos <= p.journal + ? AND (l.origin = us.id OR l.origin = 0 AND c.host = us.id)`),
		partner, s.server, maxBacklog)
	if err != nil {
		return threads.Backlog{}, fmt.Errorf("count the backlog of %s: %w", partner, err)
	}
	return threads.Backlog{Events: row.Events, Oldest: instant(row.Oldest)}, nil
}
