package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

// history is that of one channel: an honest host, and three servers that lag
// behind it, the last so far that it dates back nearly all that it writes.
type history struct {
	control, data []*threads.Event
	applied       map[threads.Hash]int64 // newest control number the host had applied when it applied the event
	channel       *threads.Channel       // the host's
}

// writer is one server's side of a pure history: a channel and a pen.
type writer struct {
	channel *threads.Channel
	pen     threads.Pen
	private ed25519.PrivateKey
	people  []string
}

func newWriter(rng *rand.Rand, name string) *writer {
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	w := &writer{private: private}
	w.pen = threads.Pen{
		Server: name,
		Key:    threads.Key{ID: "https://" + name + "/keys/1", Public: private.Public().(ed25519.PublicKey)},
		Sign:   func(m []byte) []byte { return ed25519.Sign(private, m) },
		Now:    start,
		Random: func() (b [16]byte) {
			binary.LittleEndian.PutUint64(b[:], rng.Uint64())
			binary.LittleEndian.PutUint64(b[8:], rng.Uint64())
			return b
		},
	}
	for i := range 3 {
		w.people = append(w.people, personID(name, i))
	}
	return w
}

// command runs a command at the host, and reports what it sealed.
func (w *writer) command(actor string, c threads.Command) []*threads.Event {
	v := &threads.View{Channel: w.channel.Clone(), Actor: actor, Pen: &w.pen}
	if c.Decide(v) != nil {
		return nil
	}
	w.channel = v.Channel
	return v.Events
}

// take applies what the writer can of the events, in order.
func (w *writer) take(events []*threads.Event) {
	for _, e := range events {
		if e.Header.Log == threads.LogControl {
			if w.channel.CheckControl(e) == nil {
				_ = w.channel.ApplyControl(e) // a host's own events apply
			}
			continue
		}
		if p, _, _ := w.channel.Place(e, w.pen.Server, w.pen.Now, time.Time{}, time.Hour); p == threads.Fits {
			w.channel.Advance(e)
		}
	}
}

// watching is a server that is a member all along, and writes nothing.
const watching = "watch.example"

// makeHistory has about members control events and content data events.
func makeHistory(rng *rand.Rand, members, content int) *history {
	host := newWriter(rng, "host.example")
	host.channel = threads.NewChannel("")
	others := []*writer{newWriter(rng, "a.example"), newWriter(rng, "b.example"), newWriter(rng, "c.example")}
	h := &history{applied: map[threads.Hash]int64{}}
	settings := threads.Settings{Name: "orders", Kind: "work", History: "full"}
	h.control = host.command(host.people[0], threads.CreateChannel{Settings: settings})
	h.control = append(h.control, host.join(newWriter(rng, watching), 0)...)
	for _, o := range others {
		o.channel = threads.NewChannel(host.channel.ID)
	}
	for len(h.control) < members || len(h.data) < content {
		host.pen.Now = host.pen.Now.Add(time.Second)
		if rng.IntN(members+content) < members {
			h.control = append(h.control, host.changeMembers(rng, others)...)
		} else {
			h.write(rng, others[rng.IntN(len(others))], host)
		}
		if o := others[rng.IntN(len(others))]; rng.IntN(3) > 0 && (o != others[2] || rng.IntN(10) == 0) {
			o.take(h.control)
			o.take(h.data)
		}
	}
	h.channel = host.channel
	return h
}

// changeMembers seals one change of members at the host.
func (w *writer) changeMembers(rng *rand.Rand, others []*writer) []*threads.Event {
	o := others[rng.IntN(len(others))]
	person := o.people[rng.IntN(len(o.people))]
	owner := w.people[0]
	switch rng.IntN(8) {
	case 0:
		return w.command(owner, threads.RemoveMember{Channel: w.channel.ID, Person: person})
	case 1:
		return w.command(owner, threads.RemoveServer{Channel: w.channel.ID, Server: o.pen.Server})
	case 2, 3:
		role := []threads.Role{threads.RoleReader, threads.RoleMember, threads.RoleOwner}[rng.IntN(3)]
		return w.command(owner, threads.ChangeRole{Channel: w.channel.ID, Person: person, Role: role})
	}
	return w.join(o, slices.Index(o.people, person))
}

// join lets a person of another server in.
func (w *writer) join(o *writer, person int) []*threads.Event {
	a := threads.Acceptance{
		Channel: w.channel.ID, Host: w.pen.Server, Person: o.people[person], Role: threads.RoleMember,
		Prev: w.channel.Control.Hash, Key: o.pen.Key,
	}
	return w.command(w.people[0], threads.Join{
		Channel: w.channel.ID, Person: a.Person, Role: a.Role, Key: a.Key, Prev: a.Prev,
		Acceptance: ed25519.Sign(o.private, a.SigningBytes()),
	})
}

