package store

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
)

// T65, T55: a database that says nothing any more, connections open, is given up
// at the deadline of a read, and served again as soon as it answers.
func TestASilentDatabaseIsGivenUpAtItsDeadline(t *testing.T) {
	database := pgtest.URL(t)
	proxy, through := pgtest.NewProxy(t, database)
	s := newStore(testServer)
	s.silence = pingEvery + time.Second
	if err := s.openPostgres(t.Context(), through, 0); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other := openTest(t, database, testServer)
	w := newWorld(t)
	thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
	feed(t, s, w.c.ID, w.all...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lost, heard atomic.Int64
	go s.Listen(ctx, func(n News) {
		if n.Lost {
			lost.Add(1)
		} else {
			heard.Add(1)
		}
	})
	hears := func(what string) {
		t.Helper()
		before := heard.Load()
		for begun := time.Now(); heard.Load() == before; time.Sleep(10 * time.Millisecond) {
			if err := other.Tell(ctx, News{Person: "p"}); err != nil || time.Since(begun) > time.Minute {
				t.Fatalf("%s nothing is heard: %v", what, err)
			}
		}
	}
	hears("before the silence")

	proxy.Silence(true)
	before := lost.Load()
	e := w.post(w.kobo, w.ana, thread.ID, "Into silence.")
	var all sync.WaitGroup
	for what, read := range map[string]func() error{
		"a write":          func() error { return tryFeed(s, w.c.ID, e) },
		"a channel":        func() error { _, err := s.Channel(t.Context(), w.c.ID); return err },
		"the journal":      func() error { _, err := s.Entries(t.Context(), 0, 10); return err },
		"whether it is up": func() error { return s.Ping(t.Context()) },
	} {
		all.Go(func() {
			begun := time.Now()
			if err := read(); err == nil || !Lost(err) {
				t.Errorf("%s of a silent database: %v", what, err)
			}
			t.Logf("%s was given up after %s", what, time.Since(begun).Round(time.Millisecond))
		})
	}
	all.Wait()
	for begun := time.Now(); lost.Load() == before; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("that news may be lost is not said")
		}
	}

	proxy.Silence(false)
	hears("after the silence")
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := tryFeed(s, w.c.ID, e)
		if err == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("after the silence: %v", err)
		}
	}
	holdsAll(t, s, w)
}
