package store

import (
	"meridian/threads"
)

// Numbers stand for names in every table. A name is looked up first, since
// another node may have given it its number, and else inserted.

func (t *tx) serverNumber(name string) (int64, error) {
	if id, ok := t.w.names.servers.Get(name); ok {
		return id, nil
	}
	id, err := t.number(
		"select id from server where name = ?", []any{name},
		"insert into server (name) values (?) on conflict do nothing", []any{name})
	if err == nil {
		t.w.names.servers.Add(name, id)
	}
	return id, err
}

func (t *tx) personNumber(uri string) (int64, error) {
	if id, ok := t.w.names.people.Get(uri); ok {
		return id, nil
	}
	server, err := t.serverNumber(threads.ServerOf(uri))
	if err != nil {
		return 0, err
	}
	id, err := t.number(
		"select id from person where uri = ?", []any{uri},
		"insert into person (uri, server) values (?, ?) on conflict do nothing", []any{uri, server})
	if err == nil {
		t.w.names.people.Add(uri, id)
	}
	return id, err
}

func (t *tx) threadNumber(channel int64, id threads.Hash) (int64, error) {
	key := objectKey{channel, id}
	if number, ok := t.w.names.threads.Get(key); ok {
		return number, nil
	}
	number, err := t.number(
		"select id from thread where channel = ? and hash = ?", []any{channel, raw(id)},
		"insert into thread (channel, hash) values (?, ?) on conflict do nothing", []any{channel, raw(id)})
	if err == nil {
		t.w.names.threads.Add(key, number)
	}
	return number, err
}

// logNumber is the number of a log, its row inserted empty when it is new.
func (t *tx) logNumber(ch *touched, id threads.LogID) (int64, error) {
	key := logKey{ch.id, id}
	if number, ok := t.w.names.logs.Get(key); ok {
		return number, nil
	}
	var origin int64
	var err error
	if id != threads.ControlLog {
		if origin, err = t.serverNumber(id.Origin); err != nil {
			return 0, err
		}
	}
	place := []any{ch.id, origin, id.Epoch}
	number, err := t.number(
		"select id from log where channel = ? and origin = ? and epoch = ?", place,
		`insert into log (channel, origin, epoch, from_seq, seq, time, control, judged)
		values (?, ?, ?, 1, 0, 0, 0, 0) on conflict do nothing`, place)
	if err == nil {
		t.w.names.logs.Add(key, number)
	}
	return number, err
}

func (t *tx) number(find string, by []any, insert string, row []any) (int64, error) {
	var id int64
	if found, err := t.row([]any{&id}, find, by...); found || err != nil {
		return id, err
	}
	if err := t.exec(insert, row...); err != nil {
		return 0, err
	}
	_, err := t.row([]any{&id}, find, by...)
	return id, err
}
