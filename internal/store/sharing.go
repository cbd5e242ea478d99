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
	err := s.list(ctx, &rows, personSelect+`
		WHERE s.name = ? AND p.uri > ? AND EXISTS (SELECT 1 FROM membership mb WHERE mb.person = p.id)
		ORDER BY p.uri LIMIT ?`, server, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read people of %s: %w", server, err)
	}
	people := make([]threads.PersonRecord, len(rows))
	for i := range rows {
		people[i] = rows[i].record()
	}
	return people, nil
}

// maxBacklog is how many journal positions beyond its cursor, and how many
// channels that are not abreast there, a partner's backlog is counted over.
const maxBacklog = 10_000

// Backlog is what a partner has not applied yet of this server's own events, as
// far as is known here: how many, and when the oldest of them was taken in. It
// is counted over the 10,000 positions beyond the delivery cursor.
func (s *Store) Backlog(ctx context.Context, partner string) (threads.Backlog, error) {
	var ahead, behind struct{ Events, Oldest int64 }
	err := s.one(ctx, &ahead, `
		SELECT COUNT(*) AS events, COALESCE(MIN(e.at), 0) AS oldest FROM partner p
		JOIN server o ON o.name = p.name
		JOIN server us ON us.name = ?
		JOIN event e ON e.pos > p.journal AND e.pos <= p.journal + ?
		JOIN log l ON l.id = e.log
		JOIN channel c ON c.id = l.channel
		JOIN channel_server cs ON cs.channel = l.channel AND cs.server = o.id AND cs.removed = 0
		WHERE p.name = ? AND (l.origin = us.id OR l.origin = 0 AND c.host = us.id)
			AND NOT EXISTS (SELECT 1 FROM partner_channel pc WHERE pc.partner = p.name AND pc.channel = c.hash)`,
		s.server, maxBacklog, partner)
	if err == nil {
		err = s.one(ctx, &behind, `
			SELECT COALESCE(SUM(lane.missing), 0) AS events, COALESCE(MIN(lane.at), 0) AS oldest FROM (
				SELECT l.seq - pc.have AS missing, e.at FROM partner_channel pc
				JOIN channel c ON c.hash = pc.channel
				JOIN server us ON us.name = ?
				JOIN log l ON l.channel = c.id AND l.origin = us.id AND l.epoch = pc.epoch AND l.seq > pc.have
				LEFT JOIN event e ON e.log = l.id AND e.seq = pc.have + 1
				WHERE pc.partner = ? LIMIT ?) AS lane`, s.server, partner, maxBacklog)
	}
	if err != nil {
		return threads.Backlog{}, fmt.Errorf("count the backlog of %s: %w", partner, err)
	}
	oldest := ahead.Oldest
	if behind.Oldest != 0 && (oldest == 0 || behind.Oldest < oldest) {
		oldest = behind.Oldest
	}
	return threads.Backlog{Events: ahead.Events + behind.Events, Oldest: instant(oldest)}, nil
}
