package store

import (
	"context"
	"sync"
	"testing"

	"meridian/internal/store/pgtest"
)

// TestAReaderSkipsNothingWhileSeveralNodesWrite: were positions given without
// the lock, a reader could move past one that is committed later.
func TestAReaderSkipsNothingWhileSeveralNodesWrite(t *testing.T) {
	const nodes, posts = 3, 60
	url := pgtest.URL(t)
	reader := openTest(t, url, testServer)
	var writing sync.WaitGroup
	done := make(chan struct{})
	want := 0
	for range nodes {
		node, w := openTest(t, url, testServer), newWorld(t)
		thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
		for range posts {
			w.post(w.kobo, w.ana, thread.ID, "Noted.")
		}
		want += len(w.all)
		writing.Go(func() {
			for _, e := range w.all {
				if err := tryFeed(node, w.c.ID, e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() {
		writing.Wait()
		close(done)
	}()
	cursor, seen := int64(0), 0
	for ended := false; ; {
		entries, err := reader.Entries(context.Background(), cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			cursor = entry.Pos
			seen++
		}
		if len(entries) > 0 {
			continue
		}
		if ended {
			break
		}
		select {
		case <-done:
			ended = true
		default:
		}
	}
	if seen != want {
		t.Errorf("the reader saw %d events of %d", seen, want)
	}
}
