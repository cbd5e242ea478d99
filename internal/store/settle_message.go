package store

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"meridian/threads"
)

// Flags of a message. A hidden one is void; its author's server alone keeps it.
const (
	messageHidden = 1
	messageErased = 2
	messageEdited = 4
	// Written by somebody else than its author, who imported it.
	messageAttributed = 8
)

// messageRow is a message as its thread shows it.
type messageRow struct {
	thread, sort, flags int64
	parent              []byte
}

func (m *messageRow) counts() bool { return m != nil && m.flags&(messageHidden|messageErased) == 0 }

// settleMessage makes a message's row, its words and its thread's counters from
// its event, the erasures and the edits of it.
func (t *tx) settleMessage(ch *touched, row *stored) error {
	erased, at, err := t.erasureOf(ch.id, row.event)
	if err != nil {
		return err
	}
	if err := t.markErased(row, erased); err != nil {
		return err
	}
	old, err := t.messageAt(row.pos)
	if err != nil {
		return err
	}
	var fresh *messageRow
	var m *threads.Message
	if erased {
		fresh, err = t.tombstone(ch, row, at)
	} else {
		fresh, m, err = t.standing(ch, row)
	}
	if err != nil {
		return err
	}
	if err := t.replaceMessage(ch, row, old, fresh); err != nil {
		return err
	}
	if err := t.dropWords(row.pos); err != nil {
		return err
	}
	if err := t.settleAsk(ch, row, fresh, m); err != nil {
		return err
	}
	for _, place := range []*messageRow{old, fresh} {
		if place != nil {
			if err := t.answers(ch, place.parent); err != nil {
				return err
			}
		}
	}
	if !fresh.counts() {
		return t.detach(row.pos, row.event.Header.Actor)
	}
	t.addWords(row.pos, wordsOf(m), searchMarks(m.AttributedTo))
	if err := t.attach(ch, row.pos, row.event, m.Attachments); err != nil {
		return err
	}
	return t.mention(row.pos, fresh.thread, m)
}

// messageFlags are those of a message as it was posted.
func messageFlags(m *threads.Message) int64 {
	if m.AttributedTo != "" {
		return messageAttributed
	}
	return 0
}

// settleEdits makes the contents of a message's edits follow the erasures of it:
// each takes the edits by its own actor, an owner's takes all. Whether the
// message is held here, or lies below where this copy begins, makes no difference.
func (t *tx) settleEdits(ch *touched, id threads.Hash) error {
	var one int
	object := []any{ch.id, raw(id), ch.id, raw(id), threads.FieldBody}
	found, err := t.row([]any{&one}, `select 1 where exists (select 1 from erasure where channel = ? and target = ?)
		or exists (select 1`+editsOf+` and value is null)`, object...)
	if !found || err != nil {
		return err
	}
	const takes = ` (select 1 from erasure where erasure.channel = write.channel and target = object
		and (owner = 1 or erasure.actor = write.actor))`
	if err := t.dropEdits(ch, id, " and exists"+takes); err != nil {
		return err
	}
	return t.missEdits(ch, id, " and not exists"+takes)
}

const editsOf = " from write where channel = ? and object = ? and field = ?"

// dropEdits drops the contents of a message's edits.
func (t *tx) dropEdits(ch *touched, id threads.Hash, which string) error {
	t.dropped = true
	object := []any{ch.id, raw(id), threads.FieldBody}
	which += " and value is not null"
	if err := t.exec("update event set content = null, flags = flags | 4 where pos in (select pos"+editsOf+which+")", object...); err != nil {
		return err
	}
	return t.exec("update write set value = null where channel = ? and object = ? and field = ?"+which, object...)
}

// missEdits has dropped edits whose erasure turned out void missing: they write
// again once they are filled.
func (t *tx) missEdits(ch *touched, id threads.Hash, which string) error {
	object := []any{ch.id, raw(id), threads.FieldBody}
	which += " and value is null"
	if err := t.exec("update event set flags = flags & 3 where pos in (select pos"+editsOf+which+")", object...); err != nil {
		return err
	}
	return t.exec("delete"+editsOf+which, object...)
}

func (t *tx) messageAt(pos int64) (*messageRow, error) {
	m := &messageRow{}
	found, err := t.row([]any{&m.thread, &m.sort, &m.flags, &m.parent},
		"select thread, sort, flags, parent from message where pos = ?", pos)
	if !found {
		m = nil
	}
	return m, err
}

// tombstone is the row of an erased message: its place is the erasure's alone to
// say, so that it is the same where the message's content never came. Without a
// place there is none.
func (t *tx) tombstone(ch *touched, row *stored, at place) (*messageRow, error) {
	if row.flags&eventVoid != 0 || at.thread == nil {
		return nil, nil
	}
	thread, err := t.threadNumber(ch.id, hashOf(at.thread))
	return &messageRow{thread: thread, sort: int64(row.event.Header.Time), flags: messageErased, parent: at.parent}, err
}

