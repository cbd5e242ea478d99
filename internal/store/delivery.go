package store

import (
	"context"
	"fmt"
	"time"

	"meridian/threads"
)

// receiver is a server of a message's channel and what is known of it as a partner.
type receiver struct {
	Server, State, Hold, Error, Remedy        string // of the partner
	ChannelState, ChannelError, ChannelRemedy string // of the channel there, "" while it is abreast
	Paused                                    bool
	Removed, Cursor, Attempts                 int64
	Epoch, Have, Since, ChannelAttempts       int64
}

// Delivery is what became of a message at each other server of its channel, by
// name, as far as this server knows: of a message that came from elsewhere,
// nothing. Delivered means applied there. Since is zero where it is not known.
func (r Reading) Delivery(ctx context.Context, person string, id threads.Hash) ([]threads.Outcome, error) {
	m, err := r.message(ctx, person, id)
	if err != nil || m.Origin != r.s.server {
		return nil, err
	}
	e := threads.Event{HeaderBytes: m.Header}
	if err := complete(&e); err != nil {
		return nil, err
	}
	var rows []receiver
	err = r.s.list(ctx, &rows, `
		SELECT s.name AS server, COALESCE(p.state, '') AS state, COALESCE(p.hold, '') AS hold,
			COALESCE(p.paused, FALSE) AS paused,
			COALESCE(p.error, '') AS error, COALESCE(p.remedy, '') AS remedy, COALESCE(p.attempts, 0) AS attempts,
			COALESCE(p.journal, 0) AS cursor, m.removed, COALESCE(c.state, '') AS channelstate,
			COALESCE(c.error, '') AS channelerror, COALESCE(c.remedy, '') AS channelremedy,
			COALESCE(c.attempts, 0) AS channelattempts, COALESCE(c.epoch, 0) AS epoch, COALESCE(c.have, 0) AS have,
			COALESCE(c.since, 0) AS since
		FROM channel_server m
		JOIN server s ON s.id = m.server
		LEFT JOIN partner p ON p.name = s.name
		LEFT JOIN partner_channel c ON c.partner = s.name AND c.channel = ?
		WHERE m.channel = ? AND s.name <> ? AND (m.removed = 0 OR m.removed > ?)
		ORDER BY s.name LIMIT ?`, m.Channel, m.ChannelNumber, r.s.server, e.Header.Control.Number, maxServers)
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	c, err := r.s.Channel(ctx, hashOf(m.Channel))
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	outcomes := make([]threads.Outcome, 0, len(rows))
	for i := range rows {
		if sees(c, rows[i].Server, e.Header.Ref()) {
			outcomes = append(outcomes, rows[i].outcome(m, e.Header.Time.Wall()))
		}
	}
	return outcomes, nil
}

// sees reports whether a server is given an event at all: to one that was let in
// later without what came before, nothing is delivered of that.
func sees(c *threads.Channel, server string, at threads.Ref) bool {
	return c.SeesHistory(server) || at.Seq > c.Start(server)[at.LogID].Seq
}

// maxServers is how many servers a channel has at most, with those that were removed.
const maxServers = 1000

func (r *receiver) outcome(m *messageItem, written time.Time) threads.Outcome {
	o := threads.Outcome{Partner: r.Server, State: threads.OutcomeQueued, Since: written, Attempts: r.Attempts, Error: r.Error, Remedy: r.Remedy}
	behind := r.ChannelState != "" && (m.Epoch > r.Epoch || m.Epoch == r.Epoch && m.Seq > r.Have)
	switch {
	case r.Removed != 0:
		return threads.Outcome{Partner: r.Server, State: threads.OutcomeRemoved}
	case r.Cursor >= m.Pos && !behind:
		return threads.Outcome{Partner: r.Server, State: threads.OutcomeDelivered}
	case r.State == string(threads.PartnerBlocked):
		o.Error, o.Remedy = "this server exchanges nothing with it", "an administrator here can allow it"
	case r.Hold != "":
		o.Error, o.Remedy = r.Hold, "an administrator here can take it up again"
	case r.Paused:
		o.Error, o.Remedy = "the exchange with it is paused here", "an administrator here can resume it"
	case behind:
		return r.inTrouble(m, o)
	}
	return o
}

// inTrouble is the outcome in a channel that does not go on at the partner: of
// what it rejects, the first event alone is rejected, the rest waits.
func (r *receiver) inTrouble(m *messageItem, o threads.Outcome) threads.Outcome {
	if r.ChannelError != "" {
		o.Attempts, o.Error, o.Remedy = r.ChannelAttempts, r.ChannelError, r.ChannelRemedy
	}
	switch r.ChannelState {
	case threads.ChannelParked:
		o.State, o.Since = threads.OutcomeParked, instant(r.Since)
	case threads.ChannelRejected:
		if m.Epoch == r.Epoch && m.Seq == r.Have+1 {
			o.State, o.Since = threads.OutcomeRejected, instant(r.Since)
		}
	}
	return o
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
