package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"meridian/threads"
	"meridian/threads/journal"
)

// Flags of a stored event. An edit of an erased message is gone: its content is
// dropped with the message's, though its own header does not say so.
const (
	eventVoid   = 1
	eventErased = 2
	eventGone   = 4
)

// Append stores events at the positions given, all of one channel, with what
// they do to what people see, and the channel as it is after them.
func (t *tx) Append(c *threads.Channel, entries []journal.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	last := &entries[len(entries)-1]
	if last.Pos > t.newest.Pos {
		t.newest = journal.Mark{Pos: last.Pos, ID: last.Event.ID}
	}
	ch, err := t.touch(c, last.Pos)
	if err != nil {
		return fmt.Errorf("append to channel %s: %w", c.ID, err)
	}
	for i := range entries {
		if err := t.take(ch, &entries[i]); err != nil {
			return fmt.Errorf("append %s: %w", entries[i].Event.ID, err)
		}
	}
	return t.settleAll(ch)
}

// take takes up one event: its row, and what it does.
func (t *tx) take(ch *touched, entry *journal.Entry) error {
	if err := t.spare(ch, entry); err != nil {
		return err
	}
	e := entry.Event
	t.at = entry.At
	id := e.Header.LogID()
	log, err := t.logNumber(ch, id)
	if err != nil {
		return err
	}
	ch.logs[id] = true
	ch.control = ch.control || id == threads.ControlLog
	if entry.Kept {
		return t.rejoin(ch, entry)
	}
	content, flags := e.Content, int64(0)
	if entry.Void {
		flags = eventVoid
		if e.Header.Origin != t.store.server {
			content = nil
		}
	}
	t.events.add(entry.Pos, log, e.Header.Seq, hash8(raw(e.ID)), flags,
		entry.At.UnixMilli(), e.HeaderBytes, e.Sig, content)
	if id == threads.ControlLog {
		if log, cut, ok := threads.Frozen(e); ok {
			t.record(threads.ByServer, threads.AuditFreeze, ch.channel.ID,
				fmt.Sprintf("the host closed the log of %s, epoch %d, at %d", log.Origin, log.Epoch, cut.Seq))
		}
		return nil
	}
	if e.Header.Erases != "" && !entry.Void {
		t.record(e.Header.Actor, threads.AuditErased, e.Header.Erases, "by event "+e.ID)
	}
	return t.project(ch, entry)
}

// rejoin takes up an event that is stored already: what it does is done, unless
// its content comes only now.
func (t *tx) rejoin(ch *touched, entry *journal.Entry) error {
	row, err := t.lookup(ch.channel.ID, entry.Event.ID)
	if err != nil || row == nil || row.event.Content != nil || row.flags != 0 || entry.Event.Content == nil {
		return err
	}
	return t.fillOne(ch, row, entry.Event.Content, entry.Pos)
}

// project takes up what a data event does. What refers to something else, or
// may have been referred to before it came, is settled afterwards.
func (t *tx) project(ch *touched, entry *journal.Entry) error {
	e := entry.Event
	if m := entry.Effects.Message; m != nil && len(m.Attachments) > 0 {
		t.files = true
	}
	if e.Header.Type == threads.TypeThreadCreated || entry.Void && e.Header.Type == threads.TypeMessagePosted {
		ch.dirty[e.ID] = true
	}
	if entry.Void {
		return nil
	}
	if m := entry.Effects.Message; m != nil {
		if err := t.addMessage(ch, entry.Pos, e, m); err != nil {
			return err
		}
	}
	return t.refer(ch, entry.Pos, e, entry.Effects)
}

// probeOrphan has an event settled that something referred to before it came.
func (t *tx) probeOrphan(ch *touched, e *threads.Event) error {
	if !e.Header.Texts() || !ch.orphans || ch.dirty[e.ID] {
		return nil
	}
	var one int
	found, err := t.row([]any{&one}, `select 1 where exists (select 1 from erasure where channel = ? and target in (?, ?))
		or exists (select 1 from write where channel = ? and object = ?)`,
		ch.id, raw(e.ID), []byte(e.Header.Actor), ch.id, raw(e.ID))
	if found {
		ch.dirty[e.ID] = true
	}
	return err
}

// addMessage adds a message that nothing else is known to have changed.
func (t *tx) addMessage(ch *touched, pos int64, e *threads.Event, m *threads.Message) error {
	thread, err := t.threadNumber(ch.id, m.Thread)
	if err != nil {
		return err
	}
	author, err := t.personNumber(e.Header.Actor)
	if err != nil {
		return err
	}
	sort := int64(m.SortTime(e))
	t.messages.add(pos, thread, author, sort, messageFlags(m), pos, raw(m.ReplyTo))
	t.addWords(pos, wordsOf(m), searchMarks(m.AttributedTo))
	if err := t.attach(ch, pos, e, m.Attachments); err != nil {
		return err
	}
	if err := t.mention(pos, thread, m); err != nil {
		return err
	}
	if m.Ask != nil {
		ch.dirty[e.ID] = true
	}
	if err := t.answers(ch, raw(m.ReplyTo)); err != nil {
		return err
	}
	t.delta(thread, ch.version).add(sort)
	return nil
}

