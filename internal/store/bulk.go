package store

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// bulk is rows that go into one table together: on SQLite by a prepared
// statement for each, on PostgreSQL by one for all.
type bulk struct {
	table   string
	columns []column
	rows    [][]any
}

// column is a column and its type on PostgreSQL: bigint, boolean, bytea, text or
// tsvector.
type column struct{ name, kind string }

func (b *bulk) add(values ...any) { b.rows = append(b.rows, values) }

func (t *tx) insert(b *bulk) error {
	if len(b.rows) == 0 {
		return nil
	}
	rows := b.rows
	b.rows = b.rows[:0]
	if t.store.postgres {
		return t.exec(b.fromArrays(), b.arrays(rows)...)
	}
	query := b.oneRow()
	for _, row := range rows {
		if err := t.exec(query, row...); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) names() string { return columnNames(b.columns) }

func (b *bulk) oneRow() string {
	return "insert into " + b.table + " (" + b.names() + ") values (?" + strings.Repeat(", ?", len(b.columns)-1) + ")"
}

func (b *bulk) fromArrays() string {
	values := make([]string, len(b.columns))
	arrays := make([]string, len(b.columns))
	for i, c := range b.columns {
		values[i], arrays[i] = c.name, "?::"+c.kind+"[]"
		if c.kind == "tsvector" {
			values[i], arrays[i] = c.name+"::tsvector", "?::text[]"
		}
	}
	return fmt.Sprintf("insert into %s (%s) select %s from unnest(%s) as row (%s)",
		b.table, b.names(), strings.Join(values, ", "), strings.Join(arrays, ", "), b.names())
}

func (b *bulk) arrays(rows [][]any) []any {
	arrays := make([]any, len(b.columns))
	for i := range b.columns {
		literal := []byte{'{'}
		for j, row := range rows {
			if j > 0 {
				literal = append(literal, ',')
			}
			literal = appendElement(literal, row[i])
		}
		arrays[i] = string(append(literal, '}'))
	}
	return arrays
}

// appendElement appends v as an element of a PostgreSQL array literal.
func appendElement(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case []byte:
		if v == nil {
			return append(dst, "NULL"...)
		}
		dst = append(dst, `"\\x`...)
		return append(hex.AppendEncode(dst, v), '"')
	case string:
		dst = append(dst, '"')
		for i := range len(v) {
			if v[i] == '"' || v[i] == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, v[i])
		}
		return append(dst, '"')
	case nil:
		return append(dst, "NULL"...)
	}
	panic(fmt.Sprintf("no array element of type %T", v)) // a column added without its kind
}

func columnNames(columns []column) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.name
	}
	return strings.Join(all, ", ")
}
