package sim

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"meridian/threads"
)

// truth is the channel as the honest server has it that holds most of its
// control log, of those that can give it: the host, where that is honest and was
// not set back. A server that knows itself removed is asked only by servers that
// do not know of that. If those who remain do not know it as a member, or nobody
// remains (a host whose only members were removed is set back to before they
// joined, or loses its database), then what it alone holds is lost to the channel;
// a channel that nobody is in has no truth.
func (w *world) truth(ch *channel) *threads.Channel {
	var most *threads.Channel
	var removed []*node
	for _, n := range w.nodes {
		c := n.channel(ch.id)
		switch {
		case n.liar != nil || c == nil:
		case !c.IsMember(n.name):
			removed = append(removed, n)
		case most == nil || c.Control.Seq > most.Control.Seq:
			most = c
		}
	}
	for range removed { // what one of them gives may make another known
		for _, n := range removed {
			if c := n.channel(ch.id); most != nil && most.IsMember(n.name) && c.Control.Seq > most.Control.Seq {
				most = c
			}
		}
	}
	return most
}

// fullest is the channel as the honest server has it that holds most of its
// control log, whoever may still be given that.
func (w *world) fullest(ch *channel) *threads.Channel {
	var most *threads.Channel
	for _, n := range w.nodes {
		if c := n.channel(ch.id); n.liar == nil && c != nil && (most == nil || c.Control.Seq > most.Control.Seq) {
			most = c
		}
	}
	return most
}

// members are the honest servers that the truth knows as members.
func (w *world) members(truth *threads.Channel) []*node {
	var members []*node
	for _, n := range w.nodes {
		if n.liar == nil && truth.IsMember(n.name) {
			members = append(members, n)
		}
	}
	return members
}

// unequal says where two honest members differ, "" where none do.
func (w *world) unequal() string {
	for _, ch := range w.channels {
		truth := w.truth(ch)
		if truth == nil {
			continue
		}
		if w.severed(ch, truth) {
			continue
		}
		if diff := w.heads(ch, truth); diff != "" {
			return diff
		}
		groups := map[string]*node{}
		for _, n := range w.members(truth) {
			key := w.beginning(ch, n)
			first := groups[key]
			if first == nil {
				groups[key] = n
				continue
			}
			if diff := w.compare(ch, first, n); diff != "" {
				return fmt.Sprintf("channel %.8s: %s and %s differ: %s", ch.id, first.name, n.name, diff)
			}
		}
	}
	return ""
}

// heads compares how far members have the logs, and whether those who were
// removed have been told.
func (w *world) heads(ch *channel, truth *threads.Channel) string {
	for _, n := range w.nodes {
		c := n.channel(ch.id)
		if n.liar == nil && truth.WasMember(n.name) && !truth.IsMember(n.name) && (c == nil && !n.setBack || c != nil && c.Control.Seq < truth.RemovedAt(n.name)) {
			return fmt.Sprintf("channel %.8s: %s does not know that it was removed", ch.id, n.name)
		}
	}
	var want []string
	for _, n := range w.members(truth) {
		c := n.channel(ch.id)
		if c == nil || c.Control != truth.Control {
			return fmt.Sprintf("channel %.8s: %s has not all of the control log: %s", ch.id, n.name, w.controls(ch))
		}
		var got []string
		for _, h := range c.Frontier() {
			if !w.heldBySome(ch, truth, h.LogID) {
				continue
			}
			got = append(got, fmt.Sprintf("%s/%d:%d=%.8s", h.Origin, h.Epoch>>32, h.Seq, h.Hash))
			if from := c.Logs[h.LogID].From; c.Settings.History == "full" && from > w.lowest(ch, truth, h.LogID) {
				return fmt.Sprintf("channel %.8s: %s holds %s only from %d", ch.id, n.name, h.Origin, from)
			}
		}
		if want == nil {
			want = got
		} else if !slices.Equal(want, got) {
			return fmt.Sprintf("channel %.8s: %s has %v, others %v", ch.id, n.name, got, want)
		}
	}
	return ""
}

// lowest is where the copy of a log begins that reaches down furthest. What its server lost before
// anybody had it is in none.
func (w *world) lowest(ch *channel, truth *threads.Channel, id threads.LogID) int64 {
	lowest := int64(math.MaxInt64)
	for _, n := range w.members(truth) {
		if c := n.channel(ch.id); c != nil && c.Logs[id] != nil {
			lowest = min(lowest, c.Logs[id].From)
		}
	}
	return lowest
}

