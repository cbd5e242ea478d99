package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
)

var _ journal.Store = (*Store)(nil)

// journalLock is the key of the advisory lock under which positions are given
// on PostgreSQL, where several nodes may share the database.
const journalLock = 0x6d657269

// Write runs f in one transaction that holds the lock under which journal
// positions are given. It commits durably when f returns nil; nothing of a
// failed one stays. After an error of the database the next Write connects anew.
func (s *Store) Write(ctx context.Context, f func(journal.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.pen.Lock()
	defer s.pen.Unlock()
	// Others' work shares the transaction: one who gives up must not end it.
	ctx = context.WithoutCancel(ctx)
	w, err := s.pinned(ctx)
	if err != nil {
		return err
	}
	t := newTx(ctx, s, w)
	if err := t.begin(); err != nil {
		return s.dropWriter(fmt.Errorf("begin: %w", err))
	}
	err = f(t)
	if err == nil {
		err = t.save()
	}
	if err != nil {
		w.names = newNames()
		if _, failed := w.conn.ExecContext(ctx, "rollback"); failed != nil {
			return s.dropWriter(err)
		}
		return err
	}
	commit, err := t.commitQuery()
	if err == nil {
		_, err = w.conn.ExecContext(ctx, commit)
	}
	if err != nil {
		return s.dropWriter(fmt.Errorf("commit: %w", err))
	}
	t.publish()
	return nil
}

// tx is one transaction of the journal. What is inserted gathers in the bulks
// until something has to be read again.
type tx struct {
	ctx   context.Context
	store *Store
	w     *writer
	last  int64 // newest position before it

	newest  journal.Mark // of what it appended
	doubted bool         // it put logs in doubt
	files   bool         // it named files

	channels map[threads.Hash]*touched
	deltas   map[int64]*delta
	recalled map[journal.Key]journal.Remembered
	dropped  bool  // bytes of something erased may lie about now
	replayed int64 // while the journal is replayed: how far; what lies beyond is not here yet

	events, messages, search, writes, erasures, outcomes bulk

	at      time.Time            // when what is appended was got
	records []threads.AuditEntry // to be written with the rest
}

// touched is a channel that the transaction changes.
type touched struct {
	id      int64
	channel *threads.Channel
	version int64
	orphans bool
	asks    bool // something was once asked in it
	control bool
	logs    map[threads.LogID]bool
	dirty   map[threads.Hash]bool // objects to settle; false when only their version moves
}

func newTx(ctx context.Context, s *Store, w *writer) *tx {
	t := &tx{
		ctx: ctx, store: s, w: w,
		channels: map[threads.Hash]*touched{}, deltas: map[int64]*delta{}, recalled: map[journal.Key]journal.Remembered{},
		events: bulk{table: "event", columns: []column{
			{"pos", "bigint"},
			{"log", "bigint"},
			{"seq", "bigint"},
			{"hash8", "bigint"},
			{"flags", "bigint"},
			{"at", "bigint"},
			{"header", "bytea"},
			{"sig", "bytea"},
			{"content", "bytea"},
		}},
		messages: bulk{table: "message", columns: []column{
			{"pos", "bigint"},
			{"thread", "bigint"},
			{"author", "bigint"},
			{"sort", "bigint"},
			{"flags", "bigint"},
			{"version", "bigint"},
			{"parent", "bytea"},
		}},
		search: bulk{table: "search", columns: []column{{"rowid", "bigint"}, {"words", "text"}}},
		writes: bulk{table: "write", columns: []column{
			{"channel", "bigint"},
			{"object", "bytea"},
			{"field", "text"},
			{"stamp", "bytea"},
			{"pos", "bigint"},
			{"actor", "bigint"},
			{"own", "bigint"},
			{"value", "text"},
		}},
		erasures: bulk{table: "erasure", columns: []column{
			{"channel", "bigint"},
			{"target", "bytea"},
			{"stamp", "bytea"},
			{"pos", "bigint"},
			{"actor", "bigint"},
			{"owner", "bigint"},
			{"thread", "bytea"},
			{"parent", "bytea"},
		}},
		outcomes: bulk{table: "idempotency", columns: []column{
			{"person", "bigint"}, {"key", "text"}, {"digest", "bytea"}, {"events", "bytea"}, {"at", "bigint"},
		}},
	}
	if s.postgres {
		t.search = bulk{table: "message_search", columns: []column{{"pos", "bigint"}, {"tsv", "tsvector"}}}
	}
	return t
}

func (t *tx) begin() error {
	query := "begin immediate"
	if t.store.postgres {
		query = fmt.Sprintf("begin; set local idle_in_transaction_session_timeout = %d; select pg_advisory_xact_lock(%d)", penIdleTimeout, journalLock)
	}
	_, err := t.w.conn.ExecContext(t.ctx, query)
	return err
}

// save writes what is still held back: rows, counters, heads.
func (t *tx) save() error {
	if err := t.flush(); err != nil {
		return err
	}
	if t.dropped {
		if err := t.exec(sweepDue, 1); err != nil {
			return err
		}
	}
	if err := t.saveDeltas(); err != nil {
		return err
	}
	for _, ch := range t.channels {
		if err := t.saveChannel(ch); err != nil {
			return fmt.Errorf("save channel %s: %w", ch.channel.ID, err)
		}
	}
	return t.store.audit(t.ctx, t.w.conn, t.records...)
}

// record has the audit log tell of what the transaction does.
func (t *tx) record(who, what, object, detail string) {
	t.records = append(t.records, threads.AuditEntry{Act: threads.Act{Who: who, At: t.at}, What: what, Object: object, Detail: detail})
}

// flush inserts the rows gathered so far.
func (t *tx) flush() error {
	for _, b := range []*bulk{&t.events, &t.messages, &t.search, &t.writes, &t.erasures, &t.outcomes} {
		if err := t.insert(b); err != nil {
			return fmt.Errorf("insert into %s: %w", b.table, err)
		}
	}
	return nil
}

// publish makes the committed channels those that everyone sees.
func (t *tx) publish() {
	for id, ch := range t.channels {
		t.store.shared.keep(id, knownOf(ch.channel, ch.version))
	}
}

func (t *tx) exec(query string, args ...any) error {
	stmt, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(t.ctx, args...)
	return err
}

// row scans the one row of a query into dest and reports whether there was one.
func (t *tx) row(dest []any, query string, args ...any) (bool, error) {
	stmt, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return false, err
	}
	err = stmt.QueryRowContext(t.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each calls f for every row of a query.
func (t *tx) each(f func(*sql.Rows) error, query string, args ...any) error {
	stmt, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Last is the newest position in the journal before the transaction.
func (t *tx) Last() (int64, error) {
	_, err := t.row([]any{&t.last}, lastQuery)
	if t.last != t.w.last { // another node wrote meanwhile, and may have erased or judged again
		t.w.names.targets.Purge()
		t.w.last = t.last
	}
	return t.last, err
}

const lastQuery = `select coalesce(max(pos), 0) from (
	select max(pos) as pos from event union all select max(pos) from evidence
	union all select max(pos) from arrival union all select max(pos) from fork) as newest`

// Expected reports whether this server has accepted an invitation into the channel.
func (t *tx) Expected(channel threads.Hash) (bool, error) {
	var one int
	return t.row([]any{&one}, "select 1 from expected where channel = ?", raw(channel))
}
