package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"meridian/threads"
)

type threadRow struct {
	Number, ChannelNumber, Created, Messages, Version, Activity int64
	Hidden, Following, Unread                                   int64
	Hash, Channel                                               []byte
	Author, Title, Objective, State, Assignee, Start, Due       string
}

// activity is the instant by which threads are listed: of the newest message,
// else of the thread. The index thread_activity is on this very expression.
const activity = `(CASE t.last_time WHEN 0 THEN t.created ELSE t.last_time END)`

// threadSelect reads threads of channels that a person is a member of;
// conditions follow it. A thread whose own event is not here shows once
// something stands in it.
var threadSelect = `
SELECT t.id AS number, t.channel AS channelnumber, t.hash, c.hash AS channel, COALESCE(p.uri, '') AS author, t.created,
    t.hidden, t.title, t.objective, t.state, t.assignee, t.start, t.due, t.messages, t.version, ` + activity + ` AS activity,
    COALESCE(f.following, CASE WHEN t.author = mb.person OR t.assignee = me.uri OR EXISTS (
        SELECT 1 FROM mention n JOIN message m ON m.pos = n.pos
        WHERE n.person = mb.person AND n.thread = t.id AND (m.flags & 3) = 0) THEN 1 ELSE 0 END) AS following,
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM message m WHERE m.thread = t.id AND m.pos > ` + readUpTo + ` AND ` + countsFor + `
        LIMIT ` + strconv.Itoa(maxUnread) + `) AS u) AS unread
FROM thread t
JOIN channel c ON c.id = t.channel
JOIN membership mb ON mb.channel = t.channel AND mb.person = ?
JOIN person me ON me.id = mb.person
LEFT JOIN person p ON p.id = t.author
LEFT JOIN read_mark r ON r.thread = t.id AND r.person = mb.person
LEFT JOIN follow f ON f.thread = t.id AND f.person = mb.person
WHERE ` + shownThread + `
`

// shownThread says which threads the member mb sees.
const shownThread = `(t.pos IS NOT NULL OR t.messages > 0) AND (t.hidden = 0 OR t.author = mb.person)`

func (r *threadRow) record(set []string) threads.ThreadRecord {
	record := threads.ThreadRecord{
		ID: hashOf(r.Hash), Channel: hashOf(r.Channel), Author: r.Author, Created: threads.Time(r.Created).Wall(),
		Title: r.Title, Objective: r.Objective, State: r.State, Assignee: r.Assignee, Start: r.Start, Due: r.Due,
		Hidden: r.Hidden != 0, Messages: r.Messages, LastTime: threads.Time(r.Activity).Wall(),
		Following: r.Following != 0, Unread: r.Unread, Version: r.Version,
	}
	for _, field := range set {
		if label, ok := strings.CutPrefix(field, threads.FieldLabel); ok {
			record.Labels = append(record.Labels, label)
		} else if blocker, ok := strings.CutPrefix(field, threads.FieldBlocked); ok {
			record.BlockedBy = append(record.BlockedBy, blocker)
		}
	}
	return record
}

// threadRecords completes rows with their labels and blockers.
func (s *Store) threadRecords(ctx context.Context, rows []threadRow) ([]threads.ThreadRecord, error) {
	objects := make([]object, len(rows))
	for i := range rows {
		objects[i] = object{rows[i].ChannelNumber, hashOf(rows[i].Hash)}
	}
	set, err := s.flags(ctx, objects, threads.FieldBlocked, threads.FieldLabel)
	if err != nil {
		return nil, err
	}
	records := make([]threads.ThreadRecord, len(rows))
	for i := range rows {
		records[i] = rows[i].record(set[objects[i]])
	}
	return records, nil
}

// Threads lists the threads of a channel of which the person is a member, the
// one with the newest activity first. Hidden ones show to their authors alone.
func (r Reading) Threads(ctx context.Context, person string, channel threads.Hash, page threads.Page) ([]threads.ThreadRecord, string, error) {
	after, err := numbersOf(page, 2)
	if err != nil {
		return nil, "", err
	}
	in, err := r.member(ctx, person, channel)
	if err != nil {
		return nil, "", err
	}
	query, args := threadSelect+`AND t.channel = ?`, []any{in.Person, in.Number}
	if after != nil {
		query += ` AND ` + activity + ` <= ? AND (` + activity + ` < ? OR t.id < ?)`
		args = append(args, after[0], after[0], after[1])
	}
	query += ` ORDER BY ` + activity + ` DESC, t.id DESC LIMIT ?`
	var rows []threadRow
	if err := r.s.list(ctx, &rows, query, append(args, page.Size()+1)...); err != nil {
		return nil, "", fmt.Errorf("list threads: %w", err)
	}
	rows, next := cut(rows, page, func(t *threadRow) string {
		return cursorAfter(strconv.FormatInt(t.Activity, 10), strconv.FormatInt(t.Number, 10))
	})
	records, err := r.s.threadRecords(ctx, rows)
	return records, next, err
}

// Thread is a thread that the person may see.
func (r Reading) Thread(ctx context.Context, person string, id threads.Hash) (threads.ThreadRecord, error) {
	at, err := r.reader(ctx, person, id)
	if err != nil {
		return threads.ThreadRecord{}, err
	}
	var rows []threadRow
	if err := r.s.list(ctx, &rows, threadSelect+`AND t.id = ? LIMIT 1`, at.Person, at.Number); err != nil {
		return threads.ThreadRecord{}, fmt.Errorf("read thread: %w", err)
	}
	records, err := r.s.threadRecords(ctx, rows)
	if err != nil {
		return threads.ThreadRecord{}, err
	}
	if len(records) == 0 { // no member since
		return threads.ThreadRecord{}, notFound("thread")
	}
	return records[0], nil
}