// standing is the row of a message that is not erased, and the message with its
// newest text; nil where its content is not here or makes no message.
func (t *tx) standing(ch *touched, row *stored) (*messageRow, *threads.Message, error) {
	m := threads.EffectsOf(row.event).Message
	if m == nil {
		return nil, nil, nil
	}
	thread, err := t.threadNumber(ch.id, m.Thread)
	if err != nil {
		return nil, nil, err
	}
	fresh := &messageRow{thread: thread, sort: int64(m.SortTime(row.event)), flags: messageFlags(m), parent: raw(m.ReplyTo)}
	if row.flags&eventVoid != 0 {
		fresh.flags |= messageHidden
		return fresh, m, nil
	}
	actor, err := t.personNumber(row.event.Header.Actor)
	if err != nil {
		return nil, nil, err
	}
	var value string
	edited, err := t.row([]any{&value}, `select value from write where channel = ? and object = ? and field = ?
		and actor = ? and value is not null order by stamp desc limit 1`, ch.id, raw(row.event.ID), threads.FieldBody, actor)
	if err != nil || !edited {
		return fresh, m, err
	}
	fresh.flags |= messageEdited
	if err := json.Unmarshal([]byte(value), &m.Body); err != nil {
		return nil, nil, fmt.Errorf("edited text: %w", err)
	}
	return fresh, m, nil
}

// replaceMessage puts fresh in the place of old, either of which may be nil.
func (t *tx) replaceMessage(ch *touched, row *stored, old, fresh *messageRow) error {
	if old.counts() {
		t.delta(old.thread, ch.version).remove()
	}
	if fresh.counts() {
		t.delta(fresh.thread, ch.version).add(fresh.sort)
	}
	switch {
	case fresh == nil && old == nil:
		return nil
	case fresh == nil:
		return t.exec("delete from message where pos = ?", row.pos)
	case old == nil:
		author, err := t.personNumber(row.event.Header.Actor)
		if err != nil {
			return err
		}
		t.messages.add(row.pos, fresh.thread, author, fresh.sort, fresh.flags, ch.version, fresh.parent)
		return t.flush()
	}
	return t.exec("update message set thread = ?, sort = ?, flags = ?, version = ?, parent = ? where pos = ?",
		fresh.thread, fresh.sort, fresh.flags, ch.version, fresh.parent, row.pos)
}

// wordsOf is all that a message is found by: its text, and the names of its files
// with what stands for them.
func wordsOf(m *threads.Message) string {
	words := m.Body
	for _, a := range m.Attachments {
		words += "\n" + a.Name + "\n" + a.Summary
	}
	return words
}

// addWords makes a text findable at pos, and the marks beside it.
func (t *tx) addWords(pos int64, text, marks string) {
	text = searchText(text) + marks
	if t.store.postgres {
		text = searchVector(text)
	}
	t.search.add(pos, text)
}

func (t *tx) dropWords(pos int64) error {
	if err := t.flush(); err != nil {
		return err
	}
	if t.store.postgres {
		return t.exec("delete from message_search where pos = ?", pos)
	}
	return t.exec("delete from search where rowid = ?", pos)
}

// delta is how a thread's counters change in this transaction.
type delta struct {
	messages, last, version int64
	recount                 bool // the newest message may be gone
}

func (t *tx) delta(thread, version int64) *delta {
	d := t.deltas[thread]
	if d == nil {
		d = &delta{}
		t.deltas[thread] = d
	}
	d.version = max(d.version, version)
	return d
}

func (d *delta) add(sort int64) {
	d.messages++
	d.last = max(d.last, sort)
}

func (d *delta) remove() {
	d.messages--
	d.recount = true
}

// saveDeltas moves the counters of the threads that changed, on PostgreSQL in
// one statement: each costs a round trip, under the lock that all writers share.
func (t *tx) saveDeltas() error {
	moved := bulk{columns: []column{{"id", "bigint"}, {"messages", "bigint"}, {"version", "bigint"}, {"last_time", "bigint"}}}
	for thread, d := range t.deltas {
		if d.recount {
			var last sql.NullInt64
			if _, err := t.row([]any{&last}, `select sort from message where thread = ? and (flags & 3) = 0
				order by sort desc limit 1`, thread); err != nil {
				return err
			}
			if err := t.exec("update thread set last_time = ? where id = ?", max(0, last.Int64), thread); err != nil {
				return err
			}
			d.last = 0
		}
		moved.add(thread, d.messages, d.version, d.last)
	}
	clear(t.deltas)
	if err := t.move(&moved); err != nil {
		return fmt.Errorf("save thread counters: %w", err)
	}
	return nil
}

func (t *tx) move(moved *bulk) error {
	if len(moved.rows) == 0 {
		return nil
	}
	if t.store.postgres {
		return t.exec(`update thread set messages = thread.messages + d.messages, version = d.version,
			last_time = greatest(thread.last_time, d.last_time)
			from unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[]) as d (id, messages, version, last_time)
			where thread.id = d.id`, moved.arrays(moved.rows)...)
	}
	for _, row := range moved.rows {
		err := t.exec(`update thread set messages = messages + ?2, version = ?3,
			last_time = max(last_time, ?4) where id = ?1`, row...)
		if err != nil {
			return err
		}
	}
	return nil
}
