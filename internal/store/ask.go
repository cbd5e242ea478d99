package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"meridian/threads"
)

// States of an ask of one person, as they are stored.
var askStates = [...]threads.AskState{threads.AskOpen, threads.AskAnswered, threads.AskWithdrawn, threads.AskDeclined}

const (
	askOpen = iota
	askAnswered
	askWithdrawn
	askDeclined
)

// settleAsk makes the rows of what a message asks, and none for one that does not count.
func (t *tx) settleAsk(ch *touched, row *stored, at *messageRow, m *threads.Message) error {
	if ch.asks {
		if err := t.exec("delete from ask where channel = ? and object = ?", ch.id, raw(row.event.ID)); err != nil {
			return err
		}
	}
	if !at.counts() || m.Ask == nil {
		return nil
	}
	ch.asks = true
	author, err := t.personNumber(row.event.Header.Actor)
	if err != nil {
		return err
	}
	if err := t.flush(); err != nil { // answers and what was written about it are read
		return err
	}
	withdrawn, err := t.written(ch.id, row.event.ID, threads.FieldWithdrawn, author)
	if err != nil {
		return err
	}
	for _, one := range m.Ask.Of {
		person, err := t.personNumber(one.Person)
		if err != nil {
			return err
		}
		state, answer, err := t.outcome(ch.id, at.thread, row.event.ID, person, one.Person)
		if err != nil {
			return err
		}
		if withdrawn && state != askAnswered {
			state = askWithdrawn
		}
		err = t.exec(`insert into ask (channel, object, person, author, pos, thread, urgency, due, basis, zone, state, answer)
			values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, ch.id, raw(row.event.ID), person, author, row.pos, at.thread,
			string(m.Ask.Urgency), one.Due.UnixMilli(), string(one.Basis), one.Zone, state, answer)
		if err != nil {
			return err
		}
	}
	return nil
}

// outcome is what a person did about being asked: the first direct reply, be it
// erased since, else a refusal.
func (t *tx) outcome(channel, thread int64, message threads.Hash, person int64, id string) (state int, answer *int64, err error) {
	var pos int64
	found, err := t.row([]any{&pos}, `select m.pos from message m join event e on e.pos = m.pos join log l on l.id = e.log
		where m.thread = ? and m.author = ? and m.parent = ? and (m.flags & 1) = 0
		order by m.sort, l.origin, l.epoch, e.seq limit 1`, thread, person, raw(message))
	if err != nil {
		return 0, nil, err
	}
	if found {
		return askAnswered, &pos, nil
	}
	declined, err := t.written(channel, message, threads.FieldDeclined+id, person)
	if declined {
		state = askDeclined
	}
	return state, nil, err
}

// written reports whether a person wrote a register.
func (t *tx) written(channel int64, object threads.Hash, field string, actor int64) (bool, error) {
	var one int
	return t.row([]any{&one}, "select 1 from write where channel = ? and object = ? and field = ? and actor = ? limit 1",
		channel, raw(object), field, actor)
}

// answers has the message settled that another one replies to, if it asks something.
func (t *tx) answers(ch *touched, parent []byte) error {
	if !ch.asks || parent == nil || ch.dirty[hashOf(parent)] {
		return nil
	}
	var one int
	found, err := t.row([]any{&one}, "select 1 from ask where channel = ? and object = ? limit 1", ch.id, parent)
	if found {
		ch.dirty[hashOf(parent)] = true
	}
	return err
}

type askRow struct {
	ChannelNumber, Person, Pos, Due, State, Sort        int64
	Object, Channel, Thread, Header                     []byte
	PersonID, Author, Urgency, Basis, Zone, ThreadTitle string
}

func (r *askRow) record() threads.AskRecord {
	record := threads.AskRecord{
		Message: hashOf(r.Object), Channel: hashOf(r.Channel), Thread: hashOf(r.Thread), ThreadTitle: r.ThreadTitle,
		Author: r.Author, Time: threads.Time(r.Sort).Wall(), Urgency: threads.Urgency(r.Urgency), State: askStates[r.State],
		Asked: threads.Asked{Person: r.PersonID, Due: time.UnixMilli(r.Due).UTC(), Basis: threads.Basis(r.Basis), Zone: r.Zone},
	}
	if r.Header != nil {
		record.Answer = threads.HashOf(r.Header)
	}
	return record
}

const askSelect = `
SELECT a.channel AS channelnumber, a.person, a.pos, a.due, a.state, m.sort, a.object, c.hash AS channel, t.hash AS thread,
    e.header, p.uri AS personid, w.uri AS author, a.urgency, a.basis, a.zone, t.title AS threadtitle
FROM ask a JOIN message m ON m.pos = a.pos JOIN channel c ON c.id = a.channel JOIN thread t ON t.id = a.thread
JOIN person p ON p.id = a.person JOIN person w ON w.id = a.author LEFT JOIN event e ON e.pos = a.answer
`

// Asks lists open asks in channels that the person is a member of, what is due
// first foremost: those of the person, or those that the person put to others.
func (r Reading) Asks(ctx context.Context, person string, view threads.AskView, page threads.Page) ([]threads.AskRecord, string, error) {
	after, err := numbersOf(page, 3)
	if err != nil {
		return nil, "", err
	}
	me, err := r.number(ctx, person)
	if err != nil {
		return nil, "", err
	}
	side := "a.person"
	if view == threads.AsksOfOthers {
		side = "a.author"
	}
	query := askSelect + `JOIN membership mb ON mb.channel = a.channel AND mb.person = ` + side + `
		WHERE a.state = 0 AND ` + side + ` = ?`
	args := []any{me}
	if after != nil {
		query += ` AND a.due >= ? AND (a.due, a.pos, a.person) > (?, ?, ?)`
		args = append(args, after[0], after[0], after[1], after[2])
	}
	var rows []askRow
	if err := r.s.list(ctx, &rows, query+` ORDER BY a.due, a.pos, a.person LIMIT ?`, append(args, page.Size()+1)...); err != nil {
		return nil, "", fmt.Errorf("list asks: %w", err)
	}
	rows, next := cut(rows, page, func(a *askRow) string {
		return cursorAfter(strconv.FormatInt(a.Due, 10), strconv.FormatInt(a.Pos, 10), strconv.FormatInt(a.Person, 10))
	})
	records := make([]threads.AskRecord, len(rows))
	for i := range rows {
		records[i] = rows[i].record()
	}
	return records, next, nil
}

// asks reads what became of what messages ask, in the order in which they name people.
func (s *Store) asks(ctx context.Context, objects []object, records []threads.MessageRecord) error {
	var asking []object
	for i := range records {
		if records[i].Ask != nil {
			asking = append(asking, objects[i])
		}
	}
	if len(asking) == 0 {
		return nil
	}
	channels, ids := keysOf(asking)
	var rows []askRow
	err := s.selectIn(ctx, &rows, askSelect+`WHERE a.channel IN (?) AND a.object IN (?) LIMIT ?`, channels, ids, len(asking)*threads.MaxAsked)
	if err != nil {
		return fmt.Errorf("read asks: %w", err)
	}
	found := map[object]map[string]threads.AskRecord{}
	for i := range rows {
		key := object{rows[i].ChannelNumber, hashOf(rows[i].Object)}
		if found[key] == nil {
			found[key] = map[string]threads.AskRecord{}
		}
		found[key][rows[i].PersonID] = rows[i].record()
	}
	for i := range records {
		for _, person := range records[i].Ask.People() {
			if a, ok := found[objects[i]][person]; ok {
				records[i].Asks = append(records[i].Asks, a)
			}
		}
	}
	return nil
}
