package store

import (
	"database/sql"
	"fmt"

	"meridian/threads"
	"meridian/threads/journal"
)

// erasePerson takes up person.erased: the profile goes, and with it the texts of
// all that the person wrote in the channel, here already or still to come.
func (t *tx) erasePerson(ch *touched, pos int64, e *threads.Event) error {
	actor, err := t.personNumber(e.Header.Actor)
	if err != nil {
		return err
	}
	t.erasures.add(ch.id, []byte(e.Header.Actor), threads.Stamp(e), pos, actor, number(false), nil, nil)
	if err := t.exec(eraseProfile, actor, erasedProfile); err != nil {
		return fmt.Errorf("erase profile: %w", err)
	}
	if err := t.expectReceipts(ch, pos, e); err != nil {
		return err
	}
	ch.orphans = true // from now on whatever comes is looked up among what was erased
	return t.settleWritten(ch, e.Header.Actor)
}

// erasedProfile is the version of a profile that was erased: none is newer.
const erasedProfile = 1<<53 - 1

// eraseProfile leaves a row that keeps any other profile of the person out.
const eraseProfile = `insert into profile (person, address, shown, zone, hours, version) values (?, null, '', '', '', ?)
	on conflict (person) do update set address = null, shown = '', zone = '', hours = '', version = excluded.version, signed = null`

// settleWritten has all messages and edits of a person in the channel settled
// anew. It is rare, so nothing is kept that would find them without reading the
// logs of the person's server.
func (t *tx) settleWritten(ch *touched, person string) error {
	var logs []int64
	err := t.each(func(rows *sql.Rows) error {
		var log int64
		err := rows.Scan(&log)
		logs = append(logs, log)
		return err
	}, "select l.id from log l join server s on s.id = l.origin where l.channel = ? and s.name = ?", ch.id, threads.ServerOf(person))
	if err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, log := range logs {
		if err := t.settleWrittenIn(ch, log, person); err != nil {
			return fmt.Errorf("settle what %s wrote: %w", person, err)
		}
	}
	return nil
}

func (t *tx) settleWrittenIn(ch *touched, log int64, person string) error {
	for after, more := int64(0), true; more; {
		more = false
		err := t.each(func(rows *sql.Rows) error {
			var header []byte
			if err := rows.Scan(&header, &after); err != nil {
				return err
			}
			more = true
			h, err := threads.DecodeHeader(header)
			if err == nil && h.Actor == person && h.Texts() {
				ch.dirty[threads.HashOf(header)] = true
			}
			return err
		}, writtenQuery, log, after)
		if err != nil {
			return err
		}
		if err := t.settleAll(ch); err != nil {
			return err
		}
	}
	return nil
}

const writtenQuery = "select header, seq from event where log = ? and seq > ? order by seq limit 500"

// spare keeps a text from being written at all that was erased before it came.
func (t *tx) spare(ch *touched, entry *journal.Entry) error {
	e := entry.Event
	if err := t.probeOrphan(ch, e); err != nil || !ch.dirty[e.ID] || e.Content == nil || entry.Void {
		return err
	}
	erased, _, err := t.erasureOf(ch.id, e)
	if erased {
		bare := *e
		bare.Content = nil
		entry.Event, entry.Effects = &bare, threads.Effects{}
	}
	return err
}
