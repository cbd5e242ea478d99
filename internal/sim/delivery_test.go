package sim

import (
	"context"

	"meridian/threads"
)

// checkCursors: at any moment, a partner has what a server's records say that it
// was given: everything up to the cursor in each channel without a row of its own.
func (w *world) checkCursors() {
	for _, n := range w.nodes {
		if n.liar != nil || !n.up() {
			continue
		}
		entries := n.entries()
		for _, m := range w.nodes {
			if m != n && m.liar == nil && m.up() && !m.setBack && !n.setBack {
				w.checkCursor(n, m, entries)
			}
		}
	}
}

func (w *world) checkCursor(n, m *node, entries []threads.Entry) {
	ctx := context.Background()
	partner, err := n.store.Partner(ctx, m.name)
	w.must(err)
	rows, _, err := n.store.PartnerChannels(ctx, m.name, threads.Page{Limit: 100})
	w.must(err)
	behind := map[threads.Hash]bool{}
	for _, row := range rows {
		behind[row.Channel] = true
	}
	for _, entry := range entries {
		h := &entry.Event.Header
		id := entry.Event.Channel()
		if entry.Pos > partner.Cursor || behind[id] || h.Log != threads.LogData || h.Origin != n.name {
			continue
		}
		// What was written before the two were in the channel together comes by comparison.
		c, there := n.channel(id), m.channel(id)
		if !c.IsMember(m.name) || h.Epoch>>32 != c.Admission(n.name) || h.Control.Number < c.Admission(m.name) {
			continue
		}
		if there == nil {
			w.fail("%s counts %v as given to %s, which has nothing of the channel", n.name, h.Ref(), m.name)
		}
		if cut, closed := there.CutOf(h.LogID()); closed && h.Seq > cut.Seq {
			continue
		}
		w.counts.add("cursor checked")
		if there.LogOf(h.LogID()).Seq < h.Seq {
			w.fail("%s counts %v as given to %s, which has %d", n.name, h.Ref(), m.name, there.LogOf(h.LogID()).Seq)
		}
	}
}
