package store

import (
	"database/sql"

	"meridian/threads"
)

// saveControl saves what the control log says of the channel: its settings and
// its members. Of the members only what changed is written.
func (t *tx) saveControl(ch *touched) error {
	c := ch.channel
	host, err := t.serverNumber(c.Host)
	if err != nil {
		return err
	}
	s := c.Settings
	follows, err := t.follows(c)
	if err != nil {
		return err
	}
	err = t.exec(`update channel set host = ?, name = ?, purpose = ?, kind = ?, history = ?, archived = ?, created = ?, follows = ?
		where id = ?`, host, s.Name, s.Purpose, s.Kind, s.History, number(c.Archived), int64(c.Created), follows, ch.id)
	if err != nil {
		return err
	}
	if err := t.savePeople(ch); err != nil {
		return err
	}
	return t.saveServers(ch)
}

// follows is the channel that c goes on from as far as that one's record here
// bears it out, nil for none.
func (t *tx) follows(c *threads.Channel) ([]byte, error) {
	cited := c.Follows()
	if cited == nil {
		return nil, nil
	}
	old, err := t.Channel(cited.Channel)
	if err != nil || old == nil || !old.Succeeded(cited) {
		return nil, err
	}
	return raw(cited.Channel), nil
}

// maxSuccessors is how many channels are looked at that go on from one.
const maxSuccessors = 16

// Successors are the channels that go on from one, the oldest here first.
func (t *tx) Successors(channel threads.Hash) ([]threads.Hash, error) {
	var ids []threads.Hash
	err := t.each(func(rows *sql.Rows) error {
		var hash []byte
		err := rows.Scan(&hash)
		ids = append(ids, hashOf(hash))
		return err
	}, "select hash from channel where follows = ? order by id limit ?", raw(channel), maxSuccessors)
	return ids, err
}

func (t *tx) savePeople(ch *touched) error {
	old := map[string]threads.Role{}
	err := t.each(func(rows *sql.Rows) error {
		var uri string
		var role threads.Role
		err := rows.Scan(&uri, &role)
		old[uri] = role
		return err
	}, "select p.uri, m.role from membership m join person p on p.id = m.person where m.channel = ?", ch.id)
	if err != nil {
		return err
	}
	for _, p := range ch.channel.People() {
		if err := t.saveRole(ch.id, p, old[p.ID]); err != nil {
			return err
		}
		delete(old, p.ID)
	}
	for uri := range old {
		person, err := t.personNumber(uri)
		if err != nil {
			return err
		}
		if err := t.exec("delete from membership where channel = ? and person = ?", ch.id, person); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) saveRole(channel int64, p threads.Person, old threads.Role) error {
	if p.Role == old {
		return nil
	}
	person, err := t.personNumber(p.ID)
	if err != nil {
		return err
	}
	return t.exec(`insert into membership (channel, person, role, since) values (?, ?, ?, coalesce((
			select e.pos from event e join log l on l.id = e.log
			where l.channel = ? and l.origin = 0 and l.epoch = 0 and e.seq = ?), 0))
		on conflict (channel, person) do update set role = excluded.role`,
		channel, person, string(p.Role), channel, p.Since)
}

// saveServers writes the latest admission of each server that is or was a member.
func (t *tx) saveServers(ch *touched) error {
	old := map[threads.Admitted]bool{}
	err := t.each(func(rows *sql.Rows) error {
		var a threads.Admitted
		err := rows.Scan(&a.Server, &a.Number, &a.Removed)
		old[a] = true
		return err
	}, `select s.name, c.admitted, c.removed
		from channel_server c join server s on s.id = c.server where c.channel = ?`, ch.id)
	if err != nil {
		return err
	}
	for _, a := range ch.channel.Admissions() {
		if old[a] {
			continue
		}
		server, err := t.serverNumber(a.Server)
		if err != nil {
			return err
		}
		err = t.exec(`insert into channel_server (channel, server, admitted, removed) values (?, ?, ?, ?)
			on conflict (channel, server) do update set admitted = excluded.admitted, removed = excluded.removed`,
			ch.id, server, a.Number, a.Removed)
		if err != nil {
			return err
		}
	}
	return nil
}
