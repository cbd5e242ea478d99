package federation_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// T16: what a removed server writes beyond its cut, of five kinds, is taken by no
// route: nothing of it is stored or shown, and each time it is refused or passed
// over aloud.
func TestNothingWrittenBeyondTheCutComesInByAnyRoute(t *testing.T) {
	s := newStage(t)
	friend, late := newSite(t), newSite(t)
	befriend(t, s.a, friend)
	befriend(t, s.a, late)
	befriend(t, friend, late)
	cem, dea := friend.person("cem"), late.person("dea")
	before := s.state.Clone()
	join(t, s.a, s.ana.ID, s.channel, friend, cem)
	same(t, s.channel, s.a, friend)
	beyond := s.beyond(before)
	s.a.do(s.ana.ID, threads.RemoveServer{Channel: s.channel, Server: s.liar.name})
	same(t, s.channel, s.a, friend)
	state := s.a.hash(s.channel)
	var ids []threads.Hash
	for _, e := range beyond {
		ids = append(ids, e.ID)
	}

	ally := liar{t, friend.name, friend.key}
	ask := func(l liar, path, body string) said {
		return l.send(l.request(s.a, "/federation/v1/"+path, "application/json", body, time.Now()))
	}
	claim := func(e *threads.Event) string {
		h := e.Header
		return fmt.Sprintf(`{"channels":[{"channel":%q,"control":[%d,%q],"frontier":[[%q,%d,1,%d,%q]],"contents":[%q],"probe":[[%q,%d,%d]]}]}`,
			s.channel, h.Control.Number, h.Control.Hash, h.Origin, h.Epoch, h.Seq, e.ID, e.ID, h.Origin, h.Epoch, h.Seq)
	}
	ingest := func(from string, below bool, e *threads.Event) string {
		answer, err := s.a.journal.Ingest(context.Background(), threads.Batch{From: from, Events: []*threads.Event{e}, Below: below, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if c := answer.Channels[s.channel]; c != nil && len(c.Refused) > 0 {
			return c.Refused[0].Code
		}
		return ""
	}
	pushed := func(l liar, e *threads.Event) string {
		got := l.push(s.a, e)
		if got.status != http.StatusOK || !strings.Contains(got.body, `"code"`) {
			return ""
		}
		return got.body
	}
	// Each route says what it was told, "" for nothing.
	routes := map[string]func(e *threads.Event) string{
		"pushed by itself":          func(e *threads.Event) string { return pushed(s.liar, e) },
		"relayed by a friend":       func(e *threads.Event) string { return pushed(ally, e) },
		"pulled from itself":        func(e *threads.Event) string { return ingest(s.liar.name, false, e) },
		"pulled from a friend":      func(e *threads.Event) string { return ingest(friend.name, false, e) },
		"as history, from itself":   func(e *threads.Event) string { return ingest(s.liar.name, true, e) + " passed over" },
		"as history, from a friend": func(e *threads.Event) string { return ingest(friend.name, true, e) + " passed over" },
		"as a content that was missing": func(e *threads.Event) string {
			bare := *e
			bare.Content = nil
			return pushed(ally, &bare) + pushed(ally, e)
		},
		"claimed as held, by itself":      func(e *threads.Event) string { return ask(s.liar, "pull", claim(e)).body },
		"claimed as held, by a friend":    func(e *threads.Event) string { return ask(ally, "pull", claim(e)).body },
		"in a log under a new epoch":      func(e *threads.Event) string { return pushed(s.liar, s.renewed(e, e.Header.Epoch+60)) },
		"relayed under a new epoch":       func(e *threads.Event) string { return pushed(ally, s.renewed(e, e.Header.Epoch+60)) },
		"as if admitted by the newest":    func(e *threads.Event) string { return pushed(s.liar, s.renewed(e, (e.Header.Control.Number+1)<<32+1)) },
		"relayed after the server's stop": func(e *threads.Event) string { return pushed(ally, e) },
	}
	for name, route := range routes {
		if strings.HasSuffix(name, "stop") {
			s.a.close()
			s.a.open()
		}
		for _, e := range beyond {
			if told := route(e); told == "" {
				t.Errorf("%s %s: nothing was said", e.Header.Type, name)
			}
		}
		if n := s.holds(ids...); n > 0 || s.a.hash(s.channel) != state {
			t.Fatalf("%s: %d are stored, the state is the same: %t", name, n, s.a.hash(s.channel) == state)
		}
	}
	join(t, s.a, s.ana.ID, s.channel, late, dea)
	same(t, s.channel, s.a, friend, late)
	for _, at := range []*site{s.a, friend, late} {
		events, err := at.store.EventsByID(context.Background(), s.channel, ids)
		if err != nil || len(events) > 0 || at.finds(s.ana.ID, "beyondthecut")+at.finds(cem.ID, "beyondthecut")+at.finds(dea.ID, "beyondthecut") > 0 {
			t.Errorf("%s holds %d, %v", at.name, len(events), err)
		}
	}
}

// beyond are five events of five kinds that go on in the liar's log.
func (s *stage) beyond(at *threads.Channel) []*threads.Event {
	s.liar.t.Helper()
	p := &peer{liar: s.liar, victim: s.a, person: s.ben, state: at, channel: s.channel, thread: s.thread}
	p.erased = s.next("Named by those that follow.").ID
	title := "beyondthecut title"
	drafts := []threads.Draft{
		{Type: threads.TypeMessagePosted, Content: threads.AppendMessage(nil, &threads.Message{Thread: s.thread, Body: "beyondthecut"}, p.pen().Salt())},
		{Type: threads.TypeThreadCreated, Content: threads.AppendThread(nil, threads.ThreadContent{Title: &title}, p.pen().Salt())},
		{Type: threads.TypeMessageEdited, Content: threads.AppendEdit(nil, p.erased, "beyondthecut edit", p.pen().Salt())},
		{Type: threads.TypeReactionSet, Content: threads.AppendReaction(nil, p.erased, "👍", true, p.pen().Salt())},
		{Type: threads.TypePersonErased, Content: threads.AppendErasedPerson(nil, p.pen().Salt())},
	}
	var events []*threads.Event
	for _, d := range drafts {
		d.Actor = s.ben.ID
		e, err := at.SealData(d, p.pen())
		if err != nil {
			s.liar.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// renewed is the event as the first of another log.
func (s *stage) renewed(e *threads.Event, epoch int64) *threads.Event {
	h := e.Header
	h.Epoch, h.Seq, h.Prev, h.After = epoch, 1, "", nil
	return threads.Seal(h, e.Content, s.liar.sign)
}
