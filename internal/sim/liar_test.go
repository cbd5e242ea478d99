package sim

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"meridian/federation"
	"meridian/threads"
	"meridian/threads/journal"
)

// liar is what makes a whole, otherwise working server lie: it has its real key
// and a partner's standing, and everything that its server ever received.
type liar struct {
	*node
	forks bool
	seen  []*threads.Event
}

func newLiar(n *node, forks bool) *liar {
	return &liar{node: n, forks: forks}
}

// sign signs a request with the liar's present key.
func (l *liar) sign(r *http.Request, body []byte) {
	signer, err := federation.NewSigner(l.key().ID, l.ring.Present())
	l.world.must(err)
	l.world.must(signer.Sign(r, body, l.now()))
}

// seal seals an event with the key that its header names, whatever that says.
func (l *liar) seal(h threads.Header, content []byte) *threads.Event {
	pen := l.pen()
	for _, k := range pen.Earlier {
		if k.Key.ID == h.Key {
			return threads.Seal(h, content, k.Sign)
		}
	}
	return threads.Seal(h, content, pen.Sign)
}

// keyIn is the id of the key by which a channel knows the liar.
func (l *liar) keyIn(c *threads.Channel) string {
	k, _ := c.KeyOf(l.name)
	return k.ID
}

// remember keeps everything, contents that are erased later included.
func (l *liar) remember(c journal.Commit) {
	if l == nil {
		return
	}
	for _, e := range c.Entries {
		l.seen = append(l.seen, e.Event)
	}
}

// lies are what the liar does of itself; each reports whether it could. What it
// does to requests and answers on their way is in tamper.
var lies = []struct {
	name string
	do   func(*liar) bool
}{
	{"fork", (*liar).fork},
	{"date back time", (*liar).dateBackTime},
	{"date back control", (*liar).dateBackControl},
	{"speak for others", (*liar).speakForOthers},
	{"forge signature", (*liar).forgeSignature},
	{"forge control", (*liar).forgeControl},
	{"wrong digest", (*liar).wrongDigest},
	{"gap", (*liar).gap},
	{"replay", (*liar).replay},
	{"foreign channel", (*liar).foreignChannel},
	{"void content", (*liar).voidContent},
	{"write after removal", (*liar).writeAfterRemoval},
	{"forge erasure", (*liar).forgeErasure},
	{"false tombstone", (*liar).falseTombstone},
	{"retired key", (*liar).retiredKey},
	{"revoked key", (*liar).revokedKey},
	{"pry into channel", (*liar).pryIntoChannel},
	{"pry into people", (*liar).pryIntoPeople},
	{"pry into erased", (*liar).pryIntoErased},
	{"pry into file", (*liar).pryIntoFile},
	{"many logs", (*liar).manyLogs},
	{"flood", (*liar).flood},
}

func (w *world) lie() bool {
	l := w.nodes[len(w.nodes)-1].liar
	if l == nil || !l.up() {
		return false
	}
	lie := lies[w.rng.IntN(len(lies))]
	if l.forks && w.rng.IntN(3) == 0 {
		lie = lies[0]
	}
	for range 3 { // the next channel, or victim, may do where one does not
		if lie.do(l) {
			w.counts.add("lie: " + lie.name)
			w.note("lie: %s", lie.name)
			return true
		}
	}
	return false
}

// victim is a server that the liar can reach, nil when there is none.
func (l *liar) victim() *node {
	n := l.world.pick()
	if n == l.node || !n.up() || l.world.net.cut[pair(n.name, l.name)] {
		return nil
	}
	return n
}

// stage is a channel as the liar knows it, in a copy that it may write on.
func (l *liar) stage() (*channel, *threads.Channel) {
	if len(l.world.channels) == 0 {
		return nil, nil
	}
	ch := l.world.anyChannel()
	c := l.node.channel(ch.id)
	if c == nil {
		return nil, nil
	}
	return ch, c.Clone()
}

