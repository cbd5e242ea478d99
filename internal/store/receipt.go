package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// expectReceipts notes whom to ask what became of an erasure that this server's
// people made: every server that is or was in the channel.
func (t *tx) expectReceipts(ch *touched, pos int64, e *threads.Event) error {
	if e.Header.Origin != t.store.server {
		return nil
	}
	for _, a := range ch.channel.Admissions() {
		if a.Server == t.store.server {
			continue
		}
		err := t.exec(`insert into receipt (pos, partner, answer, asked, tries, due) values (?, ?, '', 0, 0, 0)
			on conflict do nothing`, pos, a.Server)
		if err != nil {
			return fmt.Errorf("expect the receipt of %s: %w", a.Server, err)
		}
	}
	return nil
}

// receiptRow is what a server said of an erasure, and how it goes with it.
type receiptRow struct {
	receiver
	Pos, Seq, Asked, Tries int64
	LogEpoch               int64
	Answer                 string
	Header, Channel        []byte
}

// receiptSelect reads receipts; conditions follow it.
const receiptSelect = `
SELECT r.pos, r.answer, r.asked, r.tries, e.header, ch.hash AS channel, l.epoch AS logepoch, e.seq,
	r.partner AS server, COALESCE(p.state, '') AS state, COALESCE(p.hold, '') AS hold,
	COALESCE(p.paused, FALSE) AS paused, COALESCE(p.error, '') AS error, COALESCE(p.remedy, '') AS remedy,
	COALESCE(p.attempts, 0) AS attempts, COALESCE(p.journal, 0) AS cursor, COALESCE(m.removed, 0) AS removed,
	COALESCE(c.state, '') AS channelstate, COALESCE(c.error, '') AS channelerror, COALESCE(c.remedy, '') AS channelremedy,
	COALESCE(c.attempts, 0) AS channelattempts, COALESCE(c.epoch, 0) AS epoch, COALESCE(c.have, 0) AS have,
	COALESCE(c.since, 0) AS since
FROM receipt r
JOIN event e ON e.pos = r.pos
JOIN log l ON l.id = e.log
JOIN channel ch ON ch.id = l.channel
LEFT JOIN server s ON s.name = r.partner
LEFT JOIN channel_server m ON m.channel = ch.id AND m.server = s.id
LEFT JOIN partner p ON p.name = r.partner
LEFT JOIN partner_channel c ON c.partner = r.partner AND c.channel = ch.hash
`

// receipt says in plain words where the erasure stands there. Who has the
// erasure and does not know the content will never take it.
func (r *receiptRow) receipt() threads.Receipt {
	way := r.outcome(&messageItem{Pos: r.Pos, Epoch: r.LogEpoch, Seq: r.Seq}, time.Time{})
	arrived := way.State == threads.OutcomeDelivered
	out := threads.Receipt{Partner: r.Server, State: threads.ErasurePending, Answered: instant(r.Asked)}
	switch {
	case r.Answer == threads.AnswerErased, r.Answer == threads.AnswerUnknown && (arrived || r.Removed != 0):
		out.State = threads.ErasureConfirmed
	case r.Answer == threads.AnswerHeld && r.Removed != 0:
		out.State = threads.ErasureRefused
		out.Error, out.Remedy = "it was removed from the channel before, and keeps what it had", "ask its administrators to erase it there"
	case r.Answer == threads.AnswerHeld && arrived:
		out.State = threads.ErasureRefused
		out.Error, out.Remedy = "it has the erasure and still holds the content", "ask its administrators why"
	case r.State != string(threads.PartnerAllowed) && r.Removed != 0:
		out.State = threads.ErasureUnreachable
		out.Error, out.Remedy = "nothing is exchanged with it any more", "ask its administrators to erase it there"
	case way.Error != "":
		out.State, out.Error, out.Remedy = threads.ErasureUnreachable, way.Error, way.Remedy
	}
	return out
}

// subject is the event about which the server is asked: the message, or the
// erasing event where that takes all of a person's.
func subject(e *threads.Event) threads.Hash {
	if e.Header.Erases != "" {
		return e.Header.Erases
	}
	return e.ID
}

// Inquiries are at most limit erasures about which the partner is to be asked
// at now, the longest due first; next is when there will be more, zero for never.
func (s *Store) Inquiries(ctx context.Context, partner string, now time.Time, limit int) (due []threads.Inquiry, next time.Time, err error) {
	var rows []struct {
		Pos    int64
		Header []byte
	}
	err = s.list(ctx, &rows, `
		SELECT r.pos, e.header FROM receipt r JOIN event e ON e.pos = r.pos
		WHERE r.partner = ? AND r.due <= ? ORDER BY r.due LIMIT ?`, partner, millis(now), limit)
	var later int64
	if err == nil {
		err = s.one(ctx, &later, "SELECT COALESCE(MIN(due), 0) FROM receipt WHERE partner = ? AND due > ?", partner, millis(now))
	}
	if err != nil {
		return nil, next, fmt.Errorf("read what %s is to be asked: %w", partner, err)
	}
	for _, row := range rows {
		e := threads.Event{HeaderBytes: row.Header}
		if err := complete(&e); err != nil {
			return nil, next, err
		}
		due = append(due, threads.Inquiry{Pos: row.Pos, Event: subject(&e)})
	}
	return due, instant(later), nil
}

// Bounds of the time between two questions about one erasure.
const (
	askSoon = 2 * time.Second
	askLate = 24 * time.Hour
)

