package store

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

// history writes a channel's life by chance: threads, messages, edits and
// erasures of one's own and of others' things, reactions, unknown types, broken
// contents; at the end a person or a server is removed by a host that had not
// seen all of it.
func history(t *rapid.T) *world {
	w := newWorld(t)
	people := []struct {
		house
		actor string
	}{{w.kobo, w.ana}, {w.kobo, w.ben}, {w.havel, w.jan}, {w.havel, w.eva}}
	objects := []threads.Hash{}
	host, removal := w.c, rapid.IntRange(0, 2).Draw(t, "removal")
	steps := rapid.IntRange(1, 30).Draw(t, "steps")
	seen := rapid.IntRange(0, steps).Draw(t, "seen by the host")
	for i := range steps {
		if i == seen {
			host = w.c.Clone()
		}
		by := people[rapid.IntRange(0, len(people)-1).Draw(t, "by")]
		object := threads.HashOf([]byte("never there"))
		if len(objects) > 0 {
			object = rapid.SampledFrom(objects).Draw(t, "object")
		}
		d := draw(t, []string{w.ben, w.jan, w.eva}, by.actor, object)
		objects = append(objects, w.draft(by.house, d).ID)
	}
	if seen == steps {
		host = w.c.Clone()
	}
	w.c = host
	switch removal {
	case 1:
		w.do(w.kobo, w.ana, threads.RemoveMember{Channel: w.c.ID, Person: w.jan})
	case 2:
		w.do(w.kobo, w.ana, threads.RemoveServer{Channel: w.c.ID, Server: w.havel.name})
	}
	return w
}

func draw(t *rapid.T, people []string, actor string, object threads.Hash) threads.Draft {
	salt := threads.HashOf([]byte(rapid.StringMatching("[a-z]{8}").Draw(t, "salt")))[:22]
	text := rapid.SampledFrom([]string{"the pump leaks", "Ärger im Hafen", "東京で", "closed"}).Draw(t, "text")
	state := rapid.SampledFrom([]string{"open", "waiting", "done"}).Draw(t, "state")
	place := threads.Tombstone{Thread: threads.HashOf([]byte(text)), ReplyTo: object}
	d := threads.Draft{Actor: actor}
	switch rapid.SampledFrom([]string{"thread", "message", "message", "edit", "edit", "erase", "react", "change", "unknown", "broken", "person", "ask", "ask", "reply", "reply", "decline", "withdraw"}).Draw(t, "what") {
	case "thread":
		d.Type, d.Content = threads.TypeThreadCreated, threads.AppendThread(nil, threads.ThreadContent{Title: &text}, salt)
	case "message":
		m := threads.Message{Thread: object, Body: text}
		if len(text)%2 == 0 { // with one of two files
			m.Attachments = []threads.Attachment{{Digest: threads.HashOf([]byte(state)), Size: 1, Type: "text/plain", Name: text}}
		}
		d.Type, d.Content = threads.TypeMessagePosted, threads.AppendMessage(nil, &m, salt)
	case "ask":
		m := threads.Message{Thread: threads.HashOf(nil), Body: text, Ask: &threads.Ask{Urgency: threads.Standard}}
		for _, person := range people {
			m.Ask.Of = append(m.Ask.Of, threads.Asked{Person: person, Due: time.UnixMilli(2e12).UTC(), Basis: threads.BasisNamed})
		}
		d.Type, d.Content = threads.TypeMessagePosted, threads.AppendMessage(nil, &m, salt)
	case "reply":
		m := threads.Message{Thread: threads.HashOf(nil), ReplyTo: object, Body: text}
		d.Type, d.Content = threads.TypeMessagePosted, threads.AppendMessage(nil, &m, salt)
	case "decline":
		d.Type, d.Content = threads.TypeAskDeclined, threads.AppendAboutAsk(nil, object, salt)
	case "withdraw":
		d.Type, d.Content = threads.TypeAskWithdrawn, threads.AppendAboutAsk(nil, object, salt)
	case "edit":
		d.Type, d.Content = threads.TypeMessageEdited, threads.AppendEdit(nil, object, text, salt)
	case "erase":
		d.Type, d.Content, d.Erases = threads.TypeMessageErased, threads.AppendTombstone(nil, place, salt), object
	case "react":
		d.Type, d.Content = threads.TypeReactionSet, threads.AppendReaction(nil, object, "👍", len(text) > 10, salt)
	case "change":
		c := threads.ThreadContent{Object: object, State: &state, Labels: map[string]bool{text: state == "open"}}
		d.Type, d.Content = threads.TypeThreadChanged, threads.AppendThread(nil, c, salt)
	case "person":
		d.Type, d.Content = threads.TypePersonErased, threads.AppendErasedPerson(nil, salt)
	case "unknown":
		d.Type, d.Content = "poem.recited", []byte(`{"salt":"`+salt+`"}`)
	case "broken":
		d.Type, d.Content = threads.TypeThreadCreated, []byte(`{"salt":"`+salt+`"}`)
	}
	return d
}

