package journal_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

// node is a journal of its own on a database that several share. Nobody tells it
// what the others write, but for the test.
func node(t *testing.T, url string) *desk {
	t.Helper()
	opened, err := store.Open(context.Background(), store.Options{URL: url, Server: server})
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
	return d
}

func (d *desk) last() int64 {
	d.t.Helper()
	last, err := d.store.Last(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return last
}

// archived is what the journal's memory, or the store beneath it, says of the channel.
func (d *desk) archived(channel threads.Hash) bool {
	d.t.Helper()
	c, err := d.journal.Channel(context.Background(), channel)
	if err != nil || c == nil {
		d.t.Fatalf("channel: %v, %v", c, err)
	}
	return c.Archived
}

// TestWhatAnotherNodeWroteCountsHere by each way on which a node may come to know
// of it; before, memory may be old.
func TestWhatAnotherNodeWroteCountsHere(t *testing.T) {
	url := pgtest.URL(t)
	a, b := node(t, url), node(t, url)
	settings := threads.Settings{Name: "Harbour", Kind: "work", History: "full"}
	for way, learn := range map[string]func(after int64, channel threads.Hash){
		"told, with the channel": func(after int64, channel threads.Hash) {
			b.journal.Heard(journal.Elsewhere{After: after, Last: b.last(), Channels: []threads.Hash{channel}})
		},
		"told, of too much to name": func(after int64, _ threads.Hash) {
			b.journal.Heard(journal.Elsewhere{After: after, Last: b.last()})
		},
		"told after a gap": func(_ int64, channel threads.Hash) {
			b.journal.Heard(journal.Elsewhere{After: b.last() - 1, Last: b.last(), Channels: []threads.Hash{"another"}})
		},
		"told that news were lost":  func(int64, threads.Hash) { b.journal.Lost() },
		"by reading on in the log":  func(int64, threads.Hash) { b.journal.Reached(b.last()) },
		"by writing something else": func(int64, threads.Hash) { b.do(threads.CreateChannel{Settings: settings}, "") },
	} {
		t.Run(way, func(t *testing.T) {
			channel := b.do(threads.CreateChannel{Settings: settings}, "").IDs[0]
			after := b.last()
			changed := b.journal.Changed()
			a.do(threads.ChangeSettings{Channel: channel, Archived: new(true)}, "")
			a.do(threads.CreateChannel{Settings: settings}, "")
			if b.archived(channel) {
				t.Fatal("memory was not used at all, so that the test shows nothing")
			}
			learn(after, channel)
			if !b.archived(channel) {
				t.Error("memory is older than what this node knows of")
			}
			if _, err := b.journal.Do(context.Background(), journal.Request{
				Actor: ana, Now: now, Command: threads.StartThread{Channel: channel, Content: threads.ThreadContent{Title: new("Late")}},
			}); err == nil {
				t.Error("a thread was begun in a channel that another node had archived")
			}
			if way != "by reading on in the log" {
				select {
				case <-changed:
				default:
					t.Error("the followers were not woken")
				}
			}
		})
	}
}

// TestAnOwnCommitDoesNotBringBackWhatAnotherNodeChangedSince when the news of the
// change arrive before the commit is published.
func TestAnOwnCommitDoesNotBringBackWhatAnotherNodeChangedSince(t *testing.T) {
	url := pgtest.URL(t)
	a, b := node(t, url), node(t, url)
	settings := threads.Settings{Name: "Harbour", Kind: "work", History: "full"}
	channel := b.do(threads.CreateChannel{Settings: settings}, "").IDs[0]
	b.store.set(nil, func() error {
		after := b.last()
		a.do(threads.ChangeSettings{Channel: channel, Archived: new(true)}, "")
		b.journal.Heard(journal.Elsewhere{After: after, Last: b.last(), Channels: []threads.Hash{channel}})
		return nil
	})
	b.do(threads.StartThread{Channel: channel, Content: threads.ThreadContent{Title: new("Early")}}, "")
	b.store.set(nil, nil)
	if !b.archived(channel) {
		t.Error("the state before the other node's change is taken for the present one")
	}
}

// TestADatabaseThatLacksWhatAnotherNodeCommittedIsDoubted though this node has
// committed nothing that is missing.
func TestADatabaseThatLacksWhatAnotherNodeCommittedIsDoubted(t *testing.T) {
	b := node(t, pgtest.URL(t))
	settings := threads.Settings{Name: "Harbour", Kind: "work", History: "full"}
	channel := b.do(threads.CreateChannel{Settings: settings}, "").IDs[0]
	b.journal.Heard(journal.Elsewhere{After: b.last(), Last: b.last() + 1, Newest: journal.Mark{Pos: b.last() + 1, ID: threads.HashOf([]byte("lost"))}})
	b.journal.Lost()
	b.do(threads.CreateChannel{Settings: settings}, "")
	c, err := b.journal.Channel(context.Background(), channel)
	if err != nil || !c.InDoubt() {
		t.Errorf("the channel is not in doubt: %v", err)
	}
}
