package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"meridian/federation"
	"meridian/threads"
)

// rekey gives a server a new key, which its file keeps whatever happens next.
// revoked says that the old one was stolen.
func (w *world) rekey(revoked bool) bool {
	n := w.pick()
	ring, err := n.ring.Renew(n.name, randomness{w}, n.now(), revoked)
	w.must(err)
	n.ring = ring
	w.note("%s has key %s, revoked %v", n.name, n.key().ID, revoked)
	if n.up() {
		n.journal.Rekey(n.pen())
		w.must(n.exchange.Rekey(ring))
	}
	return true
}

// randomness is as random as the seed.
type randomness struct{ *world }

func (r randomness) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], r.rng.Uint64())
		copy(b[i:], word[:])
	}
	return len(b), nil
}

// recordKeys has a host record the keys of members that it learned of.
func (w *world) recordKeys(n *node) {
	w.net.prompt, n.gathers = w.pick().name, true
	defer func() { n.gathers = false }()
	if _, err := n.exchange.RenewKeys(context.Background(), n.now()); err != nil {
		w.note("%s: record keys: %v", n.name, err)
	}
}

// handOver has an owner ask their own server to become a channel's host.
func (w *world) handOver() bool {
	ch, n := w.anyChannel(), w.pick()
	if !n.up() {
		return false
	}
	c := n.channel(ch.id)
	if c == nil || c.Host == n.name {
		return false
	}
	for _, person := range n.people {
		if c.Role(person) != threads.RoleOwner {
			continue
		}
		err := n.exchange.Command(context.Background(), federation.Order{
			Actor: person, Key: w.newID(), Now: n.now(), Command: threads.HandOver{Channel: ch.id, Server: n.name},
		})
		w.note("%s takes over a channel of %s: %v", n.name, c.Host, err)
		return err == nil
	}
	return false
}

// signed reports whether one of the server's keys signed an event.
func (n *node) signed(e *threads.Event) bool {
	for _, k := range n.ring.Signed(n.name) {
		if k.ID == e.Header.Key {
			return threads.Verify(k.Public, threads.SigningBytes(e.HeaderBytes), e.Sig)
		}
	}
	return false
}

// wasCut reports whether a server's logs in a channel were closed at cuts once,
// as far as it knows itself.
func (w *world) wasCut(ch *channel, n *node) bool {
	if w.cameBack(ch, n) {
		return true
	}
	for _, e := range n.entries() {
		if e.Event.Channel() == ch.id && e.Event.Header.Type == threads.TypeServerKey &&
			bytes.Contains(e.Event.Content, []byte(`"server":"`+n.name+`"`)) && bytes.Contains(e.Event.Content, []byte(`"cuts":`)) {
			return true
		}
	}
	return false
}

// keyTurn is what the control log of a channel says of a server's key.
type keyTurn struct {
	number  int64
	key     string
	revoked bool // the one before
	removed bool // the server was, with its logs
	cuts    map[threads.LogID]int64
}

// keyTurns reads a control log, in order, by server.
func (w *world) keyTurns(control []*threads.Event) map[string][]keyTurn {
	turns := map[string][]keyTurn{}
	for _, e := range control {
		var c struct {
			controlContent
			Key struct{ ID string }
		}
		w.must(json.Unmarshal(e.Content, &c))
		server := ""
		switch e.Header.Type {
		case threads.TypeServerRemoved:
			all := turns[c.Server]
			turns[c.Server] = append(all, keyTurn{number: e.Header.Seq, key: all[len(all)-1].key, removed: true})
		case threads.TypeChannelHost:
			w.counts.add(e.Header.Type)
		case threads.TypeChannelCreated:
			server = e.Header.Origin
		case threads.TypeMemberJoined:
			server = threads.ServerOf(c.Person)
		case threads.TypeServerKey:
			server = c.Server
			w.counts.add(e.Header.Type + map[bool]string{true: " with cuts"}[c.Cuts != nil])
		}
		all := turns[server]
		if server == "" || len(all) > 0 && all[len(all)-1].key == c.Key.ID {
			continue
		}
		revoked := e.Header.Type == threads.TypeServerKey && c.Cuts != nil
		turns[server] = append(all, keyTurn{number: e.Header.Seq, key: c.Key.ID, revoked: revoked, cuts: c.cuts()})
	}
	return turns
}

