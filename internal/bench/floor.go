package bench

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// The table and the statement are the same on both databases, but for the names
// of types and of parameters. The key is integer on SQLite, where that is the
// table's own order.
const (
	floorTable  = "create table floor (id %s primary key, further bigint not null, body %s not null)"
	floorIndex  = "create index floor_further on floor (further)"
	floorInsert = "insert into floor (id, further, body) values (%s)"
)

// fill inserts rows with a body of 1,000 bytes and keys in order, as many in
// each transaction as said, until d has passed. It returns what each
// transaction took, its commit included. db keeps one connection.
func fill(ctx context.Context, db *sql.DB, parameters string, perTransaction int, d time.Duration) ([]time.Duration, error) {
	insert, err := db.PrepareContext(ctx, fmt.Sprintf(floorInsert, parameters))
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	var took []time.Duration
	body := make([]byte, 1000)
	begun := time.Now()
	for id := int64(1); time.Since(begun) < d; {
		start := time.Now()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		bound := tx.StmtContext(ctx, insert)
		for range perTransaction {
			if _, err := bound.ExecContext(ctx, id, id, body); err != nil {
				return nil, err
			}
			id++
		}
		if err := tx.Commit(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}