// write has a server append an event, whatever its actor may do; the host may
// get it at once or only later, with the rest of its log.
func (h *history) write(rng *rand.Rand, o, host *writer) {
	if !o.channel.IsMember(o.pen.Server) {
		return
	}
	o.pen.Now = host.pen.Now
	e, err := o.channel.SealData(h.draft(rng, o.people[rng.IntN(len(o.people))]), &o.pen)
	if err != nil {
		panic(err)
	}
	h.data = append(h.data, e)
	if rng.IntN(2) == 0 {
		host.take(h.data)
	}
	for _, e := range h.data {
		if h.applied[e.ID] == 0 && host.channel.LogOf(e.Header.LogID()).Seq >= e.Header.Seq {
			h.applied[e.ID] = host.channel.Control.Seq
		}
	}
}

// draft is a thread, a message in whatever was written before, or a reaction.
func (h *history) draft(rng *rand.Rand, actor string) threads.Draft {
	salt := string(threads.HashOf(fmt.Append(nil, rng.Uint64())))[:22]
	object := h.control[0].ID
	if len(h.data) > 0 {
		object = h.data[rng.IntN(len(h.data))].ID
	}
	text := fmt.Sprint("number ", len(h.data))
	switch rng.IntN(8) {
	case 0:
		return threads.Draft{Type: threads.TypeThreadCreated, Actor: actor, Content: threads.AppendThread(nil, threads.ThreadContent{Title: &text}, salt)}
	case 1:
		return threads.Draft{Type: threads.TypeReactionSet, Actor: actor, Content: threads.AppendReaction(nil, object, "👍", true, salt)}
	}
	m := threads.Message{Thread: object, Body: text}
	return threads.Draft{Type: threads.TypeMessagePosted, Actor: actor, Content: threads.AppendMessage(nil, &m, salt)}
}

// replica applies events in whatever order they come, keeping those that cannot
// be applied yet by their place.
type replica struct {
	channel *threads.Channel
	control map[int64]*threads.Event
	data    map[threads.Ref]*threads.Event
	logs    map[threads.LogID]bool
	applied []*threads.Event
}

func newReplica(id threads.Hash) *replica {
	return &replica{
		channel: threads.NewChannel(id), control: map[int64]*threads.Event{},
		data: map[threads.Ref]*threads.Event{}, logs: map[threads.LogID]bool{},
	}
}

func (r *replica) deliver(t testing.TB, e *threads.Event) {
	if e.Header.Log == threads.LogControl {
		r.control[e.Header.Seq] = e
		for next := r.control[r.channel.Control.Seq+1]; next != nil; next = r.control[r.channel.Control.Seq+1] {
			if err := r.channel.ApplyControl(next); err != nil {
				t.Fatalf("control event %d: %v", next.Header.Seq, err)
			}
		}
	} else {
		r.data[e.Header.Ref()] = e
		r.logs[e.Header.LogID()] = true
	}
	for r.advance() {
	}
}

func (r *replica) advance() (moved bool) {
	for id := range r.logs {
		for {
			e := r.data[threads.Ref{LogID: id, Seq: r.channel.LogOf(id).Seq + 1}]
			if e == nil {
				break
			}
			if p, _, _ := r.channel.Place(e, "host.example", start.AddDate(1, 0, 0), start.AddDate(1, 0, 0), time.Hour); p != threads.Fits {
				break
			}
			r.channel.Advance(e)
			r.applied = append(r.applied, e)
			moved = true
		}
	}
	return moved
}

