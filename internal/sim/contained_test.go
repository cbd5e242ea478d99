package sim

import (
	"context"
	"fmt"

	"meridian/threads"
)

// took notes that an honest server applied an event.
func (n *node) took(e *threads.Event) {
	at := spot{e.Channel(), e.Header.Ref()}
	if n.liar != nil {
		return
	}
	taken := n.world.taken
	if taken[at] == nil {
		taken[at] = map[threads.Hash]map[*node]bool{}
	}
	if taken[at][e.ID] == nil {
		taken[at][e.ID] = map[*node]bool{}
	}
	taken[at][e.ID][n] = true
	if writer := n.world.net.nodes[at.Origin]; len(taken[at]) > 1 && writer != nil && writer.liar == nil && !writer.unaware {
		n.world.signedTwo = fmt.Sprintf("%s signed two events for %v", at.Origin, at.Ref)
	}
}

// checkContained: an honest server signs one event for one place, unless it was
// put back with nothing to show it; and where two honest members, neither of which lost anything, ever
// took different events for one place of a data log, the log ends below that
// place at every member, unless the control log says which of the two counts.
func (w *world) checkContained() {
	if w.signedTwo != "" {
		w.fail("%s", w.signedTwo)
	}
	for at, events := range w.taken {
		truth := w.truth(w.channelOf(at.channel))
		if len(events) < 2 || truth == nil || at.LogID == threads.ControlLog {
			continue
		}
		tellers := 0
		for _, nodes := range events {
			for n := range nodes {
				if !n.setBack && truth.IsMember(n.name) && !w.cameBack(w.channelOf(at.channel), n) {
					tellers++
					break
				}
			}
		}
		if tellers < 2 {
			continue
		}
		w.counts.add("fork found")
		if cut, closed := truth.CutOf(at.LogID); closed && cut.Seq < at.Seq {
			continue
		}
		if !final(truth, at.Ref) {
			w.fail("members took %d events for %v, and the log goes on to %d", len(events), at.Ref, truth.LogOf(at.LogID).Seq)
		}
	}
}

// final reports whether a control event names the hash of the place, or of one
// above it in its log.
func final(c *threads.Channel, at threads.Ref) bool {
	for last := c.LogOf(at.LogID).Seq; at.Seq <= last; at.Seq++ {
		if c.FinalAt(at) != "" {
			return true
		}
	}
	return false
}

// admission is one of a server to a channel.
type admission struct {
	channel threads.Hash
	origin  string
	number  int64
}

// checkBounds: nobody takes up more logs of one admission than the protocol lets
// count.
func (w *world) checkBounds() {
	for _, n := range w.nodes {
		if n.liar != nil {
			continue
		}
		logs := map[admission]map[int64]bool{}
		for _, e := range n.entries() {
			h := &e.Event.Header
			if h.Log == threads.LogControl {
				continue
			}
			of := admission{e.Event.Channel(), h.Origin, h.Epoch >> 32}
			if logs[of] == nil {
				logs[of] = map[int64]bool{}
			}
			logs[of][h.Epoch] = true
		}
		for of, epochs := range logs {
			if len(epochs) > threads.MaxLogs {
				w.fail("%s holds %d logs of %s under one admission", n.name, len(epochs), of.origin)
			}
			if len(epochs) == threads.MaxLogs {
				w.counts.add("as many logs as count")
			}
		}
	}
}

// checkAudit: the audit log is whole, and names every content that an erasure took.
func (w *world) checkAudit() {
	ctx := context.Background()
	for _, n := range w.nodes {
		if n.liar != nil {
			continue
		}
		_, fault, err := n.store.VerifyAudit(ctx)
		w.must(err)
		if fault != nil {
			w.fail("%s: %v", n.name, fault)
		}
		recorded := map[string]bool{}
		for page := (threads.Page{Limit: 200}); ; {
			entries, next, err := n.store.AuditLog(ctx, page)
			w.must(err)
			for _, e := range entries {
				recorded[e.What+" "+e.Object] = true
			}
			if page.After = next; next == "" {
				break
			}
		}
		for _, e := range n.entries() {
			if target := e.Event.Header.Erases; target != "" && !e.Void && !recorded[threads.AuditErased+" "+target] {
				w.fail("%s: the audit log names no erasure of %s", n.name, target)
			}
		}
		w.counts.add("audit log checked")
	}
}

// checkProfiles: whatever a server knows of another's people is what that one told.
func (w *world) checkProfiles() {
	ctx := context.Background()
	for _, n := range w.nodes {
		for _, m := range w.nodes {
			if n.liar != nil || m.liar != nil || n == m {
				continue
			}
			told, err := m.store.PeopleByID(ctx, m.people)
			w.must(err)
			known, err := n.store.PeopleByID(ctx, m.people)
			w.must(err)
			for id, p := range known {
				if p.Version == told[id].Version && p.Address != "" && (p.Address != told[id].Address || p.Name != told[id].Name) {
					w.fail("%s knows %s of %s, whose server says %s", n.name, p.Name, p.Address, told[id].Name)
				}
			}
		}
	}
}