// draft is the next event of the liar's log as an honest server would seal it,
// whatever its actor may do.
func (l *liar) draft(c *threads.Channel) *threads.Event {
	if !c.IsMember(l.name) {
		return nil
	}
	pen := l.pen()
	pen.Now = l.now()
	thread := threads.HashOf([]byte("a thread of nobody"))
	if p := l.world.some(l.world.threads, l.world.channelOf(c.ID)); p != nil {
		thread = p.thread
	}
	e, err := c.SealData(threads.Draft{
		Type: threads.TypeMessagePosted, Actor: l.people[l.world.rng.IntN(3)],
		Content: threads.AppendMessage(nil, &threads.Message{Thread: thread, Body: "lie " + l.world.word()}, pen.Salt()),
	}, &pen)
	if tooMany(err) {
		return nil
	}
	l.world.must(err)
	return e
}

// tooMany reports that a server began as many logs as count, and writes no more.
func tooMany(err error) bool {
	var refused *threads.Error
	return errors.As(err, &refused) && refused.Code == "too_many_logs"
}

func (w *world) channelOf(id threads.Hash) *channel {
	for _, ch := range w.channels {
		if ch.id == id {
			return ch
		}
	}
	return nil
}

// change seals e anew with another header, by the liar's key.
func (l *liar) change(e *threads.Event, f func(h *threads.Header)) *threads.Event {
	h := e.Header
	f(&h)
	return l.seal(h, e.Content)
}

// keep takes an event into the liar's own log, so that it is what it goes on from.
func (l *liar) keep(e *threads.Event) bool {
	_, err := l.journal.Do(context.Background(), journal.Request{Actor: e.Header.Actor, Command: kept{e}, Now: l.now()})
	return err == nil
}

// kept is the command by which a server writes what the liar made of an event.
type kept struct{ event *threads.Event }

func (k kept) In() threads.Hash { return k.event.Channel() }

func (k kept) Decide(v *threads.View) error {
	if placed, _, _ := v.Channel.Place(k.event, v.Pen.Server, v.Pen.Now, v.Pen.Now, 0); placed != threads.Fits {
		return threads.Refuse(threads.Conflict, "no_place", "", "does not fit")
	}
	v.Channel.Advance(k.event)
	v.Events = append(v.Events, k.event)
	return nil
}

// push sends events as they are.
func (l *liar) push(to *node, events ...*threads.Event) {
	lines := []byte(`{"channels":[]}` + "\n")
	for _, e := range events {
		lines = federation.AppendFrame(lines, e)
	}
	l.post(to, "/federation/v1/push", "application/x-ndjson", lines)
}

func (l *liar) post(to *node, path, contentType string, body []byte) {
	r, err := http.NewRequest(http.MethodPost, federation.BaseURL(to.name)+path, bytes.NewReader(body))
	l.world.must(err)
	r.Header.Set("Content-Type", contentType)
	l.sign(r, body)
	l.world.net.carry(l.node, to, r, body)
}

// fork tells two servers different things at one place of its log, and goes on
// from one of them.
func (l *liar) fork() bool {
	_, c := l.stage()
	to := l.victim()
	if !l.forks || c == nil || to == nil {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	other := l.change(e, func(h *threads.Header) { h.Time++ })
	if !l.keep(e) {
		return false
	}
	l.push(to, other)
	return true
}

// dateBackTime is refused by everybody who checks.
func (l *liar) dateBackTime() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil {
		return false
	}
	before := c.LogOf(c.OpenLog(l.name, l.now())).Time
	e := l.draft(c)
	if e == nil || before == 0 {
		return false
	}
	l.push(to, l.change(e, func(h *threads.Header) { h.Time = before }))
	return true
}

// dateBackControl writes as if nothing had happened since an older control
// event: allowed as long as the number does not decrease within the log, and
// void where a removal says so.
func (l *liar) dateBackControl() bool {
	_, c := l.stage()
	if c == nil || !c.IsMember(l.name) {
		return false
	}
	id := c.OpenLog(l.name, l.now())
	least := max(c.LogOf(id).Control, id.Epoch>>32)
	if least >= c.Control.Seq {
		return false
	}
	number := least + l.world.rng.Int64N(c.Control.Seq-least)
	e := l.draft(c)
	if e == nil {
		return false
	}
	return l.keep(l.change(e, func(h *threads.Header) {
		h.Control = threads.ControlRef{Number: number, Hash: c.HashAt(number)}
	}))
}

