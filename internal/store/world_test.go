package store

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
)

// house is a server of the tests with its key.
type house struct {
	name    string
	private ed25519.PrivateKey
}

func newHouse(name string) house {
	seed := sha256.Sum256([]byte("test key of " + name))
	return house{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (h house) person(name string) string {
	sum := sha256.Sum256([]byte(name + "@" + h.name))
	return threads.PersonID(h.name, [16]byte(sum[:16]))
}

func (h house) key() threads.Key {
	return threads.Key{ID: "https://" + h.name + "/keys/1", Public: h.private.Public().(ed25519.PublicKey)}
}

func (h house) pen(now time.Time) *threads.Pen {
	return &threads.Pen{
		Server: h.name, Key: h.key(), Now: now,
		Sign: func(m []byte) []byte { return ed25519.Sign(h.private, m) },
		Random: func() (salt [16]byte) {
			_, _ = rand.Read(salt[:])
			return salt
		},
	}
}

// world is a channel hosted by kobo, with havel as another member, and
// everything that was written in it.
type world struct {
	t            fataler
	kobo, havel  house
	ana, ben     string // owners at kobo
	jan, eva     string // members at havel
	c            *threads.Channel
	now          time.Time
	control, all []*threads.Event
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newWorld(t fataler) *world {
	w := &world{t: t, kobo: newHouse("kobo.example"), havel: newHouse("havel.example"), now: testNow}
	w.ana, w.ben = w.kobo.person("ana"), w.kobo.person("ben")
	w.jan, w.eva = w.havel.person("jan"), w.havel.person("eva")
	w.c = threads.NewChannel("")
	w.do(w.kobo, w.ana, threads.CreateChannel{Settings: threads.Settings{Name: "Harbour", Kind: "work", History: "full"}})
	w.do(w.kobo, w.ana, threads.Join{Channel: w.c.ID, Person: w.ben, Role: threads.RoleOwner})
	w.join(w.jan)
	w.join(w.eva)
	return w
}

// join lets a person of havel into the channel.
func (w *world) join(person string) {
	w.t.Helper()
	accept := threads.Acceptance{
		Channel: w.c.ID, Host: w.c.Host, Person: person, Role: threads.RoleMember, Prev: w.c.Control.Hash, Key: w.havel.key(),
	}
	w.do(w.kobo, w.ana, threads.Join{
		Channel: w.c.ID, Person: person, Role: threads.RoleMember, Key: w.havel.key(), Prev: w.c.Control.Hash,
		Acceptance: ed25519.Sign(w.havel.private, accept.SigningBytes()),
	})
}

// do has a command decided and returns what it sealed.
func (w *world) do(h house, actor string, cmd threads.Command) []*threads.Event {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	v := &threads.View{Channel: w.c, Actor: actor, Pen: h.pen(w.now), Find: w.find}
	if err := cmd.Decide(v); err != nil {
		w.t.Fatalf("%T: %v", cmd, err)
	}
	w.note(v.Events...)
	return v.Events
}

func (w *world) note(events ...*threads.Event) {
	for _, e := range events {
		w.all = append(w.all, e)
		if e.Header.Log == threads.LogControl {
			w.control = append(w.control, e)
		}
	}
}

// draft seals an event as a server without rules of its own would.
func (w *world) draft(h house, d threads.Draft) *threads.Event {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	e, err := w.c.SealData(d, h.pen(w.now))
	if err != nil {
		w.t.Fatalf("%s: %v", d.Type, err)
	}
	w.note(e)
	return e
}

func (w *world) find(id threads.Hash) (threads.Target, error) {
	for _, e := range w.all {
		if e.ID != id {
			continue
		}
		target := threads.Target{Ref: e.Header.Ref(), ID: id, Type: e.Header.Type, Actor: e.Header.Actor}
		if m := threads.EffectsOf(e).Message; m != nil {
			target.Thread, target.ReplyTo = m.Thread, m.ReplyTo
		}
		return target, nil
	}
	return threads.Target{}, threads.Refuse(threads.NotFound, "not_found", "", "nothing")
}

func (w *world) thread(h house, actor, title, body string) (thread, message *threads.Event) {
	w.t.Helper()
	events := w.do(h, actor, threads.StartThread{Channel: w.c.ID, Content: threads.ThreadContent{Title: &title}, Body: body})
	return events[0], events[1]
}

func (w *world) post(h house, actor string, thread threads.Hash, body string) *threads.Event {
	w.t.Helper()
	return w.do(h, actor, threads.Post{Channel: w.c.ID, Message: threads.Message{Thread: thread, Body: body}})[0]
}

// feed appends events to a store as they come, in one transaction, judging each
// by the control log as far as it is there: what a journal does, without its
// checks of chains, so that any order can be tried.
func feed(t fataler, s *Store, channel threads.Hash, events ...*threads.Event) {
	t.Helper()
	if err := tryFeed(s, channel, events...); err != nil {
		t.Fatalf("feed: %v", err)
	}
}

func tryFeed(s *Store, channel threads.Hash, events ...*threads.Event) error {
	return s.Write(context.Background(), func(tx journal.Tx) error {
		c, err := tx.Channel(channel)
		if err != nil {
			return err
		}
		if c == nil {
			c = threads.NewChannel(channel)
		}
		c = c.Clone()
		last, err := tx.Last()
		if err != nil {
			return err
		}
		var entries []journal.Entry
		for _, e := range events {
			entry, taken, err := enter(c, e)
			if err != nil {
				return err
			}
			if taken {
				last++
				entry.Pos = last
				entries = append(entries, entry)
			}
		}
		if err := tx.Append(c, entries); err != nil {
			return err
		}
		if logs := threads.Reached(c, events); len(logs) > 0 {
			return tx.Revoid(c, last, logs)
		}
		return nil
	})
}

// enter applies an event to the channel's heads, wherever in its log it stands.
func enter(c *threads.Channel, e *threads.Event) (journal.Entry, bool, error) {
	entry := journal.Entry{Event: e, At: testNow}
	if e.Header.Log == threads.LogControl {
		return entry, true, c.ApplyControl(e)
	}
	if cut, closed := c.CutOf(e.Header.LogID()); closed && e.Header.Seq > cut.Seq {
		return entry, false, nil
	}
	if l := c.Logs[e.Header.LogID()]; l == nil || e.Header.Seq > l.Seq {
		c.Advance(e)
		if begun := c.Logs[e.Header.LogID()]; l != nil && begun != l { // across a gap, that is filled later
			begun.From, begun.Before = l.From, l.Before
		}
	} else {
		if e.Header.Seq == l.Seq { // the head, known so far from a cut alone
			l.Time, l.Control = e.Header.Time, e.Header.Control.Number
		}
		if e.Header.Seq < l.From {
			c.Extend(e)
		}
	}
	entry.Void, entry.Effects = c.Void(&e.Header), threads.EffectsOf(e)
	return entry, true, nil
}

func dump(t fataler, s *Store, channel threads.Hash) string {
	t.Helper()
	text, err := s.Dump(context.Background(), channel)
	if err != nil {
		t.Fatalf("dump: %v", err)
	}
	return string(text)
}
