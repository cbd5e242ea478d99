package store

import (
	"database/sql"
	"fmt"

	"meridian/threads"
)

// What messages say of files is taken up with them, in the journal's transaction.

// attach notes the files of a message that counts. What our own people attached
// they had uploaded; whatever else is named has yet to come from a member of the
// channel, also where another channel has it.
func (t *tx) attach(ch *touched, pos int64, e *threads.Event, list []threads.Attachment) error {
	if len(list) == 0 {
		return nil
	}
	origin, err := t.serverNumber(e.Header.Origin)
	if err != nil {
		return err
	}
	own := number(e.Header.Origin == t.store.server)
	for _, a := range list {
		digest := raw(a.Digest)
		if err := t.exec("insert into attachment (pos, digest, channel) values (?, ?, ?) on conflict do nothing", pos, digest, ch.id); err != nil {
			return fmt.Errorf("attach %s: %w", a.Digest, err)
		}
		held := int64(0)
		if _, err := t.row([]any{&held}, "select 1 from blob where digest = ? and cast(? as bigint) = 1", digest, own); err != nil {
			return fmt.Errorf("look for file %s: %w", a.Digest, err)
		}
		err := t.exec(`insert into file (channel, digest, size, held, origin) values (?, ?, ?, ?, ?)
			on conflict (channel, digest) do update set held = case when excluded.held = 1 then 1 else file.held end,
			size = case when file.held = 0 and (excluded.held = 1 or excluded.size > file.size) then excluded.size else file.size end`,
			ch.id, digest, a.Size, held, origin)
		if err != nil {
			return fmt.Errorf("attach %s: %w", a.Digest, err)
		}
	}
	return nil
}

// detach takes away the files of a message that counts no longer. What nothing
// names any more is found by Unreferenced, and that its author uploaded it is
// forgotten with the last message of theirs that has it.
func (t *tx) detach(pos int64, author string) error {
	var gone [][]byte
	var channel int64
	err := t.each(func(rows *sql.Rows) error {
		var digest []byte
		err := rows.Scan(&digest, &channel)
		gone = append(gone, digest)
		return err
	}, "select digest, channel from attachment where pos = ?", pos)
	if err != nil || len(gone) == 0 {
		return err
	}
	person, err := t.personNumber(author)
	if err != nil {
		return err
	}
	if err := t.exec("delete from attachment where pos = ?", pos); err != nil {
		return err
	}
	for _, digest := range gone {
		if err := t.exec(`delete from file where channel = ? and digest = ?
			and not exists (select 1 from attachment a where a.channel = file.channel and a.digest = file.digest)`, channel, digest); err != nil {
			return err
		}
		if err := t.exec("delete from upload where person = ? and digest = ? and not "+inUse, person, digest); err != nil {
			return err
		}
	}
	return nil
}

// inUse says of a row of upload that a message of its person has the file.
const inUse = `exists (select 1 from attachment a join message m on m.pos = a.pos
	where a.digest = upload.digest and m.author = upload.person)`

// Arrive notes that a file of the channel is held now, checked, with its true
// size. The messages that name it are told of at the positions after pos; it
// returns how many there are, none where nothing names it any more.
func (t *tx) Arrive(a threads.Arrival, pos int64) (told int64, err error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	digest := raw(a.Digest)
	if err := t.exec("insert into blob (digest, size) values (?, ?) on conflict do nothing", digest, a.Size); err != nil {
		return 0, fmt.Errorf("note file %s: %w", a.Digest, err)
	}
	channel, err := t.channelRow(a.Channel)
	if err != nil {
		return 0, err
	}
	var messages []int64
	err = t.each(func(rows *sql.Rows) error {
		var message int64
		err := rows.Scan(&message)
		messages = append(messages, message)
		return err
	}, `select a.pos from attachment a join file f on f.channel = a.channel and f.digest = a.digest
		where f.channel = ? and f.digest = ? and f.held = 0 order by a.pos desc limit ?`, channel, digest, maxTold)
	if err != nil || len(messages) == 0 {
		return 0, err
	}
	if err := t.exec("update file set held = 1, size = ? where channel = ? and digest = ?", a.Size, channel, digest); err != nil {
		return 0, err
	}
	for i, message := range messages {
		if err := t.exec("insert into arrival (pos, event) values (?, ?)", pos+1+int64(i), message); err != nil {
			return 0, fmt.Errorf("note the arrival of %s: %w", a.Digest, err)
		}
	}
	return int64(len(messages)), nil
}

// maxTold is how many messages, the newest, are told of when a file of theirs comes.
const maxTold = 20
