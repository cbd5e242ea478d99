package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
	"meridian/threads/journal"
)

// Rows are some rows of one table in a form that knows no kind of database:
// integers and truths are int64, texts string, bytes []byte, what is absent nil.
type Rows struct {
	Table   string
	Columns []Column
	Rows    [][]any
}

// Column is a column and what it holds: "bigint", "boolean", "text" or "bytea".
type Column struct{ Name, Kind string }

// copyRows and copyBytes bound what Export passes on at a time.
const (
	copyRows  = 500
	copyBytes = 1 << 20
)

// table is a table of the schema as the database describes it.
type table struct {
	name    string
	columns []column
	refers  bool // to rows of other tables, which must be there first
}

// ownTables are kept by each database for itself: what migrations were applied,
// which nodes run on it, and the index of words, which is made anew.
var ownTables = []string{"goose_db_version", "message_search", "node", "lease"}

// tables lists what is copied: each table after those that it refers to.
func (s *Store) tables(ctx context.Context, q querier) ([]table, error) {
	var tables []table
	err := eachOf(ctx, q, func(rows *sql.Rows) error {
		var name, column, kind string
		var refers bool
		if err := rows.Scan(&name, &column, &kind, &refers); err != nil {
			return err
		}
		if slices.Contains(ownTables, name) {
			return nil
		}
		if len(tables) == 0 || tables[len(tables)-1].name != name {
			tables = append(tables, table{name: name, refers: refers})
		}
		last := &tables[len(tables)-1]
		k, err := columnOf(column, kind)
		last.columns = append(last.columns, k)
		return err
	}, s.schemaQuery())
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	slices.SortStableFunc(tables, func(a, b table) int { return int(number(a.refers) - number(b.refers)) })
	return tables, nil
}

func (s *Store) schemaQuery() string {
	if s.postgres {
		return `select c.table_name::text, c.column_name::text, c.data_type::text,
				exists (select 1 from information_schema.table_constraints f where f.table_schema = c.table_schema
					and f.table_name = c.table_name and f.constraint_type = 'FOREIGN KEY')
			from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
			where table_schema = current_schema() and t.table_type = 'BASE TABLE'
			order by c.table_name, c.ordinal_position`
	}
	return `select t.name, c.name, lower(c.type), exists (select 1 from pragma_foreign_key_list(t.name))
		from pragma_table_list t, pragma_table_info(t.name) c
		where t.schema = 'main' and t.type = 'table' and t.name not like 'sqlite_%' order by t.name, c.cid`
}

// columnOf is a column with the kind that it has on PostgreSQL.
func columnOf(name, kind string) (column, error) {
	switch kind {
	case "integer", "bigint":
		return column{name, "bigint"}, nil
	case "boolean", "text", "bytea":
		return column{name, kind}, nil
	case "blob":
		return column{name, "bytea"}, nil
	}
	return column{}, fmt.Errorf("column %s is of the kind %s, which is not copied", name, kind)
}