// arrival is an order in which events reach a replica: the control log in its
// own order, all else anyhow, some without their contents at first.
func arrival(t *rapid.T, w *world) (events []*threads.Event) {
	data := []*threads.Event{}
	for _, e := range w.all {
		if e.Header.Log == threads.LogData {
			data = append(data, e)
		}
	}
	if len(data) > 0 {
		data = rapid.Permutation(data).Draw(t, "order")
	}
	// The first control events make the members; the rest may come at any time.
	events = append(events, w.control[:4]...)
	rest := w.control[4:]
	for _, e := range data {
		if len(rest) > 0 && rapid.IntRange(0, 5).Draw(t, "control next") == 0 {
			events, rest = append(events, rest[0]), rest[1:]
		}
		if rapid.IntRange(0, 9).Draw(t, "content later") == 0 {
			bare := *e
			bare.Content = nil
			events = append(events, &bare)
			continue
		}
		events = append(events, e)
	}
	return append(events, rest...)
}

// replicate feeds a world to a store in transactions of random size.
func replicate(t *rapid.T, s *Store, w *world) {
	events := arrival(t, w)
	for len(events) > 0 {
		n := rapid.IntRange(1, len(events)).Draw(t, "together")
		feed(t, s, w.c.ID, events[:n]...)
		events = events[n:]
	}
	refill(t, s, w)
}

// refill brings the contents that the store says it misses: those that came
// late, and those whose erasure turned out void.
func refill(t fataler, s *Store, w *world) {
	t.Helper()
	missing, err := s.MissingContents(context.Background(), w.c.ID, 1000)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var contents []*threads.Event
	for _, e := range w.all {
		if slices.Contains(missing, e.ID) {
			contents = append(contents, e)
		}
	}
	err = s.Write(context.Background(), func(tx journal.Tx) error {
		c, err := tx.Channel(w.c.ID)
		if err != nil {
			return err
		}
		last, err := tx.Last()
		if err != nil {
			return err
		}
		_, err = tx.Fill(c.Clone(), last, contents)
		return err
	})
	if err != nil {
		t.Fatalf("fill: %v", err)
	}
}

func TestTheOrderOfArrivalDoesNotMatter(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{
		openTest(t, "sqlite:"+filepath.Join(dir, "1.db"), "third.example"),
		openTest(t, "sqlite:"+filepath.Join(dir, "2.db"), "havel.example"),
		openTest(t, pgtest.URL(t), "kobo.example"),
	}
	rapid.Check(t, func(t *rapid.T) {
		w := history(t)
		var dumps []string
		var states []StateHash
		for _, s := range stores {
			replicate(t, s, w)
			state, err := s.StateHash(context.Background(), w.c.ID)
			if err != nil {
				t.Fatalf("%v", err)
			}
			dumps, states = append(dumps, dump(t, s, w.c.ID)), append(states, state)
		}
		for i := range stores[1:] {
			if diff := cmp.Diff(dumps[0], dumps[i+1]); diff != "" {
				t.Fatalf("replica %d differs: %s", i+1, diff)
			}
			if diff := cmp.Diff(states[0], states[i+1]); diff != "" {
				t.Fatalf("state hash of replica %d differs: %s", i+1, diff)
			}
		}
	})
}
