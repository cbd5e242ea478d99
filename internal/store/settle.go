package store

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"meridian/threads"
)

// What people see of an object is settled from the stored rows alone: its
// event, the writes to it, the erasures of it. So the order in which they came
// does not matter.

// settleAll settles every object that has been referred to.
func (t *tx) settleAll(ch *touched) error {
	for len(ch.dirty) > 0 {
		for id, whole := range ch.dirty {
			delete(ch.dirty, id)
			if err := t.settle(ch, id, whole); err != nil {
				return fmt.Errorf("settle %s: %w", id, err)
			}
		}
	}
	return nil
}

// settle brings an object up to date; unless whole, only registers that stand
// in no row of its own have changed.
func (t *tx) settle(ch *touched, id threads.Hash, whole bool) error {
	row, err := t.lookup(ch.channel.ID, id)
	if err == nil && whole {
		err = t.settleEdits(ch, id)
	}
	if err != nil {
		return err
	}
	if row == nil || t.replayed != 0 && row.pos > t.replayed {
		ch.orphans = true // whatever comes is from now on looked up among what came before it
		return nil
	}
	t.w.names.targets.Remove(objectKey{ch.id, id})
	switch row.event.Header.Type {
	case threads.TypeThreadCreated:
		return t.settleThread(ch, row)
	case threads.TypeMessageEdited:
		return t.settleEdit(ch, row)
	case threads.TypeMessagePosted:
		if whole {
			return t.settleMessage(ch, row)
		}
		return t.exec("update message set version = ? where pos = ?", ch.version, row.pos)
	}
	return nil
}

// settleThread makes a thread's row from its event and its registers.
func (t *tx) settleThread(ch *touched, row *stored) error {
	e := row.event
	hidden := row.flags&eventVoid != 0
	if !hidden && threads.EffectsOf(e).Thread != e.ID {
		return nil // its content is not here yet, or makes no thread
	}
	thread, err := t.threadNumber(ch.id, e.ID)
	if err != nil {
		return err
	}
	author, err := t.personNumber(e.Header.Actor)
	if err != nil {
		return err
	}
	r, err := t.registers(ch.id, e.ID)
	if err != nil {
		return err
	}
	err = t.exec(`update thread set pos = ?, author = ?, created = ?, hidden = ?, title = ?, objective = ?,
		state = ?, assignee = ?, start = ?, due = ?, version = ? where id = ?`,
		row.pos, author, int64(e.Header.Time), number(hidden), r[0], r[1],
		r[2], r[3], r[4], r[5], ch.version, thread)
	if err != nil {
		return err
	}
	if err := t.dropWords(row.pos); err != nil || hidden {
		return err
	}
	t.addWords(row.pos, r[0]+"\n"+r[1], "")
	return nil
}

// unknownThread sets a thread's columns as they are while its event is not here.
const unknownThread = `pos = null, author = 0, created = 0, hidden = 0,
	title = '', objective = '', state = 'open', assignee = '', start = '', due = ''`

// threadFields are the registers of a thread in the order of its columns.
var threadFields = [...]string{
	threads.FieldTitle, threads.FieldObjective, threads.FieldState,
	threads.FieldAssignee, threads.FieldStart, threads.FieldDue,
}

func (t *tx) registers(channel int64, object threads.Hash) (values [len(threadFields)]string, err error) {
	values[2] = "open"
	for i, field := range threadFields {
		var text string
		found, err := t.row([]any{&text}, `select value from write
			where channel = ? and object = ? and field = ? order by stamp desc limit 1`, channel, raw(object), field)
		if err != nil {
			return values, err
		}
		if found {
			if err := json.Unmarshal([]byte(text), &values[i]); err != nil {
				return values, fmt.Errorf("register %s: %w", field, err)
			}
		}
	}
	return values, nil
}

// settleEdit takes away an edit that was itself erased.
func (t *tx) settleEdit(ch *touched, row *stored) error {
	erased, _, err := t.erasureOf(ch.id, row.event)
	if err != nil {
		return err
	}
	if err := t.markErased(row, erased); err != nil || !erased {
		return err
	}
	return t.dropWrites(ch, row.pos)
}

// dropWrites takes back what the event at pos wrote; the objects are settled again.
func (t *tx) dropWrites(ch *touched, pos int64) error {
	if err := t.flush(); err != nil {
		return err
	}
	err := t.each(func(rows *sql.Rows) error {
		var object []byte
		err := rows.Scan(&object)
		ch.dirty[hashOf(object)] = true
		return err
	}, "select object from write where pos = ?", pos)
	if err != nil {
		return err
	}
	return t.exec("delete from write where pos = ?", pos)
}

// erasureOf reports whether an erasure counts for the event, and the place that
// the first of these that has one gives it.
func (t *tx) erasureOf(channel int64, e *threads.Event) (bool, place, error) {
	actor, err := t.personNumber(e.Header.Actor)
	if err != nil {
		return false, place{}, err
	}
	var one int
	found, err := t.row([]any{&one}, erasedQuery, channel, raw(e.ID), actor, channel, []byte(e.Header.Actor))
	if !found || err != nil {
		return false, place{}, err
	}
	var p place
	_, err = t.row([]any{&p.thread, &p.parent}, placeQuery, channel, raw(e.ID), actor)
	return true, p, err
}

// The target of an erasure is an event, or the id of the person all of whose
// texts are erased; the former alone names a place.
const (
	erasedQuery = `select 1 from erasure where channel = ? and target = ? and (owner = 1 or actor = ?)
		union all select 1 from erasure where channel = ? and target = ? limit 1`
	placeQuery = `select thread, parent from erasure where channel = ? and target = ? and (owner = 1 or actor = ?)
		and thread is not null order by stamp limit 1`
)

// place is where a message stands: its thread and what it replies to.
type place struct{ thread, parent []byte }

// markErased makes the event's flag say whether it is erased. An erased content
// is dropped; one whose erasure turned out void is missing again.
func (t *tx) markErased(row *stored, erased bool) error {
	if erased == (row.flags&eventErased != 0) && (!erased || row.event.Content == nil) {
		return nil
	}
	row.flags &^= eventErased
	if erased {
		t.dropped = t.dropped || row.event.Content != nil
		row.flags |= eventErased
		row.event.Content = nil
	}
	if err := t.setEvent(row); err != nil || !erased || row.event.Header.Origin != t.store.server {
		return err
	}
	return t.forgetDigest(row.event)
}

func (t *tx) setEvent(row *stored) error {
	return t.exec("update event set flags = ?, content = ? where pos = ?", row.flags, row.event.Content, row.pos)
}