// speakForOthers names another server as origin, actor or both.
func (l *liar) speakForOthers() bool {
	_, c := l.stage()
	to := l.victim()
	other := l.world.pick()
	if c == nil || to == nil || other == l.node || !c.IsMember(other.name) {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	id := c.OpenLog(other.name, l.now())
	log := c.LogOf(id)
	l.push(to,
		l.change(e, func(h *threads.Header) { h.Actor = other.people[0] }),
		l.change(e, func(h *threads.Header) {
			h.Origin, h.Epoch, h.Seq, h.Prev, h.Actor = other.name, id.Epoch, log.Seq+1, log.Hash, other.people[0]
		}),
		l.change(e, func(h *threads.Header) {
			h.Origin, h.Epoch, h.Seq, h.Prev, h.Actor, h.Key = other.name, id.Epoch, log.Seq+1, log.Hash, other.people[0], other.key().ID
		}))
	return true
}

func (l *liar) forgeSignature() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	forged := *e
	forged.Sig = bytes.Repeat([]byte{byte(l.world.rng.IntN(256))}, 64)
	l.push(to, &forged)
	return true
}

// forgeControl writes the control log of a host that it is not: it would make
// one of its own people an owner.
func (l *liar) forgeControl() bool {
	ch, c := l.stage()
	to := l.victim()
	if c == nil || to == nil || c.Host == l.name {
		return false
	}
	content := []byte(`{"person":"` + l.people[0] + `","role":"owner","salt":"AAAAAAAAAAAAAAAAAAAAAA"}`)
	h := threads.Header{
		Channel: ch.id, Log: threads.LogControl, Origin: c.Host, Seq: c.Control.Seq + 1, Prev: c.Control.Hash,
		Time: c.Control.Time + 1, Actor: personID(c.Host, 0), Type: threads.TypeMemberRole, Key: l.world.net.nodes[c.Host].key().ID,
	}
	own := h
	own.Origin, own.Actor, own.Key = l.name, l.people[0], l.keyIn(c)
	l.push(to, l.seal(h, content))
	l.push(to, l.seal(own, content))
	return true
}

func (l *liar) wrongDigest() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil {
		return false
	}
	e := l.draft(c)
	if e == nil || !l.keep(e) {
		return false
	}
	forged := *e
	forged.Content = bytes.Replace(e.Content, []byte("lie "), []byte("lye "), 1)
	l.push(to, &forged)
	return true
}

func (l *liar) gap() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	l.push(to, l.change(e, func(h *threads.Header) {
		h.Seq += 1 + l.world.rng.Int64N(3)
		if h.Prev == "" || l.world.rng.IntN(2) == 0 {
			h.Prev = threads.HashOf([]byte("nothing"))
		}
	}))
	return true
}

// replay sends again what it once saw, its own and others', erased contents included.
func (l *liar) replay() bool {
	to := l.victim()
	if to == nil || len(l.seen) == 0 {
		return false
	}
	var again []*threads.Event
	for range 1 + l.world.rng.IntN(10) {
		again = append(again, l.seen[l.world.rng.IntN(len(l.seen))])
	}
	l.push(to, again...)
	return true
}

// foreignChannel writes into a channel that its server is not in.
func (l *liar) foreignChannel() bool {
	to := l.victim()
	if to == nil || len(l.world.channels) == 0 {
		return false
	}
	ch := l.world.anyChannel()
	c := l.world.known(ch)
	if c == nil || c.IsMember(l.name) {
		return false
	}
	epoch := max(1, c.RemovedAt(l.name))<<32 + 5
	h := threads.Header{
		Channel: ch.id, Log: threads.LogData, Origin: l.name, Epoch: epoch, Seq: 1,
		Control: threads.ControlRef{Number: c.Control.Seq, Hash: c.Control.Hash}, Time: threads.TimeOf(l.now()),
		Actor: l.people[0], Type: threads.TypeMessagePosted, Key: l.keyIn(c),
	}
	content := threads.AppendMessage(nil, &threads.Message{Thread: ch.id, Body: "lie"}, l.salt())
	l.push(to, l.seal(h, content))
	return true
}
