package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"

	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

// BenchmarkAppend measures what a message costs the store in transactions of
// several sizes, beside a table of an integer key, a blob of 1,000 bytes and
// one further index, filled by prepared inserts, 100 a transaction.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind+"/floor", func(b *testing.B) { benchmarkFloor(b, openBench(b, kind)) })
		for _, size := range []int{1, 32, 100} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) { benchmarkAppend(b, openBench(b, kind), size) })
		}
	}
}

func openBench(b *testing.B, kind string) *Store {
	if kind == "postgres" {
		return openTest(b, pgtest.URL(b), testServer)
	}
	return openTest(b, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"), testServer)
}

func benchmarkFloor(b *testing.B, s *Store) {
	ctx := context.Background()
	blob := "blob"
	if s.postgres {
		blob = "bytea"
	}
	if _, err := s.writers.Exec("create table floor (id bigint primary key, other bigint, body " + blob + ")"); err != nil {
		b.Fatal(err)
	}
	if _, err := s.writers.Exec("create index floor_other on floor (other)"); err != nil {
		b.Fatal(err)
	}
	insert, err := s.writers.Preparex(s.bind("insert into floor (id, other, body) values (?, ?, ?)"))
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	body := make([]byte, 1000)
	b.ResetTimer()
	for i := 0; i < b.N; {
		tx, err := s.writers.BeginTxx(ctx, nil)
		if err != nil {
			b.Fatal(err)
		}
		fill(b, tx, insert, &i, body)
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func fill(b *testing.B, tx *sqlx.Tx, insert *sqlx.Stmt, i *int, body []byte) {
	prepared := tx.Stmtx(insert)
	for range 100 {
		if _, err := prepared.Exec(*i, int64(*i)*2654435761%(1<<40), body); err != nil {
			b.Fatal(err)
		}
		*i++
	}
}

func benchmarkAppend(b *testing.B, s *Store, size int) {
	w := newWorld(b)
	thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
	feed(b, s, w.c.ID, w.all...)
	before := bytesOf(b, s)
	last := int64(len(w.all))
	batches := sealed(b, w, thread.ID, size)
	b.ResetTimer()
	for _, events := range batches {
		err := s.Write(context.Background(), func(tx journal.Tx) error {
			entries := make([]journal.Entry, len(events))
			for i, e := range events {
				last++
				entries[i] = journal.Entry{Pos: last, Event: e, Effects: threads.EffectsOf(e), At: testNow}
			}
			return tx.Append(w.c, entries)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	n := float64(len(batches) * size)
	b.ReportMetric(n/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(bytesOf(b, s)-before)/n, "bytes/message")
}

// sealed are messages of 300 bytes of varied words, b.N together, in batches.
func sealed(b *testing.B, w *world, thread threads.Hash, size int) [][]*threads.Event {
	batches := make([][]*threads.Event, 0, b.N/size+1)
	for n := 0; n < b.N; n += size {
		var batch []*threads.Event
		for range size {
			m := threads.Message{Thread: thread, Body: prose()}
			content := threads.AppendMessage(nil, &m, w.kobo.pen(w.now).Salt())
			batch = append(batch, w.draft(w.kobo, threads.Draft{Type: threads.TypeMessagePosted, Actor: w.ana, Content: content}))
		}
		batches = append(batches, batch)
	}
	return batches
}

// prose is 300 bytes of words, some common and some rare.
func prose() string {
	var noise [64]byte
	_, _ = rand.Read(noise[:])
	text := ""
	for i := 0; len(text) < 300; i++ {
		if noise[i%64]%8 == 0 {
			text += base64.RawURLEncoding.EncodeToString(noise[i%60:i%60+4]) + " "
			continue
		}
		text += fmt.Sprintf("word%d ", int(noise[i%64])*int(noise[(i+1)%64])%2000)
	}
	return text[:300]
}

func bytesOf(b *testing.B, s *Store) (size int64) {
	if s.postgres {
		if err := s.readers.Get(&size, "select pg_database_size(current_database())"); err != nil {
			b.Fatal(err)
		}
		return size
	}
	s.pen.Lock()
	defer s.pen.Unlock()
	w, err := s.pinned(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.conn.ExecContext(context.Background(), "pragma wal_checkpoint(truncate)"); err != nil {
		b.Fatal(err)
	}
	var path string
	var seq, name any
	if err := w.conn.QueryRowxContext(context.Background(), "pragma database_list").Scan(&seq, &name, &path); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