// SaveReceipt keeps what the partner said of an erasure, and when to ask again
// unless that was its last word.
func (s *Store) SaveReceipt(ctx context.Context, partner string, i threads.Inquiry, answer string, now time.Time) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`UPDATE receipt SET answer = ?, asked = ?, tries = tries + 1 WHERE pos = ? AND partner = ?`),
			answer, millis(now), i.Pos, partner)
		if err != nil {
			return err
		}
		var row receiptRow
		if err := tx.GetContext(ctx, &row, s.bind(receiptSelect+`WHERE r.pos = ? AND r.partner = ?`), i.Pos, partner); err != nil {
			return err
		}
		var due any
		if row.receipt().State != threads.ErasureConfirmed {
			due = millis(now.Add(min(askSoon<<min(row.Tries, 16), askLate)))
		}
		_, err = tx.ExecContext(ctx, s.bind(`UPDATE receipt SET due = ? WHERE pos = ? AND partner = ?`), due, i.Pos, partner)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the receipt of %s: %w", partner, err)
	}
	return nil
}

// event is the event with that id, nil when it is not held.
func (s *Store) event(ctx context.Context, id threads.Hash) (found *stored, err error) {
	h := raw(id)
	if len(h) != 32 {
		return nil, nil
	}
	err = s.each(ctx, func(rows *sql.Rows) error {
		row := &stored{}
		e, err := scanEvent(rows, &row.pos, &row.flags)
		if err == nil && e.ID == id {
			row.event, found = e, row
		}
		return err
	}, "select header, sig, content, pos, flags from event where hash8 = ? limit 16", hash8(h))
	return found, err
}

// Erased says of each of the events in the channel what is held of its content;
// those that are not held at all are left out.
func (s *Store) Erased(ctx context.Context, ids []threads.Hash) (map[threads.Hash]threads.Holding, error) {
	found := map[threads.Hash]threads.Holding{}
	for _, id := range ids {
		row, err := s.event(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", id, err)
		}
		if row == nil {
			continue
		}
		h := threads.Holding{Channel: row.event.Channel(), Answer: threads.AnswerHeld}
		switch {
		case row.event.Header.Type == threads.TypePersonErased && row.flags&eventVoid == 0:
			h.Answer = threads.AnswerErased // in the transaction that took it up
		case row.event.Content == nil && row.flags&eventErased != 0:
			h.Answer = threads.AnswerErased
		case row.event.Content == nil:
			h.Answer = threads.AnswerUnknown
		}
		found[id] = h
	}
	return found, nil
}

// ownErasures are the places of erasures that people of a server made;
// conditions follow it.
const ownErasures = `
	SELECT r.pos FROM erasure r JOIN event e ON e.pos = r.pos JOIN log l ON l.id = e.log JOIN server s ON s.id = l.origin
	WHERE s.name = ? `

// Erasures lists those that people of this server made, the newest first, each
// with what other servers said of it.
func (s *Store) Erasures(ctx context.Context, page threads.Page) ([]threads.Erasure, string, error) {
	before, err := numbersOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	last := int64(1<<63 - 1)
	if before != nil {
		last = before[0]
	}
	var positions []int64
	err = s.list(ctx, &positions, ownErasures+`AND r.pos < ? ORDER BY r.pos DESC LIMIT ?`, s.server, last, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list erasures: %w", err)
	}
	positions, next := cut(positions, page, func(pos *int64) string { return cursorAfter(strconv.FormatInt(*pos, 10)) })
	erasures := make([]threads.Erasure, len(positions))
	for i, pos := range positions {
		if erasures[i], err = s.erasureAt(ctx, pos); err != nil {
			return nil, "", err
		}
	}
	return erasures, next, nil
}

// maxErasures is how many erasures of one message are looked at.
const maxErasures = 100

// ErasureOf is what became of the erasure of a message by the person, or, with
// "", by anybody of this server. NotFound where there is none.
func (s *Store) ErasureOf(ctx context.Context, person string, message threads.Hash) (threads.Erasure, error) {
	var positions []int64
	err := s.list(ctx, &positions, ownErasures+`AND r.target = ? ORDER BY r.pos LIMIT ?`, s.server, append([]byte{}, raw(message)...), maxErasures)
	if err != nil {
		return threads.Erasure{}, fmt.Errorf("look for the erasure of %s: %w", message, err)
	}
	for _, pos := range positions {
		found, err := s.erasureAt(ctx, pos)
		if err != nil || person == "" || found.Actor == person {
			return found, err
		}
	}
	return threads.Erasure{}, notFound("erasure")
}

func (s *Store) erasureAt(ctx context.Context, pos int64) (threads.Erasure, error) {
	var out threads.Erasure
	var header []byte
	if err := s.one(ctx, &header, "SELECT header FROM event WHERE pos = ?", pos); err != nil {
		return out, fmt.Errorf("read the erasure at %d: %w", pos, err)
	}
	e := threads.Event{HeaderBytes: header}
	if err := complete(&e); err != nil {
		return out, err
	}
	out = threads.Erasure{
		ID: e.ID, Kind: e.Header.Type, Channel: e.Channel(), Target: e.Header.Erases, Actor: e.Header.Actor, At: e.Header.Time.Wall(),
	}
	var rows []receiptRow
	if err := s.list(ctx, &rows, receiptSelect+`WHERE r.pos = ? ORDER BY r.partner LIMIT ?`, pos, maxServers); err != nil {
		return out, fmt.Errorf("read the receipts of %s: %w", e.ID, err)
	}
	for i := range rows {
		out.Receipts = append(out.Receipts, rows[i].receipt())
	}
	return out, nil
}
