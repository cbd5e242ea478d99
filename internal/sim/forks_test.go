package sim

import (
	"fmt"
	"testing"
	"time"

	"meridian/threads"
)

// forking is a healed world of honest servers and a liar that has told the first two of them different
// things from some place of its log on, and is gone since.
func forking(t *testing.T, seed uint64, same, different int) (w *world, ch *channel, log threads.LogID) {
	w = newWorld(t, seed)
	w.net.faults = faults{}
	w.found()
	l := w.nodes[len(w.nodes)-1].liar
	ch = w.channels[0]
	left := l.node.channel(ch.id).Clone()
	var first, second []*threads.Event
	for range same {
		first = append(first, l.draft(left))
	}
	second = append(second, first...)
	right := left.Clone()
	for range different {
		first, second = append(first, l.draft(left)), append(second, l.draft(right))
	}
	l.push(w.nodes[0], first...)
	l.push(w.nodes[1], second...)
	log = first[0].Header.LogID()
	for i, c := range []*threads.Channel{left, right} {
		if got := w.nodes[i].channel(ch.id).LogOf(log); got.Hash != c.LogOf(log).Hash {
			t.Fatalf("%s has not taken its branch: it ends at %d", w.nodes[i].name, got.Seq)
		}
	}
	l.crash()
	w.nodes = w.nodes[:len(w.nodes)-1]
	return w, ch, log
}

// Equivocation is found within two exchanges among members, however deep it lies, and contained: all end
// the log right below the fork, hold the proof, and go on.
func TestTwoExchangesFindAFork(t *testing.T) {
	for _, depth := range []struct{ same, different int }{{0, 1}, {1, 1}, {40, 1}, {3, 60}, {60, 130}} {
		t.Run(fmt.Sprintf("%d equal, %d different", depth.same, depth.different), func(t *testing.T) {
			w, ch, log := forking(t, 1, depth.same, depth.different)
			defer w.close()
			before := w.nodes[0].channel(ch.id).LogOf(log).Seq - int64(depth.different)
			for range 2 {
				w.now = w.now.Add(91 * time.Second)
				for _, n := range w.nodes {
					w.step(n)
				}
			}
			for _, n := range w.nodes {
				c := n.channel(ch.id)
				if c.ForkOf(log).Seq != before+1 || c.LogOf(log).Seq != before {
					t.Errorf("%s: forked at %d, ends at %d; told from %d on", n.name, c.ForkOf(log).Seq, c.LogOf(log).Seq, before+1)
				}
			}
			w.settle()
			truth := w.truth(ch)
			if cut, closed := truth.CutOf(log); !closed || cut.Seq != before || truth.FinalAt(threads.Ref{LogID: log, Seq: before}) != cut.Hash {
				t.Errorf("the host has not frozen the log at %d: %+v", before, cut)
			}
		})
	}
}

// A fork below a place that the control log names takes nothing from those who hold the named branch, and
// the others come to hold it.
func TestTheNamedBranchOfAForkCounts(t *testing.T) {
	w, ch, log := forking(t, 1, 5, 40)
	defer w.close()
	host := w.nodes[0]
	head := host.channel(ch.id).LogOf(log).Head
	if !w.try(host, host.people[0], threads.NameHeads{Channel: ch.id}, nil) {
		t.Fatal("heads not named")
	}
	w.settle()
	for _, n := range w.nodes {
		if got := n.channel(ch.id).LogOf(log); got.Head != head {
			t.Errorf("%s ends the log at %d, not at the named %d", n.name, got.Seq, head.Seq)
		}
	}
}
