package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"meridian/threads"
)

// Bounds of one search, so that common words cost no more than this.
const (
	maxMatches = 200_000 // of the texts that hold the words, the newest received are looked at
	maxHits    = 10_000  // of those that the person may read, the newest received are put in order
)

// Search finds messages and threads that hold all that q asks for, the newest
// first, among what the person may read. q has words, "phrases", and from: in:
// org: label: is: before: after: has:. Of very many hits the newest received
// are found: at most 10,000.
func (r Reading) Search(ctx context.Context, person, q string, page threads.Page) ([]threads.Hit, string, error) {
	after, err := numbersOf(page, 2)
	if err != nil {
		return nil, "", err
	}
	asked, err := parseQuery(q)
	if err != nil {
		return nil, "", err
	}
	me, err := r.number(ctx, person)
	if err != nil || asked.never || q == "" {
		return nil, "", err
	}
	scope, err := r.scope(ctx, me, asked)
	if err != nil || scope.nowhere() {
		return nil, "", err
	}
	statement, args := scope.statement(r.s.postgres, after, page)
	var rows []foundRow
	if err := r.s.selectIn(ctx, &rows, statement, args...); err != nil {
		return nil, "", fmt.Errorf("search: %w", err)
	}
	rows, next := cut(rows, page, func(f *foundRow) string {
		return cursorAfter(strconv.FormatInt(f.Sort, 10), strconv.FormatInt(f.Pos, 10))
	})
	hits, err := r.hits(ctx, me, rows)
	return hits, next, err
}

// foundRow is a message, or a thread whose own event stands at Pos.
type foundRow struct{ Pos, Sort, Thread, Message int64 }

// selection gathers the conditions of one statement.
type selection struct {
	sql  strings.Builder
	args []any
}

func (s *selection) and(condition string, args ...any) {
	s.sql.WriteString("\n\tAND " + condition)
	s.args = append(s.args, args...)
}

// matched are the places of texts that match a full-text query, the newest first.
func matched(postgres bool) string {
	if postgres {
		return `(SELECT pos FROM message_search WHERE tsv @@ CAST(? AS tsquery) ORDER BY pos DESC LIMIT ?)`
	}
	return `(SELECT rowid AS pos FROM search WHERE search MATCH ? ORDER BY rowid DESC LIMIT ?)`
}

// statement finds the hits of a page: messages, and threads whose own texts are
// meant. Threads alone answer a query that says something of threads alone.
func (s *scope) statement(postgres bool, after []int64, page threads.Page) (string, []any) {
	messages := s.messages(postgres)
	titles := s.titles(postgres)
	if len(s.phrases)+len(s.authors) == 0 && len(s.labels)+len(s.states) > 0 {
		messages.and(`1 = 0`)
	}
	beyond, args := ``, append(messages.args, titles.args...)
	if after != nil {
		beyond = `WHERE sort <= ? AND (sort < ? OR pos < ?)`
		args = append(args, after[0], after[0], after[1])
	}
	limit := ` LIMIT ` + strconv.Itoa(maxHits)
	return `SELECT pos, sort, thread, message FROM (
		SELECT * FROM (` + messages.sql.String() + ` ORDER BY m.pos DESC` + limit + `) AS messages
		UNION ALL SELECT * FROM (` + titles.sql.String() + ` ORDER BY t.pos DESC` + limit + `) AS titles
	) AS hits ` + beyond + ` ORDER BY sort DESC, pos DESC LIMIT ?`, append(args, page.Size()+1)
}

func (s *scope) messages(postgres bool) *selection {
	m := s.selectFrom(postgres, `SELECT m.pos, m.sort, t.id AS thread, 1 AS message`, `message m`, `m.pos`)
	m.and(`t.id = m.thread AND mb.channel = t.channel AND mb.person = ? AND (m.flags & 3) = 0`, s.me)
	s.narrow(m, `m.sort`)
	if s.file {
		m.and(`EXISTS (SELECT 1 FROM attachment a WHERE a.pos = m.pos)`)
	}
	for _, who := range s.authors {
		mark := strings.TrimPrefix(searchMarks(who.words), " ")
		m.and(`((m.flags & 8) = 0 AND m.author `+who.condition+` OR (m.flags & 8) <> 0 AND m.pos IN `+matched(postgres)+`)`,
			append(who.args, matching([]string{mark}, postgres), maxMatches)...)
	}
	return m
}