// Export passes every row of one snapshot of the database to put, table by
// table; what it passes is put's to keep. What the database derives for itself
// is left out: the index of words and the record of migrations. It returns the
// state hash of every channel in that snapshot.
func (s *Store) Export(ctx context.Context, put func(Rows) error) (map[threads.Hash]threads.Hash, error) {
	var states map[threads.Hash]threads.Hash
	err := s.view(ctx, func(q *sqlx.Tx) (err error) {
		if err := s.export(ctx, q, put); err != nil {
			return err
		}
		states, err = s.states(ctx, q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("export the database: %w", err)
	}
	return states, nil
}

// States are the state hashes of all channels.
func (s *Store) States(ctx context.Context) (map[threads.Hash]threads.Hash, error) {
	var states map[threads.Hash]threads.Hash
	err := s.view(ctx, func(q *sqlx.Tx) (err error) {
		states, err = s.states(ctx, q)
		return err
	})
	return states, err
}

func (s *Store) states(ctx context.Context, q *sqlx.Tx) (map[threads.Hash]threads.Hash, error) {
	states := map[threads.Hash]threads.Hash{}
	var ids [][]byte
	if err := q.SelectContext(ctx, &ids, "select hash from channel"); err != nil {
		return nil, err
	}
	for _, id := range ids {
		state, err := s.stateHash(ctx, q, hashOf(id))
		if err != nil {
			return nil, fmt.Errorf("hash the state of %s: %w", hashOf(id), err)
		}
		states[hashOf(id)] = state.Hash
	}
	return states, nil
}

func (s *Store) export(ctx context.Context, q *sqlx.Tx, put func(Rows) error) error {
	tables, err := s.tables(ctx, q)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := s.exportTable(ctx, q, t, put); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

// exportTable reads through a cursor on PostgreSQL: its statements are bounded
// in time, and its driver would hold all rows of one in memory.
func (s *Store) exportTable(ctx context.Context, q *sqlx.Tx, t table, put func(Rows) error) error {
	out := &exporter{table: t, put: put}
	query := "select " + columnNames(t.columns) + " from " + t.name
	if !s.postgres {
		if err := eachOf(ctx, q, out.take, query); err != nil {
			return err
		}
		return out.flush()
	}
	if _, err := q.ExecContext(ctx, "declare exported no scroll cursor for "+query); err != nil {
		return err
	}
	for before := int64(-1); out.taken != before; {
		before = out.taken
		if err := eachOf(ctx, q, out.take, fmt.Sprintf("fetch %d from exported", copyRows)); err != nil {
			return err
		}
	}
	if _, err := q.ExecContext(ctx, "close exported"); err != nil {
		return err
	}
	return out.flush()
}

// exporter gathers the rows of a table.
type exporter struct {
	table table
	put   func(Rows) error
	rows  [][]any
	bytes int
	taken int64
}

func (x *exporter) take(rows *sql.Rows) error {
	row := make([]any, len(x.table.columns))
	into := make([]any, len(row))
	for i := range row {
		into[i] = &row[i]
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	for i, c := range x.table.columns {
		if err := portable(&row[i], c.kind); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		switch v := row[i].(type) {
		case []byte:
			x.bytes += len(v)
		case string:
			x.bytes += len(v)
		}
	}
	x.rows, x.taken = append(x.rows, row), x.taken+1
	if len(x.rows) >= copyRows || x.bytes >= copyBytes {
		return x.flush()
	}
	return nil
}

func (x *exporter) flush() error {
	if len(x.rows) == 0 {
		return nil
	}
	columns := make([]Column, len(x.table.columns))
	for i, c := range x.table.columns {
		columns[i] = Column{c.name, c.kind}
	}
	rows := Rows{Table: x.table.name, Columns: columns, Rows: x.rows}
	x.rows, x.bytes = nil, 0
	return x.put(rows)
}

// portable makes a value the one that both kinds of database know. Drivers tell
// texts and bytes apart by what a value looks like, so the column says it.
func portable(v *any, kind string) error {
	switch got := (*v).(type) {
	case nil, int64:
	case bool:
		*v = number(got)
	case []byte:
		if kind != "bytea" {
			*v = string(got)
		}
	case string:
		if kind == "bytea" {
			*v = []byte(got)
		}
	default:
		return fmt.Errorf("holds a %T, which is not copied", got)
	}
	return nil
}

// ErrNotEmpty is why a database is not filled.
var ErrNotEmpty = errors.New("it is not empty")

// Import fills an empty database with what from passes to put, in one
// transaction: all of it or nothing; Index must follow. Between two rows from may
// take as long as it likes. A database that anything was ever written to is
// refused with ErrNotEmpty, which names the table.
func (s *Store) Import(ctx context.Context, from func(put func(Rows) error) error) error {
	err := s.Write(ctx, func(opened journal.Tx) error {
		t := opened.(*tx)
		if err := t.takeTime(); err != nil {
			return err
		}
		tables, err := s.tables(ctx, t.w.conn)
		if err != nil {
			return err
		}
		if err := t.clearUnused(tables); err != nil {
			return err
		}
		if err := from(func(rows Rows) error { return t.importRows(tables, rows) }); err != nil {
			return err
		}
		return t.countOn()
	})
	if err != nil {
		return fmt.Errorf("fill database %s: %w", s.name, err)
	}
	return nil
}

// takeTime lets the transaction stand idle, as the pen must not elsewhere: nobody
// else writes to a database that is being filled.
func (t *tx) takeTime() error {
	if !t.store.postgres {
		return nil
	}
	return t.exec("set local idle_in_transaction_session_timeout = 0")
}

// usedTables hold something as soon as a database was used for anything.
var usedTables = []string{"event", "account", "partner", "person", "channel", "token", "audit"}

// clearUnused refuses a database that was used, and takes away what migrations
// put into a new one.
func (t *tx) clearUnused(tables []table) error {
	for _, name := range usedTables {
		var one int
		used, err := t.row([]any{&one}, "select 1 from "+name+" limit 1")
		if err != nil {
			return err
		}
		if used {
			return fmt.Errorf("%w: its table %s holds something; name a new database", ErrNotEmpty, name)
		}
	}
	for _, table := range slices.Backward(tables) {
		if err := t.exec("delete from " + table.name); err != nil {
			return err
		}
	}
	return nil
}

// importRows inserts rows whose table and columns must be those of this schema.
func (t *tx) importRows(tables []table, rows Rows) error {
	at := slices.IndexFunc(tables, func(known table) bool { return known.name == rows.Table })
	if at < 0 {
		return fmt.Errorf("%q is no table of this database", rows.Table)
	}
	b := bulk{table: rows.Table, rows: rows.Rows}
	for _, c := range rows.Columns {
		if !slices.Contains(tables[at].columns, column{c.Name, c.Kind}) {
			return fmt.Errorf("table %s has no column %q of the kind %q", rows.Table, c.Name, c.Kind)
		}
		b.columns = append(b.columns, column{c.Name, c.Kind})
	}
	for _, row := range rows.Rows {
		if len(row) != len(b.columns) {
			return fmt.Errorf("a row of %s has %d values for %d columns", rows.Table, len(row), len(b.columns))
		}
	}
	if err := t.insert(&b); err != nil {
		return fmt.Errorf("fill table %s: %w", rows.Table, err)
	}
	return nil
}

// countOn has the numbers that PostgreSQL gives go on after those taken over.
func (t *tx) countOn() error {
	if !t.store.postgres {
		return nil
	}
	var counted []string
	err := t.each(func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		counted = append(counted, name)
		return err
	}, `select table_name::text from information_schema.columns
		where table_schema = current_schema() and is_identity = 'YES' and column_name = 'id'`)
	for _, name := range counted {
		if err == nil {
			err = t.exec(fmt.Sprintf("select setval(pg_get_serial_sequence('%s', 'id'), (select coalesce(max(id), 0) + 1 from %s), false)", name, name))
		}
	}
	return err
}

// Index makes the words findable of every text that is shown: once, after Import.
func (s *Store) Index(ctx context.Context) error {
	err := s.Write(ctx, func(opened journal.Tx) error { return opened.(*tx).indexAll() })
	if err != nil {
		return fmt.Errorf("index what was imported: %w", err)
	}
	return nil
}

func (t *tx) indexAll() error {
	for after, more := int64(0), true; more; {
		last, err := t.indexThreads(after)
		if err != nil {
			return fmt.Errorf("index threads: %w", err)
		}
		after, more = last, last > after
	}
	for after, more := int64(0), true; more; {
		last, err := t.indexMessages(after)
		if err != nil {
			return fmt.Errorf("index messages: %w", err)
		}
		after, more = last, last > after
	}
	return nil
}

func (t *tx) indexThreads(after int64) (int64, error) {
	last := after
	err := t.each(func(rows *sql.Rows) error {
		var title, objective string
		err := rows.Scan(&last, &title, &objective)
		t.addWords(last, title+"\n"+objective, "")
		return err
	}, "select pos, title, objective from thread where pos > ? and hidden = 0 order by pos limit ?", after, rebuildPage)
	if err != nil {
		return last, err
	}
	return last, t.flush()
}

func (t *tx) indexMessages(after int64) (int64, error) {
	type message struct {
		row     *stored
		channel int64
	}
	var page []message
	err := t.each(func(rows *sql.Rows) error {
		m := message{row: &stored{}}
		var err error
		m.row.event, err = scanEvent(rows, &m.row.pos, &m.row.flags, &m.channel)
		page = append(page, m)
		return err
	}, `select e.header, e.sig, e.content, m.pos, e.flags, t.channel from message m
		join event e on e.pos = m.pos join thread t on t.id = m.thread
		where m.pos > ? and (m.flags & 3) = 0 order by m.pos limit ?`, after, rebuildPage)
	if err != nil {
		return after, err
	}
	for _, m := range page {
		_, text, err := t.standing(&touched{id: m.channel}, m.row)
		if err != nil {
			return after, fmt.Errorf("message %s: %w", m.row.event.ID, err)
		}
		if text != nil {
			t.addWords(m.row.pos, text.Body, searchMarks(text.AttributedTo))
		}
		after = m.row.pos
	}
	return after, t.flush()
}
