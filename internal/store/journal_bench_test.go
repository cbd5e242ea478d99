package store_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

// BenchmarkPost is the write path without a client: 32 callers post messages of
// 300 bytes, each waiting for the commit.
func BenchmarkPost(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		benchmarkPost(b, "sqlite:"+filepath.Join(b.TempDir(), "m.db"))
	})
	b.Run("postgres", func(b *testing.B) { benchmarkPost(b, pgtest.URL(b)) })
}

func benchmarkPost(b *testing.B, url string) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{URL: url, Server: "kobo.example"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	j := journal.New(journal.Options{
		Store: s, Clock: time.Now,
		Pen: threads.Pen{
			Server: "kobo.example", Key: threads.Key{ID: "https://kobo.example/keys/1", Public: private.Public().(ed25519.PublicKey)},
			Sign:   func(m []byte) []byte { return ed25519.Sign(private, m) },
			Random: func() (r [16]byte) { _, _ = rand.Read(r[:]); return },
		},
	})
	ana := threads.PersonID("kobo.example", [16]byte{1})
	do := func(cmd threads.Command) journal.Result {
		r, err := j.Do(ctx, journal.Request{Actor: ana, Command: cmd, Now: time.Now()})
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	channel := do(threads.CreateChannel{Settings: threads.Settings{Name: "Harbour", Kind: "work", History: "full"}}).IDs[0]
	title := "Cranes"
	thread := do(threads.StartThread{Channel: channel, Content: threads.ThreadContent{Title: &title}}).IDs[0]
	var n atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				body := fmt.Sprintf("%d the crane at the north quay waits for parts from Osaka, the crew of the second shift asks who signs for them, and whether the weekend counts; customs wants the papers by Thursday noon at the latest. Berlin has answered that the freight office is closed until Monday and that the invoice needs a stamp.", i)
				if _, err := j.Do(ctx, journal.Request{Actor: ana, Now: time.Now(), Command: threads.Post{Channel: channel, Message: threads.Message{Thread: thread, Body: body[:300]}}}); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
}
