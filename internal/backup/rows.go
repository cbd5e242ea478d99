package backup

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"meridian/internal/store"
)

// part is the first line of rows: their table and columns. Each further line is
// a row, an array in the order of the columns, bytes in base64.
type part struct {
	Table   string      `json:"table"`
	Columns [][2]string `json:"columns"` // name and kind
}

func encodeRows(rows store.Rows) ([]byte, error) {
	head := part{Table: rows.Table, Columns: make([][2]string, len(rows.Columns))}
	for i, c := range rows.Columns {
		head.Columns[i] = [2]string{c.Name, c.Kind}
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(head); err != nil {
		return nil, err
	}
	for _, row := range rows.Rows {
		if err := lines.Encode(row); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func decodeRows(raw []byte) (store.Rows, error) {
	lines := json.NewDecoder(bufio.NewReader(bytes.NewReader(raw)))
	lines.UseNumber()
	var head part
	if err := lines.Decode(&head); err != nil {
		return store.Rows{}, err
	}
	rows := store.Rows{Table: head.Table, Columns: make([]store.Column, len(head.Columns))}
	for i, c := range head.Columns {
		rows.Columns[i] = store.Column{Name: c[0], Kind: c[1]}
	}
	for {
		var row []any
		err := lines.Decode(&row)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err == nil {
			err = decodeRow(rows.Columns, row)
		}
		if err != nil {
			return rows, fmt.Errorf("row %d of table %s: %w", len(rows.Rows)+1, rows.Table, err)
		}
		rows.Rows = append(rows.Rows, row)
	}
}

// decodeRow makes the values of a row those that a database takes.
func decodeRow(columns []store.Column, row []any) error {
	if len(row) != len(columns) {
		return fmt.Errorf("has %d values for %d columns", len(row), len(columns))
	}
	for i, c := range columns {
		var err error
		switch v := row[i].(type) {
		case nil:
		case json.Number:
			row[i], err = v.Int64()
		case string:
			if c.Kind == "bytea" {
				row[i], err = base64.StdEncoding.DecodeString(v)
			}
		default:
			err = errors.New("is none of number, text and null")
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return nil
}
