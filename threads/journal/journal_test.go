package journal_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

const server = "kobo.example"

var ana = threads.PersonID(server, [16]byte{1})

// faulty is a real store whose commits a test can make fail, hold up, or count.
type faulty struct {
	*store.Store
	mu     sync.Mutex
	writes int
	before func() error // runs instead of a write when it returns an error
	after  func() error // runs after a commit and can hide it
}

func (f *faulty) Write(ctx context.Context, work func(journal.Tx) error) error {
	f.mu.Lock()
	f.writes++
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	err := f.Store.Write(ctx, work)
	if err == nil && after != nil {
		err = after()
	}
	return err
}

func (f *faulty) set(before, after func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// desk is a journal over a faulty store, with a channel and a thread in it.
type desk struct {
	t       *testing.T
	store   *faulty
	journal *journal.Journal
	channel threads.Hash
	thread  threads.Hash
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	opened, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "j.db"), Server: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	seed := sha256.Sum256([]byte(server))
	private := ed25519.NewKeyFromSeed(seed[:])
	d := &desk{t: t, store: &faulty{Store: opened}}
	d.journal = journal.New(journal.Options{Store: d.store, Clock: time.Now, Pen: threads.Pen{
		Server: server,
		Key:    threads.Key{ID: "https://" + server + "/keys/1", Public: private.Public().(ed25519.PublicKey)},
		Sign:   func(m []byte) []byte { return ed25519.Sign(private, m) },
		Random: func() (b [16]byte) { _, _ = rand.Read(b[:]); return b },
	}})
	settings := threads.Settings{Name: "Harbour", Kind: "work", History: "full"}
	d.channel = d.do(threads.CreateChannel{Settings: settings}, "").IDs[0]
	title := "Pump 3"
	d.thread = d.do(threads.StartThread{Channel: d.channel, Content: threads.ThreadContent{Title: &title}}, "").IDs[0]
	return d
}

func (d *desk) do(c threads.Command, key string) journal.Result {
	d.t.Helper()
	result, err := d.journal.Do(context.Background(), journal.Request{Actor: ana, Command: c, Now: now, Key: key, Digest: threads.HashOf([]byte(key))})
	if err != nil {
		d.t.Fatalf("%T: %v", c, err)
	}
	return result
}

func (d *desk) post(ctx context.Context, body, key string) (journal.Result, error) {
	return d.journal.Do(ctx, journal.Request{
		Actor: ana, Now: now, Key: key, Digest: threads.HashOf([]byte(body)),
		Command: threads.Post{Channel: d.channel, Message: threads.Message{Thread: d.thread, Body: body}},
	})
}

// stored are the ids of all messages in the journal.
func (d *desk) stored() map[threads.Hash]bool {
	d.t.Helper()
	entries, err := d.store.Entries(context.Background(), 0, 10_000)
	if err != nil {
		d.t.Fatal(err)
	}
	ids := map[threads.Hash]bool{}
	for _, e := range entries {
		if e.Event.Header.Type == threads.TypeMessagePosted {
			ids[e.Event.ID] = true
		}
	}
	return ids
}

func TestRequestsThatComeTogetherShareTransactions(t *testing.T) {
	d := newDesk(t)
	open := make(chan struct{})
	d.store.set(func() error { <-open; return nil }, nil)
	before := d.store.writes
	var all sync.WaitGroup
	results := make([]journal.Result, 100)
	for i := range results {
		all.Go(func() {
			var err error
			if results[i], err = d.post(context.Background(), fmt.Sprint("message ", i), ""); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // so that many wait; fewer would only weaken the test
	close(open)
	all.Wait()
	stored := d.stored()
	for _, r := range results {
		if !stored[r.IDs[0]] {
			t.Errorf("%s was acknowledged and is not stored", r.IDs[0])
		}
	}
	if len(stored) != 100 {
		t.Errorf("%d messages stored of 100", len(stored))
	}
	if writes := d.store.writes - before; writes > 10 {
		t.Errorf("%d transactions for 100 requests that waited together", writes)
	}
}

func TestAnUnknownOutcomeIsSettledByItsKey(t *testing.T) {
	lost := errors.New("connection lost")
	for name, fault := range map[string]struct{ before, after func() error }{
		"failed":            {before: func() error { return lost }},
		"failed but stored": {after: func() error { return lost }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.store.set(fault.before, fault.after)
			_, err := d.post(context.Background(), "once", "key")
			var refused *threads.Error
			if !errors.As(err, &refused) || refused.Kind != threads.Unavailable {
				t.Fatalf("the caller is told %v", err)
			}
			d.store.set(nil, nil)
			result, err := d.post(context.Background(), "once", "key")
			if err != nil || result.Repeated != (fault.after != nil) {
				t.Fatalf("again: repeated %v, %v", result.Repeated, err)
			}
			if stored := d.stored(); len(stored) != 1 || !stored[result.IDs[0]] {
				t.Errorf("stored %v, answered %v", stored, result.IDs)
			}
			_, err = d.post(context.Background(), "another text", "key")
			if !errors.As(err, &refused) || refused.Code != "idempotency_mismatch" {
				t.Errorf("another request under the key: %v", err)
			}
		})
	}
}

func TestWhoGivesUpInTimeHasStoredNothing(t *testing.T) {
	d := newDesk(t)
	open, begun := make(chan struct{}), make(chan struct{})
	d.store.set(func() error { close(begun); <-open; return nil }, nil)
	first := make(chan error, 1)
	go func() {
		_, err := d.post(context.Background(), "first", "")
		first <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var refused *threads.Error
	if _, err := d.post(ctx, "given up", ""); !errors.As(err, &refused) || refused.Code != "timeout" {
		t.Errorf("the one who gave up is told %v", err)
	}
	d.store.set(nil, nil)
	close(open)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := d.post(context.Background(), "next", ""); err != nil {
		t.Error(err)
	}
	if stored := d.stored(); len(stored) != 2 {
		t.Errorf("%d messages stored, want the first and the next", len(stored))
	}
}

func TestNobodyWaitsForAWriterThatDied(t *testing.T) {
	d := newDesk(t)
	open, begun := make(chan struct{}), make(chan struct{})
	d.store.set(func() error { close(begun); <-open; panic("disk on fire") }, nil)
	died := make(chan any, 1)
	go func() {
		defer func() { died <- recover() }()
		_, _ = d.post(context.Background(), "first", "")
	}()
	<-begun
	second := make(chan error, 1)
	go func() {
		_, err := d.post(context.Background(), "second", "")
		second <- err
	}()
	time.Sleep(20 * time.Millisecond) // so that the second waits; else it only weakens the test
	d.store.set(nil, nil)
	close(open)
	if <-died == nil {
		t.Error("the panic was swallowed")
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
}