// state is what replicas must agree on: how far each log goes, and which events count.
func (r *replica) state() []string {
	var lines []string
	for _, e := range r.applied {
		if cut, closed := r.channel.CutOf(e.Header.LogID()); !closed || e.Header.Seq <= cut.Seq {
			lines = append(lines, fmt.Sprint("event ", e.ID, r.channel.Void(&e.Header)))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestMembershipEndsTheSameInEveryOrder is T15: 60 changes of members and 200
// events come to one final state in whatever order they are delivered.
func TestMembershipEndsTheSameInEveryOrder(t *testing.T) {
	const histories = 10
	each := min(25**orders, 10_000) / histories
	for seed := range uint64(histories) {
		rng := rand.New(rand.NewPCG(seed, 15))
		h := makeHistory(rng, 60, 200)
		events := append(slices.Clone(h.control), h.data...)
		out := whoIsOut(t, h.control)
		var want []string
		for range each {
			r := newReplica(h.channel.ID)
			for _, i := range rng.Perm(len(events)) {
				r.deliver(t, events[i])
				out.hold(t, r.channel)
			}
			got := r.state()
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("history %d: another order, another state:\n%s", seed, diff)
			}
		}
		if len(want) < 50 || !strings.Contains(strings.Join(want, "\n"), "true") {
			t.Fatalf("history %d shows too little: %d lines, or nothing void", seed, len(want))
		}
	}
}

// ending is where a person's membership ended, as the control log tells it.
type ending struct {
	number int64
	person string // or, with server.removed, server
	server string
}

func endings(t *testing.T, control []*threads.Event) (ends []ending, joins map[string][]int64) {
	joins = map[string][]int64{}
	for _, e := range control {
		var c struct{ Person, Server string }
		if err := json.Unmarshal(e.Content, &c); err != nil {
			t.Fatal(err)
		}
		switch e.Header.Type {
		case threads.TypeMemberJoined:
			joins[c.Person] = append(joins[c.Person], e.Header.Seq)
		case threads.TypeMemberRemoved, threads.TypeServerRemoved:
			ends = append(ends, ending{e.Header.Seq, c.Person, c.Server})
		}
	}
	return ends, joins
}

// membership says, for each length of a control log, who is out at its end:
// removed, or gone with their server, and not let in again. It is told by the
// contents alone, not by what the rules make of them.
type membership []map[string]bool

func whoIsOut(t *testing.T, control []*threads.Event) membership {
	ends, joins := endings(t, control)
	out := make(membership, len(control)+1)
	for length := range out {
		out[length] = map[string]bool{}
		for person, in := range joins {
			left := slices.ContainsFunc(ends, func(e ending) bool {
				return e.number <= int64(length) && (e.person == person || e.server == threads.ServerOf(person)) &&
					!slices.ContainsFunc(in, func(n int64) bool { return n > e.number && n <= int64(length) })
			})
			if left && in[0] <= int64(length) {
				out[length][person] = true
			}
		}
	}
	return out
}

// hold fails the test where the channel shows somebody as a member of whose
// removal it knows.
func (m membership) hold(t *testing.T, c *threads.Channel) {
	for _, p := range c.People() {
		if m[c.Control.Seq][p.ID] {
			t.Fatalf("after control event %d %s is shown as a %s", c.Control.Seq, p.ID, p.Role)
		}
	}
}

// TestNothingCountsThatTheHostGotAfterARemoval looks at validity from outside:
// not at grants and cuts, but at what the host had and had not when it removed
// somebody, and whether the author could know of a later admission.
func TestNothingCountsThatTheHostGotAfterARemoval(t *testing.T) {
	late := 0
	for seed := range uint64(60) {
		h := makeHistory(rand.New(rand.NewPCG(seed, 16)), 60, 200)
		ends, joins := endings(t, h.control)
		for _, e := range h.data {
			for _, end := range ends {
				if end.person != e.Header.Actor && end.server != e.Header.Origin {
					continue
				}
				if applied := h.applied[e.ID]; applied > 0 && applied < end.number {
					continue
				}
				again := slices.ContainsFunc(joins[e.Header.Actor], func(n int64) bool {
					return n > end.number && n <= e.Header.Control.Number
				})
				if again {
					continue
				}
				late++
				if !h.channel.Void(&e.Header) {
					t.Fatalf("seed %d: %v counts, though the host had not got it at removal %d", seed, e.Header.Ref(), end.number)
				}
			}
		}
	}
	if late < 200 {
		t.Fatalf("only %d late events tried", late)
	}
}

// TestNewcomersRefuseWhatOthersRefused: a liar dates an event back behind the
// one before it. Whoever holds that one refuses it; a newcomer whose copy starts
// right after it must do the same.
func TestNewcomersRefuseWhatOthersRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 17))
	host, liar, late := newWriter(rng, "host.example"), newWriter(rng, "a.example"), newWriter(rng, "b.example")
	host.channel = threads.NewChannel("")
	host.command(host.people[0], threads.CreateChannel{Settings: threads.Settings{Name: "late", Kind: "work", History: "joined"}})
	host.join(liar, 0)
	old := host.channel.Control
	host.join(liar, 1)
	liar.channel = host.channel.Clone()
	first, err := liar.channel.SealData(threads.Draft{Type: "note.unknown", Actor: liar.people[0], Content: []byte(`{}`)}, &liar.pen)
	if err != nil {
		t.Fatal(err)
	}
	host.take([]*threads.Event{first})
	host.join(late, 0)
	late.channel = host.channel.Clone()
	delete(late.channel.Logs, first.Header.LogID())
	late.channel.StartLogs("b.example")

	for name, change := range map[string]func(*threads.Header){
		"control": func(h *threads.Header) { h.Control = threads.ControlRef{Number: old.Seq, Hash: old.Hash} },
		"time":    func(h *threads.Header) { h.Time = first.Header.Time },
		"":        func(*threads.Header) {},
	} {
		lie := first.Header
		lie.Seq, lie.Prev, lie.Time = 2, first.ID, first.Header.Time+1
		change(&lie)
		e := threads.Seal(lie, []byte(`{}`), liar.pen.Sign)
		for _, w := range []*writer{host, late} {
			got, _, _ := w.channel.Place(e, w.pen.Server, w.pen.Now, w.pen.Now, time.Hour)
			if want := map[bool]threads.Placement{true: threads.Fits, false: threads.Misfits}[name == ""]; got != want {
				t.Errorf("%s dated back, at %s: placement %d, want %d", name, w.pen.Server, got, want)
			}
		}
	}
}