// refer takes up what an event does to other objects, which are settled afterwards.
func (t *tx) refer(ch *touched, pos int64, e *threads.Event, effects threads.Effects) error {
	if len(effects.Writes) == 0 && !e.Header.Erasing() {
		return nil
	}
	actor, err := t.personNumber(e.Header.Actor)
	if err != nil {
		return err
	}
	stamp := threads.Stamp(e)
	for _, w := range effects.Writes {
		t.writes.add(ch.id, raw(w.Object), w.Field, stamp, pos, actor, number(w.SameActor), w.Value)
		ch.dirty[w.Object] = ch.dirty[w.Object] || w.Field == threads.FieldBody || strings.HasPrefix(w.Field, threads.FieldsOfAsk)
	}
	if e.Header.Type == threads.TypePersonErased {
		return t.erasePerson(ch, pos, e)
	}
	if e.Header.Erases == "" {
		return nil
	}
	var place threads.Tombstone
	if effects.Erases != nil {
		place = *effects.Erases
	}
	owner := number(ch.channel.May(&e.Header, threads.RightOwn))
	t.erasures.add(ch.id, raw(e.Header.Erases), stamp, pos, actor, owner, raw(place.Thread), raw(place.ReplyTo))
	if err := t.expectReceipts(ch, pos, e); err != nil {
		return err
	}
	ch.dirty[e.Header.Erases] = true
	return nil
}

// Find looks up an event of the channel.
func (t *tx) Find(channel, id threads.Hash) (threads.Target, error) {
	ch, err := t.channelRow(channel)
	if err != nil {
		return threads.Target{}, err
	}
	if target, ok := t.w.names.targets.Get(objectKey{ch, id}); ok {
		return target, nil
	}
	row, err := t.lookup(channel, id)
	if err != nil {
		return threads.Target{}, err
	}
	if row == nil {
		return threads.Target{}, threads.Refuse(threads.NotFound, "not_found", "", "there is no such event in this channel")
	}
	target := threads.Target{
		Ref: row.event.Header.Ref(), ID: id, Type: row.event.Header.Type, Actor: row.event.Header.Actor,
		Hidden: row.flags&eventVoid != 0, Erased: row.flags&eventErased != 0,
	}
	if target.Type == threads.TypeMessagePosted {
		var thread, parent []byte
		_, err := t.row([]any{&thread, &parent},
			"select t.hash, m.parent from message m join thread t on t.id = m.thread where m.pos = ?", row.pos)
		if err != nil {
			return target, fmt.Errorf("look up message %s: %w", id, err)
		}
		if len(thread) == 0 { // its content is not held yet; it may come through another node
			return target, nil
		}
		target.Thread, target.ReplyTo = hashOf(thread), hashOf(parent)
		if m := threads.EffectsOf(row.event).Message; m != nil {
			target.Asks = m.Ask.People()
		}
	}
	t.w.names.targets.Add(objectKey{ch, id}, target)
	return target, nil
}

func (t *tx) channelRow(id threads.Hash) (int64, error) {
	if ch := t.channels[id]; ch != nil {
		return ch.id, nil
	}
	if number, ok := t.w.names.channels.Get(id); ok {
		return number, nil
	}
	var number int64
	found, err := t.row([]any{&number}, "select id from channel where hash = ?", raw(id))
	if found {
		t.w.names.channels.Add(id, number)
	}
	return number, err
}

// stored is an event as it lies in the database.
type stored struct {
	pos, log int64
	flags    int64
	event    *threads.Event
}

// lookup is the event of the channel with that id, nil when it is not held.
func (t *tx) lookup(channel, id threads.Hash) (*stored, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	var found *stored
	h := raw(id)
	if len(h) != 32 {
		return nil, errors.New("look up an event: " + id + " is no hash")
	}
	err := t.each(func(rows *sql.Rows) error {
		row := &stored{}
		e, err := scanEvent(rows, &row.pos, &row.log, &row.flags)
		if err == nil && e.ID == id && e.Channel() == channel {
			row.event, found = e, row
		}
		return err
	}, "select header, sig, content, pos, log, flags from event where hash8 = ? limit 16", hash8(h))
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", id, err)
	}
	return found, nil
}

// At is the event at that place of a log, nil when it is not held.
func (t *tx) At(channel threads.Hash, at threads.Ref) (*threads.Event, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	ch, err := t.channelRow(channel)
	if err != nil {
		return nil, err
	}
	e := &threads.Event{}
	found, err := t.row([]any{&e.HeaderBytes, &e.Sig, &e.Content}, `select e.header, e.sig, e.content from event e join log l on l.id = e.log
		where l.channel = ? and l.origin = coalesce((select id from server where name = ?), 0)
		and l.epoch = ? and e.seq = ?`, ch, at.Origin, at.Epoch, at.Seq)
	if !found || err != nil {
		return nil, err
	}
	return e, complete(e)
}