// unfit is the model of keys: an event bears the key that its control event
// knows, and does not lie beyond the cut of the first revocation after that,
// unless a removal closed its log before.
func unfit(h *threads.Header, turns []keyTurn) string {
	key := ""
	for _, t := range turns {
		if t.number <= h.Control.Number {
			key = t.key
			continue
		}
		if t.revoked && h.Seq > t.cuts[h.LogID()] {
			return "with a key that was revoked, beyond the cut"
		}
		if t.revoked || t.removed {
			break
		}
	}
	if h.Key != key {
		return "with another key than that event knows"
	}
	return ""
}

// outdated says where a channel with an honest host does not know the newest key
// of an honest member, "" where none does.
func (w *world) outdated() string {
	last := w.nodes[len(w.nodes)-1]
	for _, ch := range w.channels {
		truth := w.truth(ch)
		if truth == nil || w.net.nodes[truth.Host].liar != nil || len(truth.Servers()) == 1 {
			continue
		}
		host := w.net.nodes[truth.Host]
		if c := host.channel(ch.id); c != nil && c.ControlDoubt == threads.Doubtful && last.liar != nil && slices.Equal(host.exchange.Awaited(c), []string{last.name}) {
			continue // it waits for the liar alone, which never gives all that it claims: an administrator would give it up
		}
		for _, n := range w.members(truth) {
			if known, _ := truth.KeyOf(n.name); !known.Same(n.key()) {
				return fmt.Sprintf("channel %.8s knows %s by %s, which has %s", ch.id, n.name, known.ID, n.key().ID)
			}
		}
	}
	return ""
}

// retiredKey signs what it writes now with a key that another took the place of.
func (l *liar) retiredKey() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil || len(l.ring) < 2 {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	old := l.ring.Signed(l.name)[l.world.rng.IntN(len(l.ring)-1)].ID
	if old == e.Header.Key {
		return false
	}
	l.push(to, l.change(e, func(h *threads.Header) { h.Key = old }))
	return true
}

// revokedKey goes on in a log that a revocation closed, as a thief of the old key
// would, dated back to before it.
func (l *liar) revokedKey() bool {
	ch, c := l.stage()
	to := l.victim()
	if c == nil || to == nil || !c.IsMember(l.name) {
		return false
	}
	for _, head := range c.Frontier() {
		if head.Origin != l.name || head.Epoch>>32 >= c.Admission(l.name) {
			continue
		}
		number := c.Logs[head.LogID].Control
		for _, k := range l.ring.Signed(l.name) {
			if _, ok := c.KeyAt(l.name, k.ID, number); !ok {
				continue
			}
			h := threads.Header{
				Channel: ch.id, Log: threads.LogData, Origin: l.name, Epoch: head.Epoch, Seq: head.Seq + 1, Prev: head.Hash,
				Control: threads.ControlRef{Number: number, Hash: c.HashAt(number)}, Time: threads.Next(l.now(), head.Time),
				Actor: l.people[0], Type: threads.TypeMessagePosted, Key: k.ID,
			}
			e := l.seal(h, threads.AppendMessage(nil, &threads.Message{Thread: ch.id, Body: "stolen lie"}, l.salt()))
			_, err := l.journal.Ingest(context.Background(), threads.Batch{From: l.name, Events: []*threads.Event{e}, Now: l.now()})
			if err != nil { // its disk may fail too
				return false
			}
			l.push(to, e)
			return true
		}
	}
	return false
}
