package sim

import (
	"bytes"
	"context"
	"strings"

	"meridian/threads"
)

// check holds a world at rest to the properties.
func (w *world) check() {
	for _, n := range w.nodes { // a day later what nobody attached is gone too
		w.must(n.store.ForgetUploads(context.Background(), start.AddDate(1, 0, 0)))
		w.tidy(n)
	}
	w.checkEvents()
	for _, p := range append(append([]*post(nil), w.posts...), w.threads...) {
		if p.by.liar == nil {
			w.checkPost(p)
		}
	}
	w.checkErased()
	w.checkErasedPersons()
	w.checkContained()
	w.checkBounds()
	w.checkAudit()
	w.checkProfiles()
	w.checkRebuilt()
}

// checkEvents: what anybody honest holds is signed by its origin; one place of a
// log has one event everywhere; no server holds what was written after its removal.
func (w *world) checkEvents() {
	at := map[spot]threads.Hash{}
	for _, n := range w.nodes {
		entries := n.entries()
		for _, ch := range w.channels {
			if c := n.channel(ch.id); c != nil && c.IsMember(n.name) && w.cameBack(ch, n) {
				w.counts.add("re-admit")
			}
			if n.liar == nil {
				w.checkValidity(n, ch, entries)
			}
		}
		for _, entry := range entries {
			e := entry.Event
			ch := w.channelOf(e.Channel())
			if ch == nil {
				w.fail("%s holds an event of a channel that nobody made", n.name)
			}
			w.checkRemoved(n, ch, e)
			if n.liar != nil {
				continue
			}
			origin := w.net.nodes[e.Header.Origin]
			if origin == nil || !origin.signed(e) {
				w.fail("%s holds %v, which %s did not sign", n.name, e.Header.Ref(), e.Header.Origin)
			}
			if e.ID != threads.HashOf(e.HeaderBytes) || e.Content != nil && threads.HashOf(e.Content) != e.Header.Content {
				w.fail("%s holds other bytes than were signed at %v", n.name, e.Header.Ref())
			}
			if entry.Void && e.Content != nil && e.Header.Origin != n.name {
				w.fail("%s keeps the content of the void event %v", n.name, e.Header.Ref())
			}
			s := spot{ch.id, e.Header.Ref()}
			if other, ok := at[s]; ok && other != e.ID {
				w.fail("two events stand at %v in different servers", s.Ref)
			}
			at[s] = e.ID
		}
	}
}

// checkRemoved: to a removed server nothing went that was written in knowledge
// of its removal. A lying member can tell whatever it knows to whomever it likes.
func (w *world) checkRemoved(n *node, ch *channel, e *threads.Event) {
	truth := w.fullest(ch)
	if truth == nil || w.nodes[len(w.nodes)-1].liar != nil {
		return
	}
	own := n.channel(ch.id)
	if own != nil && truth.HashAt(own.Control.Seq) != own.Control.Hash {
		truth = own // it was removed in a part of the control log that the host, set back, wrote anew
	}
	if host := w.net.nodes[truth.Host]; !truth.WasMember(n.name) && host.channel(ch.id) != nil { // else its admission may be lost
		w.fail("%s holds an event of a channel that it never was in", n.name)
	}
	removed := truth.RemovedAt(n.name)
	if removed > 0 && e.Header.Origin != n.name && (e.Header.Log == threads.LogControl && e.Header.Seq > removed || e.Header.Control.Number >= removed) {
		w.fail("%s holds %v, written when it was removed by %d", n.name, e.Header.Ref(), removed)
	}
}

// checkPost: what a client was told is stored is at every honest member whose
// copy reaches back to it, once; unless a removal cut it off, then nowhere.
func (w *world) checkPost(p *post) {
	truth := w.truth(p.channel)
	event := w.anywhere(p.id)
	if p.by.setBack && !w.heldByMember(truth, p.id) {
		w.counts.add("lost with its only copy")
		return
	}
	if event == nil && p.by.unaware && w.toldTwice(p.channel, p.id) {
		w.counts.add("lost to a fork of its own")
		return
	}
	if event == nil {
		// One that was removed and then lost its database knows no channel any more.
		if c := p.by.channel(p.channel.id); c != nil && c.IsMember(p.by.name) && !w.wasCut(p.channel, p.by) {
			w.fail("%s lost %s, which it had acknowledged", p.by.name, p.id)
		}
		return // its server's removal cut it off, and nobody shows it; perhaps the server lost the channel since
	}
	if truth == nil || event.Header.Control.Number > truth.Control.Seq {
		w.counts.add("lost with its control log")
		return // its author was removed in a part of the control log that the host lost for good
	}
	id := event.Header.LogID()
	cut, closed := truth.CutOf(id)
	cutOff := closed && event.Header.Seq > cut.Seq
	void := truth.Void(&event.Header)
	for _, n := range w.members(truth) {
		c := n.channel(p.channel.id)
		found := w.find(n, p.id)
		switch {
		case cutOff && found != nil:
			w.fail("%s shows %v, which lies beyond the cut %d", n.name, event.Header.Ref(), cut.Seq)
		case !cutOff && found == nil && c.LogOf(id).From <= event.Header.Seq:
			w.fail("%s lacks %v, acknowledged by %s", n.name, event.Header.Ref(), p.by.name)
		}
		if void && n != p.by && w.mentions(n, p.channel, p.texts[:1]) { // it may be edited in a later grant
			w.fail("%s shows the void %v", n.name, event.Header.Ref())
		}
	}
}

