package sim

import (
	"context"
	"fmt"
	"os"

	"meridian/threads"
	"meridian/threads/journal"
)

// backUp keeps a copy of a server's database, of which it may be set back later.
func (w *world) backUp() bool {
	n := w.pick()
	if !n.up() || n.liar != nil {
		return false
	}
	n.crash()
	n.backup = w.databaseOf(n)
	n.start()
	w.note("%s backed up", n.name)
	return true
}

// databaseOf is the database of a server that is down.
func (w *world) databaseOf(n *node) []byte {
	database, err := os.ReadFile(n.path)
	w.must(err)
	return database
}

// rollBack puts an older copy of its database under a server.
func (w *world) rollBack() bool {
	n := w.pick()
	if n.backup == nil || w.rng.IntN(2) == 0 {
		return false
	}
	w.setBack(n, n.backup)
	w.note("%s rolled back to position %d", n.name, w.newest(n).Pos)
	return true
}

// loseDatabase leaves a server nothing but its key: its people are made anew,
// under the ids that they had, and its partners are asked again.
func (w *world) loseDatabase() bool {
	n := w.pick()
	if n.liar != nil || w.rng.IntN(3) > 0 {
		return false
	}
	w.setBack(n, w.empty)
	w.makePeople(n)
	w.partnerAgain(n)
	w.note("%s lost its database", n.name)
	return true
}

// setBack replaces a server's database. What its clients were told is not known
// there any more.
func (w *world) setBack(n *node, database []byte) {
	if n.up() {
		n.crash()
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		w.must(os.RemoveAll(n.path + suffix))
	}
	w.must(os.WriteFile(n.path, database, 0o600))
	n.setBack = true
	n.start()
	w.forgetLost(n)
}

// forgetLost forgets what a server held and was asked before it was set back.
func (w *world) forgetLost(n *node) {
	n.holds = map[threads.Hash]threads.Ref{}
	for _, e := range n.entries() {
		n.holds[e.Event.ID] = e.Event.Header.Ref()
	}
	w.acked, w.unsure = without(w.acked, n), without(w.unsure, n)
}

func without(all []*attempt, n *node) []*attempt {
	var rest []*attempt
	for _, a := range all {
		if a.node != n {
			rest = append(rest, a)
		}
	}
	return rest
}

// heldByMember reports whether an honest member holds the event, or did and was
// never set back. Of a channel that nobody honest is in nothing is held.
func (w *world) heldByMember(truth *threads.Channel, id threads.Hash) bool {
	if truth == nil {
		return false
	}
	for _, n := range w.members(truth) {
		if _, held := n.holds[id]; held {
			return true
		}
	}
	return false
}

// newest is the newest event of a server's journal.
func (w *world) newest(n *node) journal.Mark {
	m, err := n.store.Newest(context.Background())
	w.must(err)
	return m
}

// startedDoubtful holds a database against the mark beside it, as a server does
// when it starts.
func (n *node) startedDoubtful() {
	w, ctx := n.world, context.Background()
	newest := w.newest(n)
	if n.marks == nil { // the mark beside it went back with it, or there never was one
		n.mark = newest
	}
	n.marks = []journal.Mark{n.mark}
	held := newest.Pos == 0
	if !held {
		var err error
		held, err = n.store.Holds(ctx, n.mark)
		w.must(err)
	}
	if !held {
		for n.journal.Doubt(ctx) != nil { // the disk may not confirm
		}
		w.counts.add("doubtful start")
		return // the old mark stays until something is committed
	}
	n.mark, n.marks = newest, []journal.Mark{newest}
}

// partnerAgain renews the partnerships of a server that lost its database, as
// far as the others can be reached now.
func (w *world) partnerAgain(n *node) {
	ctx := context.Background()
	for _, other := range w.nodes {
		if other == n || !n.up() {
			continue
		}
		if p, err := n.store.Partner(ctx, other.name); err == nil && p.State == threads.PartnerAllowed {
			continue
		}
		if _, err := n.exchange.AddPartner(ctx, threads.ByAdmin, other.name); err != nil {
			continue
		}
		_, err := n.exchange.AllowPartner(ctx, threads.ByAdmin, other.name, "")
		w.note("%s has %s as partner again: %v", n.name, other.name, err)
	}
}

func (w *world) makePeople(n *node) {
	for i := range 3 {
		_, err := n.store.CreatePerson(context.Background(), threads.NewPerson{ID: personID(n.name, i), Name: fmt.Sprint("p", i), Created: n.now()})
		w.must(err)
	}
}