func (s *scope) titles(postgres bool) *selection {
	t := s.selectFrom(postgres, `SELECT t.pos, t.created AS sort, t.id AS thread, 0 AS message`, ``, `t.pos`)
	t.and(`mb.channel = t.channel AND mb.person = ? AND t.hidden = 0 AND t.pos IS NOT NULL`, s.me)
	s.narrow(t, `t.created`)
	if s.file {
		t.and(`1 = 0`) // threads have none themselves
	}
	for _, who := range s.authors {
		t.and(`t.author `+who.condition, who.args...)
	}
	return t
}

// selectFrom begins with the full-text index where words are asked for, else
// with the table itself. CROSS JOIN keeps SQLite to the order of the tables.
func (s *scope) selectFrom(postgres bool, columns, table, pos string) *selection {
	out := &selection{}
	tables := []string{`thread t`, `membership mb`}
	if table != `` {
		tables = append([]string{table}, tables...)
	}
	where := `1 = 1`
	if len(s.phrases) > 0 {
		tables = append([]string{matched(postgres) + ` AS matched`}, tables...)
		where = pos + ` = matched.pos`
		out.args = []any{matching(s.phrases, postgres), maxMatches}
	}
	out.sql.WriteString(columns + ` FROM ` + strings.Join(tables, ` CROSS JOIN `) + ` WHERE ` + where)
	return out
}

// narrow adds the conditions that messages and threads share.
func (s *scope) narrow(to *selection, at string) {
	if len(s.channels) > 0 {
		to.and(`t.channel IN (?)`, s.channels)
	}
	if !s.after.IsZero() {
		to.and(at+` >= ?`, int64(threads.TimeOf(s.after)))
	}
	if !s.before.IsZero() {
		to.and(at+` < ?`, int64(threads.TimeOf(s.before)))
	}
	for _, state := range s.states {
		to.and(`t.state = ?`, state)
	}
	for _, label := range s.labels {
		to.and(`EXISTS (SELECT 1 FROM write w WHERE w.channel = t.channel AND w.object = t.hash AND w.field = ? AND w.value = 'true'
		AND NOT EXISTS (SELECT 1 FROM write n WHERE n.channel = w.channel AND n.object = w.object
			AND n.field = w.field AND n.stamp > w.stamp))`, threads.FieldLabel+label)
	}
}

// hits reads what was found, in the order of the rows.
func (r Reading) hits(ctx context.Context, me int64, rows []foundRow) ([]threads.Hit, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	var numbers, positions []int64
	for _, f := range rows {
		numbers = append(numbers, f.Thread)
		positions = append(positions, f.Pos)
	}
	var found []threadRow
	if err := r.s.selectIn(ctx, &found, threadSelect+`AND t.id IN (?) LIMIT ?`, me, numbers, len(numbers)); err != nil {
		return nil, fmt.Errorf("read threads found: %w", err)
	}
	records, err := r.s.threadRecords(ctx, found)
	if err != nil {
		return nil, err
	}
	byNumber := make(map[int64]threads.ThreadRecord, len(found))
	for i := range found {
		byNumber[found[i].Number] = records[i]
	}
	byPos, err := r.messagesAt(ctx, me, positions)
	if err != nil {
		return nil, err
	}
	hits := make([]threads.Hit, 0, len(rows))
	for _, f := range rows {
		thread, there := byNumber[f.Thread]
		message := byPos[f.Pos]
		if there && (message != nil) == (f.Message != 0) { // else it is gone since it was found
			hits = append(hits, threads.Hit{Thread: thread, Message: message})
		}
	}
	return hits, nil
}

func (r Reading) messagesAt(ctx context.Context, me int64, positions []int64) (map[int64]*threads.MessageRecord, error) {
	var items []messageItem
	if err := r.s.selectIn(ctx, &items, messagesInOrder+`AND m.pos IN (?) LIMIT ?`, me, positions, len(positions)); err != nil {
		return nil, fmt.Errorf("read messages found: %w", err)
	}
	records, err := r.s.messageRecords(ctx, items)
	if err != nil {
		return nil, err
	}
	byPos := make(map[int64]*threads.MessageRecord, len(items))
	for i := range items {
		byPos[items[i].Pos] = &records[i]
	}
	return byPos, nil
}
