package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"meridian/threads"
)

// maxUnread is how far unread messages are counted; what is more reads as this.
const maxUnread = 1000

type channelRow struct {
	Number, Archived, Created, Unread, Forks int64
	Hash, Follows, Next                      []byte
	Host, Name, Purpose, Kind, History, Role string
}

// channelSelect reads the channels of a person; conditions follow it. Unread is
// what came after the person did and lies beyond the mark of its thread.
var channelSelect = `
SELECT c.id AS number, c.hash, s.name AS host, c.name, c.purpose, c.kind, c.history, c.archived, c.created, c.follows, mb.role,
    (SELECT n.hash FROM channel n WHERE n.follows = c.hash ORDER BY n.id LIMIT 1) AS next,
    (SELECT COUNT(*) FROM fork f JOIN log l ON l.id = f.log WHERE l.channel = c.id) AS forks,
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM thread t
        LEFT JOIN read_mark r ON r.thread = t.id AND r.person = mb.person
        JOIN message m ON m.thread = t.id AND m.pos > ` + readUpTo + `
        WHERE t.channel = c.id AND t.version > ` + readUpTo + ` AND ` + countsFor + `
        LIMIT ` + strconv.Itoa(maxUnread) + `) AS u) AS unread
FROM membership mb
JOIN channel c ON c.id = mb.channel
JOIN server s ON s.id = c.host
WHERE mb.person = ?
`

// Of a thread t with the read mark r of the member mb: up to where it is read,
// and whether the message m beyond that counts.
const (
	readUpTo  = `(CASE WHEN r.pos > mb.since THEN r.pos ELSE mb.since END)`
	countsFor = `m.author <> mb.person AND (m.flags & 3) = 0`
)

func (r *channelRow) record() threads.ChannelRecord {
	return threads.ChannelRecord{
		ID: hashOf(r.Hash), Host: r.Host, Archived: r.Archived != 0,
		Settings: threads.Settings{Name: r.Name, Purpose: r.Purpose, Kind: r.Kind, History: r.History},
		Created:  threads.Time(r.Created).Wall(), Follows: hashOf(r.Follows), Next: hashOf(r.Next), Role: threads.Role(r.Role), Unread: r.Unread,
		Forked: r.Forks > 0,
	}
}

// Channels lists the channels of which the person is a member, as they came here.
func (r Reading) Channels(ctx context.Context, person string, page threads.Page) ([]threads.ChannelRecord, string, error) {
	after, err := numbersOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	me, err := r.number(ctx, person)
	if err != nil {
		return nil, "", err
	}
	from := int64(0)
	if after != nil {
		from = after[0]
	}
	var rows []channelRow
	err = r.s.list(ctx, &rows, channelSelect+`AND c.id > ? ORDER BY c.id LIMIT ?`, me, from, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list channels: %w", err)
	}
	rows, next := cut(rows, page, func(c *channelRow) string { return cursorAfter(strconv.FormatInt(c.Number, 10)) })
	channels := make([]threads.ChannelRecord, len(rows))
	for i := range rows {
		channels[i] = rows[i].record()
	}
	return channels, next, nil
}

// Channel is the channel as the person, a member of it, sees it.
func (r Reading) Channel(ctx context.Context, person string, id threads.Hash) (threads.ChannelRecord, error) {
	at, err := r.member(ctx, person, id)
	if err != nil {
		return threads.ChannelRecord{}, err
	}
	var row channelRow
	err = r.s.one(ctx, &row, channelSelect+`AND c.id = ? LIMIT 1`, at.Person, at.Number)
	if errors.Is(err, sql.ErrNoRows) { // no member since
		return threads.ChannelRecord{}, notFound("channel")
	}
	if err != nil {
		return threads.ChannelRecord{}, fmt.Errorf("read channel: %w", err)
	}
	return row.record(), nil
}