// severed reports whether a log was lost where a member's copy begins, before that
// member or anybody else had what lies below: nothing joins what its server still
// has to what the member holds.
func (w *world) severed(ch *channel, truth *threads.Channel) bool {
	held, joint := map[threads.LogID]int64{}, map[threads.LogID]int64{}
	for _, n := range w.members(truth) {
		c := n.channel(ch.id)
		if c == nil {
			continue
		}
		for id, l := range c.Logs {
			joint[id] = max(joint[id], l.From-1)
			if l.Seq >= l.From {
				held[id] = max(held[id], l.Seq)
			}
		}
	}
	for id, seq := range joint {
		if held[id] > 0 && held[id] < seq {
			return true
		}
	}
	return false
}

// heldBySome reports whether a member holds an event of a log. One whose server lost it, and whose
// other members came later, is nothing but a place where their copies would have begun.
func (w *world) heldBySome(ch *channel, truth *threads.Channel, id threads.LogID) bool {
	return slices.ContainsFunc(w.members(truth), func(n *node) bool {
		c := n.channel(ch.id)
		return c != nil && c.Logs[id] != nil && c.Logs[id].Seq >= c.Logs[id].From
	})
}

// controls is how far everybody has the control log, and whom they take for the host.
func (w *world) controls(ch *channel) (all string) {
	for _, n := range w.nodes {
		if c := n.channel(ch.id); c != nil {
			all += fmt.Sprintf(" %s %d=%.8s host %s members %v;", n.name, c.Control.Seq, c.Control.Hash, c.Host, c.Servers())
		}
	}
	return all
}

// beginning groups members that must hold the same: those whose copies start at
// the same places. In a channel without earlier history a server that came back
// still has what it held before, and is compared with nobody.
func (w *world) beginning(ch *channel, n *node) string {
	c := n.channel(ch.id)
	if c.Settings.History == "full" {
		return ""
	}
	key := ""
	for _, h := range c.Frontier() {
		key += fmt.Sprintf("%s %d %d,", h.Origin, h.Epoch, c.Logs[h.LogID].From)
	}
	if w.cameBack(ch, n) {
		key += n.name
	}
	return key
}

// cameBack reports whether a server was removed from a channel once, as far as
// it knows itself.
func (w *world) cameBack(ch *channel, n *node) bool {
	for _, e := range n.entries() {
		if e.Event.Channel() == ch.id && e.Event.Header.Type == threads.TypeServerRemoved &&
			bytes.Contains(e.Event.Content, []byte(`"server":"`+n.name+`"`)) {
			return true
		}
	}
	return false
}

// compare compares all that two members derive from a channel, line by line.
func (w *world) compare(ch *channel, a, b *node) string {
	ctx := context.Background()
	first, err := a.store.StateHash(ctx, ch.id)
	w.must(err)
	second, err := b.store.StateHash(ctx, ch.id)
	w.must(err)
	left, err := a.store.Dump(ctx, ch.id)
	w.must(err)
	right, err := b.store.Dump(ctx, ch.id)
	w.must(err)
	if !bytes.Equal(left, right) {
		return firstDifference(strings.Split(string(left), "\n"), strings.Split(string(right), "\n"))
	}
	if first.Hash != second.Hash {
		return fmt.Sprintf("state hashes %s and %s of equal dumps", first.Hash, second.Hash)
	}
	return ""
}

func firstDifference(a, b []string) string {
	for _, line := range a {
		if _, found := slices.BinarySearch(b, line); !found {
			return fmt.Sprintf("only the first has\n%.600s\nand the second\n%s", line, strings.Join(nearest(line, b), "\n"))
		}
	}
	for _, line := range b {
		if _, found := slices.BinarySearch(a, line); !found {
			return fmt.Sprintf("only the second has\n%.600s\nand the first\n%s", line, strings.Join(nearest(line, a), "\n"))
		}
	}
	return ""
}

// nearest are the lines that begin most like the one given.
func nearest(line string, lines []string) []string {
	for length := len(line) * 3 / 4; length > 0; length /= 2 {
		var found []string
		for _, other := range lines {
			if strings.HasPrefix(other, line[:length]) {
				found = append(found, other)
			}
		}
		if len(found) > 0 {
			return found[:min(len(found), 5)]
		}
	}
	return nil
}