// toldTwice reports whether honest servers ever took two events for the place at
// which an event stands, or for one below it in its log: of the two branches one
// at most is left, and a server that was set back unawares made both.
func (w *world) toldTwice(ch *channel, id threads.Hash) bool {
	for _, n := range w.nodes {
		if at, held := n.holds[id]; held {
			for ; at.Seq > 0; at.Seq-- {
				if len(w.taken[spot{ch.id, at}]) > 1 {
					return true
				}
			}
		}
	}
	return false
}

// find is the event at a node, nil when it does not hold it.
func (w *world) find(n *node, id threads.Hash) *threads.Event {
	return w.index(n)[id]
}

// anywhere is the event at whichever server holds it.
func (w *world) anywhere(id threads.Hash) *threads.Event {
	for _, n := range w.nodes {
		if e := w.find(n, id); e != nil {
			return e
		}
	}
	return nil
}

// index is what a node holds at rest.
func (w *world) index(n *node) map[threads.Hash]*threads.Event {
	if w.held[n] == nil {
		if w.held == nil {
			w.held = map[*node]map[threads.Hash]*threads.Event{}
		}
		w.held[n] = map[threads.Hash]*threads.Event{}
		for _, e := range n.entries() {
			w.held[n][e.Event.ID] = e.Event
		}
	}
	return w.held[n]
}

// mentions reports whether what a node derived from a channel, its search index
// included, has one of the texts.
func (w *world) mentions(n *node, ch *channel, texts []string) bool {
	dump, err := n.store.Dump(context.Background(), ch.id)
	w.must(err)
	for _, text := range texts {
		if bytes.Contains(dump, []byte(text+`"`)) {
			return true
		}
	}
	return false
}

// checkErased: a text that was erased, by somebody whose erasure counts, is at
// no honest server that has the erasure.
func (w *world) checkErased() {
	for _, p := range w.posts {
		truth := w.truth(p.channel)
		for _, id := range p.erasures {
			if truth == nil { // nobody but the liar is in it
				break
			}
			for _, n := range w.members(truth) {
				e := w.find(n, id)
				if e == nil || truth.Void(&e.Header) || e.Header.Actor != p.actor && !truth.May(&e.Header, threads.RightOwn) {
					continue
				}
				w.counts.add("erased for good")
				if w.mentions(n, p.channel, p.texts) || n.bytesLeft(p.file) {
					w.fail("%s still has what %s erased", n.name, e.Header.Actor)
				}
			}
		}
	}
}

// checkErasedPersons: of what a person wrote nothing is at any honest server that
// has the erasure of it.
func (w *world) checkErasedPersons() {
	for _, n := range w.nodes {
		if n.liar != nil {
			continue
		}
		erased := map[threads.Hash]map[string]bool{}
		for _, e := range n.entries() {
			if id := e.Event.Channel(); e.Event.Header.Type == threads.TypePersonErased && !e.Void {
				if erased[id] == nil {
					erased[id] = map[string]bool{}
				}
				erased[id][e.Event.Header.Actor] = true
			}
		}
		for _, p := range w.posts {
			if erased[p.channel.id][p.actor] {
				w.counts.add("person erased for good")
				if w.mentions(n, p.channel, p.texts) || n.bytesLeft(p.file) {
					w.fail("%s still has what %s wrote, who is erased", n.name, p.actor)
				}
			}
		}
	}
}

// checkRebuilt: what is derived anew from the log is what was derived as it came.
func (w *world) checkRebuilt() {
	ctx := context.Background()
	n := w.nodes[int(w.seed)%len(w.nodes)]
	for _, ch := range w.channels {
		if n.channel(ch.id) == nil {
			continue
		}
		live, err := n.store.Dump(ctx, ch.id)
		w.must(err)
		w.must(n.store.Rebuild(ctx, func(int64) {}))
		rebuilt, err := n.store.Dump(ctx, ch.id)
		w.must(err)
		if !bytes.Equal(live, rebuilt) {
			w.fail("%s rebuilt differs: %s", n.name, firstDifference(strings.Split(string(live), "\n"), strings.Split(string(rebuilt), "\n")))
		}
	}
}
