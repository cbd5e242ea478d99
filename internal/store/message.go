package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"meridian/threads"
)

type messageItem struct {
	Pos, Sort, Flags, Version, Epoch, Seq    int64
	AuthorNumber, ChannelNumber              int64
	Parent, Thread, Channel, Header, Content []byte
	Author, Origin                           string
}

// Messages are read from the table that a reading knows most about: their
// thread's order, or the event that has their id. CROSS JOIN keeps SQLite to
// that order of tables and means nothing more than JOIN to PostgreSQL.
const (
	messagesInOrder = messageColumns + `FROM message m CROSS JOIN event e` + messageJoins
	messageByEvent  = messageColumns + `FROM event e CROSS JOIN message m` + messageJoins
)

const messageColumns = `
SELECT m.pos, m.sort, m.flags, m.version, m.parent, m.author AS authornumber, t.channel AS channelnumber,
    t.hash AS thread, c.hash AS channel, p.uri AS author, e.header, e.content, s.name AS origin, l.epoch, e.seq
`

// messageJoins leaves messages of channels that a person is a member of;
// conditions follow it. Hidden ones are their authors' alone.
const messageJoins = `
CROSS JOIN thread t CROSS JOIN membership mb CROSS JOIN channel c CROSS JOIN person p CROSS JOIN log l CROSS JOIN server s
WHERE e.pos = m.pos AND t.id = m.thread AND mb.channel = t.channel AND mb.person = ? AND c.id = t.channel
    AND p.id = m.author AND l.id = e.log AND s.id = l.origin AND ((m.flags & 1) = 0 OR m.author = mb.person)
`

// record is the message without what others wrote to it.
func (m *messageItem) record() (threads.MessageRecord, error) {
	e := threads.Event{HeaderBytes: m.Header, Content: m.Content}
	if err := complete(&e); err != nil {
		return threads.MessageRecord{}, err
	}
	record := threads.MessageRecord{
		ID: e.ID, Channel: hashOf(m.Channel), Thread: hashOf(m.Thread), ReplyTo: hashOf(m.Parent), Author: m.Author,
		Time: threads.Time(m.Sort).Wall(), Received: m.Pos, Version: m.Version,
		Erased: m.Flags&messageErased != 0, Hidden: m.Flags&messageHidden != 0,
	}
	posted := threads.EffectsOf(&e).Message
	if posted == nil || record.Erased {
		record.Missing = !record.Erased
		return record, nil
	}
	record.Body, record.AttributedTo, record.InReplyTo = posted.Body, posted.AttributedTo, posted.InReplyTo
	record.OriginalID, record.Mentions, record.Ask = posted.OriginalID, posted.Mentions, posted.Ask
	for _, a := range posted.Attachments {
		record.Attachments = append(record.Attachments, threads.AttachmentRecord{Attachment: a})
	}
	return record, nil
}

// messageRecords completes rows with edits and reactions.
func (s *Store) messageRecords(ctx context.Context, rows []messageItem) ([]threads.MessageRecord, error) {
	records := make([]threads.MessageRecord, len(rows))
	objects := make([]object, len(rows))
	for i := range rows {
		var err error
		if records[i], err = rows[i].record(); err != nil {
			return nil, fmt.Errorf("message at %d: %w", rows[i].Pos, err)
		}
		objects[i] = object{rows[i].ChannelNumber, records[i].ID}
	}
	if err := s.fileStates(ctx, rows, records); err != nil {
		return nil, err
	}
	if err := s.asks(ctx, objects, records); err != nil {
		return nil, err
	}
	reactions, err := s.reactions(ctx, objects)
	if err != nil {
		return nil, err
	}
	edits, err := s.newestEdits(ctx, rows, objects)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if !records[i].Erased {
			records[i].Reactions = reactions[objects[i]]
		}
		if edit, ok := edits[objects[i]]; ok {
			records[i].Body, records[i].Edited = edit.Body, edit.Time
		}
	}
	return records, nil
}

// write is a value that stands in a register.
type written struct {
	Channel, Actor int64
	Object, Stamp  []byte
	Value          string
}

func (w *written) edition() (threads.Edition, error) {
	edition := threads.Edition{Time: stampTime(w.Stamp)}
	err := json.Unmarshal([]byte(w.Value), &edition.Body)
	if err != nil {
		err = fmt.Errorf("edited text: %w", err)
	}
	return edition, err
}

// stampTime is the time with which a stamp begins.
func stampTime(stamp []byte) time.Time {
	return threads.Time(binary.BigEndian.Uint64(stamp)).Wall()
}

