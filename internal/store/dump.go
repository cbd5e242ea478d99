package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Dump lists everything derived from the events of a channel, a line each, in a
// form that knows no positions and no numbers of this database: equal at every
// replica that applied the same events and has their contents, on either kind
// of database, whatever the order was. What only this server keeps (its own
// people's void events) is left out. It is meant for tests and for verifying.
func (s *Store) Dump(ctx context.Context, channel threads.Hash) ([]byte, error) {
	var lines []string
	err := s.view(ctx, func(q *sqlx.Tx) error {
		var id int64
		if err := q.GetContext(ctx, &id, s.bind("select id from channel where hash = ?"), raw(channel)); err != nil {
			return err
		}
		for _, part := range dumpParts {
			if err := s.dumpPart(ctx, q, part, id, &lines); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
		return s.dumpWords(ctx, q, id, &lines)
	})
	if err != nil {
		return nil, fmt.Errorf("dump channel %s: %w", channel, err)
	}
	slices.Sort(lines)
	var out bytes.Buffer
	for _, line := range lines {
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// dumpPart is a query for the channel whose number is its one parameter. A
// column named header stands for the id of the event.
type dumpPart struct{ name, query string }

var dumpParts = []dumpPart{
	{"channel", `select s.name as host, c.name, purpose, kind, history, archived, created
		from channel c join server s on s.id = c.host where c.id = ?`},
	{"log", `select coalesce(s.name, '') as origin, epoch, from_seq, before, seq, l.hash, l.time, l.control
		from log l left join server s on s.id = l.origin join channel c on c.id = l.channel
		where l.channel = ? and l.seq > 0 and (l.seq >= from_seq or c.history <> 'full')`},
	{"event", `select header, flags & 3 as flags, case when (flags & 1) = 0 then content end as content
		from event where log in (select id from log where channel = ?)`},
	{"member", "select p.uri, role from membership m join person p on p.id = m.person where m.channel = ?"},
	{"server", "select s.name, admitted, removed from channel_server c join server s on s.id = c.server where c.channel = ?"},
	{"thread", `select hash, p.uri as author, created, title, objective, state, assignee, start, due, messages, last_time
		from thread t left join person p on p.id = t.author
		where t.channel = ? and hidden = 0 and (pos is not null or messages > 0)`},
	{"message", `select e.header, t.hash as thread, p.uri as author, m.sort, m.flags, m.parent from message m
		join thread t on t.id = m.thread join person p on p.id = m.author join event e on e.pos = m.pos
		where t.channel = ? and (m.flags & 1) = 0`},
	{"ask", `select object, p.uri as person, w.uri as author, t.hash as thread, urgency, a.due, basis, zone, a.state, e.header
		from ask a join person p on p.id = a.person join person w on w.id = a.author join thread t on t.id = a.thread
		left join event e on e.pos = a.answer where a.channel = ?`},
	{"file", "select digest from file where channel = ?"},
	{"attachment", "select e.header, a.digest from attachment a join event e on e.pos = a.pos where a.channel = ?"},
	{"write", `select object, field, stamp, p.uri as actor, own, value
		from write w join person p on p.id = w.actor where w.channel = ? and value is not null`},
	{"erasure", `select target, stamp, p.uri as actor, owner, thread, parent
		from erasure r join person p on p.id = r.actor where r.channel = ?`},
}

func (s *Store) dumpPart(ctx context.Context, q *sqlx.Tx, part dumpPart, channel int64, lines *[]string) error {
	rows, err := q.QueryxContext(ctx, s.bind(part.query), channel)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		columns := map[string]any{}
		if err := rows.MapScan(columns); err != nil {
			return err
		}
		line := part.name
		for _, name := range sortedKeys(columns) {
			line += " " + name + "=" + dumpValue(name, columns[name])
		}
		*lines = append(*lines, line)
	}
	return rows.Err()
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func dumpValue(name string, v any) string {
	switch v := v.(type) {
	case []byte:
		switch {
		case v == nil:
			return "none"
		case name == "header":
			return threads.HashOf(v)
		case name == "content":
			return string(v)
		}
		return fmt.Sprintf("%x", v)
	case string:
		return fmt.Sprintf("%q", v)
	case nil:
		return "none"
	}
	return fmt.Sprint(v)
}

// dumpWords lists which words find which message or thread.
func (s *Store) dumpWords(ctx context.Context, q *sqlx.Tx, channel int64, lines *[]string) error {
	query := "select e.header, w.term from (select distinct doc, term from search_word) w join event e on e.pos = w.doc"
	if s.postgres {
		query = "select e.header, w.lexeme from message_search m join event e on e.pos = m.pos, unnest(m.tsv) w"
	}
	return eachOf(ctx, q, func(rows *sql.Rows) error {
		var header []byte
		var word string
		err := rows.Scan(&header, &word)
		*lines = append(*lines, fmt.Sprintf("found event=%s word=%q", threads.HashOf(header), word))
		return err
	}, s.bind(query+" where e.log in (select id from log where channel = ?)"), channel)
}
