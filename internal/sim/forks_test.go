package sim

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
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
	for _, depth := range []struct{ same, different int }{{0, 1}, {40, 1}, {60, 130}} {
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
			for _, n := range w.nodes {
				at := threads.Ref{LogID: log, Seq: before + 1}
				if state, waits := n.channel(ch.id).ForkState(at); state != threads.ForkClosed || len(waits) > 0 {
					t.Errorf("%s says that the log is %s, waiting for %v", n.name, state, waits)
				}
			}
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
		for _, at := range n.channel(ch.id).Forked() {
			if state, _ := n.channel(ch.id).ForkState(at); state != threads.ForkDecided {
				t.Errorf("%s says that the log is %s", n.name, state)
			}
		}
	}
}

// T19: a host that shows one history of its members to one server and another to the next is found out
// within two exchanges among them. Nothing is taken back, nothing of either history is applied any more,
// changes are refused with a reason, and people go on talking on each side.
func TestAHostWithTwoHistoriesIsFoundOut(t *testing.T) {
	w := newWorld(t, 2)
	defer w.close()
	w.net.faults = faults{}
	w.found()
	ch, host := w.channels[0], newLiar(w.nodes[0], false)
	left, right := host.node.channel(ch.id).Clone(), host.node.channel(ch.id).Clone()
	pen := host.pen()
	pen.Now = host.now()
	history := func(c *threads.Channel, names ...string) (events []*threads.Event) {
		for _, name := range names {
			v := &threads.View{Channel: c, Actor: host.people[0], Pen: &pen}
			w.must(threads.ChangeSettings{Channel: ch.id, Settings: threads.Settings{Name: name}}.Decide(v))
			events = append(events, v.Events...)
		}
		return events
	}
	fork := left.Control.Seq + 1
	host.push(w.nodes[1], history(left, "Left", "More left", "Still more left")...)
	host.push(w.nodes[2], history(right, "Right", "More right")...)
	host.crash()
	honest := w.nodes[1:]
	shown := map[string]threads.Head{}
	for _, n := range honest {
		n.liar = nil
		shown[n.name] = n.channel(ch.id).Control
	}
	if a, b := shown[honest[0].name], shown[honest[1].name]; a.Seq != fork+2 || b.Seq != fork+1 {
		t.Fatalf("the histories were not taken: %v, %v", a, b)
	}
	for range 2 {
		w.now = w.now.Add(91 * time.Second)
		for _, n := range honest {
			w.step(n)
		}
	}
	for _, n := range honest[:2] {
		c := n.channel(ch.id)
		if !c.Split() || c.ForkOf(threads.ControlLog).Seq != fork || c.Control != shown[n.name] {
			t.Errorf("%s: stopped %v at %d, its control log ends at %d and did at %d", n.name, c.Split(), c.ForkOf(threads.ControlLog).Seq, c.Control.Seq, shown[n.name].Seq)
		}
		_, err := n.journal.Do(t.Context(), journal.Request{
			Actor: n.people[0], Now: n.now(), Command: threads.RemoveMember{Channel: ch.id, Person: host.people[0]},
		})
		var refused *threads.Error
		if !errors.As(err, &refused) || refused.Kind != threads.Conflict || refused.Code != "host_forked" {
			t.Errorf("%s: a change of members came to %v", n.name, err)
		}
		if _, err := n.exchange.Invite(t.Context(), n.people[0], ch.id, "p2@"+honest[0].name, threads.RoleMember); !errors.As(err, &refused) || refused.Code != "host_forked" {
			t.Errorf("%s: an invitation came to %v", n.name, err)
		}
	}
	var said []threads.Hash
	for _, n := range honest[:2] {
		title := "we go on"
		done, err := n.journal.Do(t.Context(), journal.Request{
			Actor: n.people[0], Now: n.now(), Command: threads.StartThread{Channel: ch.id, Content: threads.ThreadContent{Title: &title}},
		})
		w.must(err)
		said = append(said, done.IDs[0])
	}
	for range 2 {
		w.now = w.now.Add(91 * time.Second)
		for _, n := range honest {
			w.step(n)
		}
	}
	for i, n := range honest[:2] {
		for j, id := range said {
			if held := w.index(n)[id] != nil; held != (i == j) {
				t.Errorf("%s holds what was written on branch %d: %v", n.name, j, held)
			}
		}
	}
}