// newestEdits reads the newest text of those messages that were edited.
func (s *Store) newestEdits(ctx context.Context, rows []messageItem, objects []object) (map[object]threads.Edition, error) {
	authors := map[object]int64{}
	var edited []object
	var actors []int64
	for i, m := range rows {
		if m.Flags&messageEdited != 0 && m.Flags&messageErased == 0 {
			edited, actors = append(edited, objects[i]), append(actors, m.AuthorNumber)
			authors[objects[i]] = m.AuthorNumber
		}
	}
	edits := map[object]threads.Edition{}
	if len(edited) == 0 {
		return edits, nil
	}
	channels, ids := keysOf(edited)
	var found []written
	err := s.selectIn(ctx, &found, `
		SELECT w.channel, w.actor, w.object, w.stamp, w.value FROM write w
		WHERE w.channel IN (?) AND w.object IN (?) AND w.field = ? AND w.actor IN (?) AND w.value IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM write n WHERE n.channel = w.channel AND n.object = w.object
				AND n.field = w.field AND n.actor = w.actor AND n.value IS NOT NULL AND n.stamp > w.stamp)
		LIMIT ?`, channels, ids, threads.FieldBody, actors, maxRegisters)
	if err != nil {
		return nil, fmt.Errorf("read edits: %w", err)
	}
	for i := range found {
		key := object{found[i].Channel, hashOf(found[i].Object)}
		if authors[key] != found[i].Actor {
			continue
		}
		if edits[key], err = found[i].edition(); err != nil {
			return nil, err
		}
	}
	return edits, nil
}

// Messages lists the messages of a thread in the order in which it shows them:
// by their time, messages of one instant by origin, epoch and seq. Erased ones
// keep their place.
func (r Reading) Messages(ctx context.Context, person string, thread threads.Hash, page threads.Page) ([]threads.MessageRecord, string, error) {
	after, err := messageKey(page)
	if err != nil {
		return nil, "", err
	}
	in, err := r.reader(ctx, person, thread)
	if err != nil {
		return nil, "", err
	}
	var rows []messageItem
	err = r.s.list(ctx, &rows, messagesInOrder+`
		AND m.thread = ? AND m.sort >= ? AND (m.sort > ? OR (s.name, l.epoch, e.seq) > (?, ?, ?))
		ORDER BY m.sort, s.name, l.epoch, e.seq LIMIT ?`,
		in.Person, in.Number, after.sort, after.sort, after.origin, after.epoch, after.seq, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list messages: %w", err)
	}
	rows, next := cut(rows, page, func(m *messageItem) string {
		return cursorAfter(strconv.FormatInt(m.Sort, 10), m.Origin, strconv.FormatInt(m.Epoch, 10), strconv.FormatInt(m.Seq, 10))
	})
	records, err := r.s.messageRecords(ctx, rows)
	return records, next, err
}

// messagePlace is where a page of messages starts.
type messagePlace struct {
	sort       int64
	origin     string
	epoch, seq int64
}

func messageKey(page threads.Page) (messagePlace, error) {
	p := messagePlace{sort: math.MinInt64}
	key, err := keyOf(page, 4)
	if err != nil || key == nil {
		return p, err
	}
	p.origin = key[1]
	for at, text := range map[*int64]string{&p.sort: key[0], &p.epoch: key[2], &p.seq: key[3]} {
		if *at, err = strconv.ParseInt(text, 10, 64); err != nil {
			return p, badCursor()
		}
	}
	return p, nil
}

// Message is a message that the person may see.
func (r Reading) Message(ctx context.Context, person string, id threads.Hash) (threads.MessageRecord, error) {
	row, err := r.message(ctx, person, id)
	if err != nil {
		return threads.MessageRecord{}, err
	}
	records, err := r.s.messageRecords(ctx, []messageItem{*row})
	if err != nil {
		return threads.MessageRecord{}, err
	}
	return records[0], nil
}

// sharing is how many events may share the first 8 bytes of their ids.
const sharing = 16

// message is the row of a message that the person may see.
func (r Reading) message(ctx context.Context, person string, id threads.Hash) (*messageItem, error) {
	if !threads.IsHash(id) {
		return nil, notFound("message")
	}
	me, err := r.number(ctx, person)
	if err != nil {
		return nil, err
	}
	var rows []messageItem
	err = r.s.list(ctx, &rows, messageByEvent+`AND e.hash8 = ? LIMIT ?`, me, hash8(raw(id)), sharing)
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	for i := range rows {
		if threads.HashOf(rows[i].Header) == id {
			return &rows[i], nil
		}
	}
	return nil, notFound("message")
}

// maxEditions bounds the texts of one message that are read.
const maxEditions = 1000

// Editions are the texts that a message had, oldest first, at most 1,000; none
// of an erased one.
func (r Reading) Editions(ctx context.Context, person string, id threads.Hash) ([]threads.Edition, error) {
	m, err := r.message(ctx, person, id)
	if err != nil {
		return nil, err
	}
	e := threads.Event{HeaderBytes: m.Header, Content: m.Content}
	if err := complete(&e); err != nil {
		return nil, err
	}
	posted := threads.EffectsOf(&e).Message
	if posted == nil || m.Flags&messageErased != 0 {
		return nil, nil
	}
	var rows []written
	err = r.s.list(ctx, &rows, `
		SELECT channel, actor, object, stamp, value FROM write
		WHERE channel = ? AND object = ? AND field = ? AND actor = ? AND value IS NOT NULL ORDER BY stamp LIMIT ?`,
		m.ChannelNumber, raw(id), threads.FieldBody, m.AuthorNumber, maxEditions-1)
	if err != nil {
		return nil, fmt.Errorf("read editions: %w", err)
	}
	editions := []threads.Edition{{Time: threads.Time(m.Sort).Wall(), Body: posted.Body}}
	for i := range rows {
		edition, err := rows[i].edition()
		if err != nil {
			return nil, err
		}
		editions = append(editions, edition)
	}
	return editions, nil
}
