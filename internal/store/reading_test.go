package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

// readable is a world whose events lie in a store.
type readable struct {
	*world
	s *Store
	r Reading
}

// onEachWorld runs a test on each kind of store with the channel in it.
func onEachWorld(t *testing.T, f func(t *testing.T, w readable)) {
	t.Helper()
	onEach(t, func(t *testing.T, s *Store) {
		w := readable{newWorld(t), s, s.Reading()}
		feed(t, s, w.c.ID, w.all...)
		w.all, w.control = w.all[:len(w.all):len(w.all)], nil
		f(t, w)
	})
}

// fed hands to the store what was done since.
func (w readable) fed(events ...*threads.Event) []*threads.Event {
	w.t.Helper()
	feed(w.t, w.s, w.c.ID, events...)
	return events
}

func (w readable) newThread(h house, actor, title, body string) (thread, message *threads.Event) {
	w.t.Helper()
	thread, message = w.thread(h, actor, title, body)
	w.fed(thread, message)
	return thread, message
}

func (w readable) posted(h house, actor string, thread threads.Hash, body string) *threads.Event {
	w.t.Helper()
	return w.fed(w.post(h, actor, thread, body))[0]
}

// messages reads a whole thread page by page.
func (w readable) messages(person string, thread threads.Hash, size int) []threads.MessageRecord {
	w.t.Helper()
	var all []threads.MessageRecord
	for page := (threads.Page{Limit: size}); ; {
		some, next, err := w.r.Messages(context.Background(), person, thread, page)
		if err != nil || len(some) > size {
			w.t.Fatalf("messages: %d of them, %v", len(some), err)
		}
		all = append(all, some...)
		if page.After = next; next == "" {
			return all
		}
	}
}

func (w readable) threadFor(person string, id threads.Hash) threads.ThreadRecord {
	w.t.Helper()
	thread, err := w.r.Thread(context.Background(), person, id)
	if err != nil {
		w.t.Fatalf("thread: %v", err)
	}
	return thread
}

func bodies(messages []threads.MessageRecord) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Body)
	}
	return all
}

func TestAThreadIsReadWithAllThatWasWrittenToIt(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		thread, first := w.newThread(w.kobo, w.ana, "Crane", "Which crane?")
		state, due := "waiting", "2026-12-01"
		w.fed(w.do(w.havel, w.jan, threads.ChangeThread{Channel: w.c.ID, Content: threads.ThreadContent{
			Object: thread.ID, State: &state, Due: &due, Assignee: &w.eva,
			Labels: map[string]bool{"port": true, "old": true}, BlockedBy: map[threads.Hash]bool{first.ID: true},
		}})...)
		w.fed(w.do(w.kobo, w.ben, threads.ChangeThread{Channel: w.c.ID, Content: threads.ThreadContent{
			Object: thread.ID, Labels: map[string]bool{"old": false},
		}})...)
		reply := w.fed(w.do(w.havel, w.jan, threads.Post{Channel: w.c.ID, Message: threads.Message{
			Thread: thread.ID, ReplyTo: first.ID, Body: "The red one", Mentions: []string{w.ben},
		}})...)[0]
		edit := w.fed(w.do(w.havel, w.jan, threads.Edit{Channel: w.c.ID, Target: reply.ID, Body: "The blue one"})...)[0]
		for _, who := range []string{w.ana, w.ben} {
			w.fed(w.do(w.kobo, who, threads.React{Channel: w.c.ID, Target: reply.ID, Emoji: "👍", On: true})...)
		}
		w.fed(w.do(w.kobo, w.ana, threads.React{Channel: w.c.ID, Target: reply.ID, Emoji: "👍", On: false})...)

		got := w.threadFor(w.ana, thread.ID)
		want := threads.ThreadRecord{
			ID: thread.ID, Channel: w.c.ID, Author: w.ana, Created: thread.Header.Time.Wall(), Title: "Crane",
			State: "waiting", Assignee: w.eva, Due: due, Labels: []string{"port"}, BlockedBy: []threads.Hash{first.ID},
			Messages: 2, LastTime: reply.Header.Time.Wall(), Following: true, Unread: 1, Version: got.Version,
		}
		if !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
		messages := w.messages(w.ana, thread.ID, 10)
		wantMessage := threads.MessageRecord{
			ID: reply.ID, Channel: w.c.ID, Thread: thread.ID, ReplyTo: first.ID, Author: w.jan,
			Time: reply.Header.Time.Wall(), Received: messages[1].Received, Body: "The blue one",
			Edited: edit.Header.Time.Wall(), Mentions: []string{w.ben},
			Reactions: []threads.Reaction{{Emoji: "👍", People: []string{w.ben}}}, Version: messages[1].Version,
		}
		if len(messages) != 2 || !cmp.Equal(messages[1], wantMessage) {
			t.Error(cmp.Diff(wantMessage, messages[1]))
		}
		if one, err := w.r.Message(ctx, w.ana, reply.ID); err != nil || !cmp.Equal(one, wantMessage) {
			t.Errorf("%v %s", err, cmp.Diff(wantMessage, one))
		}
		editions, err := w.r.Editions(ctx, w.ana, reply.ID)
		wantEditions := []threads.Edition{
			{Time: reply.Header.Time.Wall(), Body: "The red one"}, {Time: edit.Header.Time.Wall(), Body: "The blue one"},
		}
		if err != nil || !cmp.Equal(editions, wantEditions) {
			t.Errorf("%v %s", err, cmp.Diff(wantEditions, editions))
		}
	})
}

func TestAnErasedMessageKeepsItsPlaceAndNothingElse(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		thread, first := w.newThread(w.kobo, w.ana, "Crane", "Which crane?")
		reply := w.fed(w.do(w.havel, w.jan, threads.Post{Channel: w.c.ID, Message: threads.Message{
			Thread: thread.ID, ReplyTo: first.ID, Body: "A secret", Mentions: []string{w.ben},
		}})...)[0]
		w.fed(w.do(w.havel, w.jan, threads.Edit{Channel: w.c.ID, Target: reply.ID, Body: "Another secret"})...)
		w.fed(w.do(w.kobo, w.ana, threads.React{Channel: w.c.ID, Target: reply.ID, Emoji: "👍", On: true})...)
		if !w.threadFor(w.ben, thread.ID).Following {
			t.Fatal("who is mentioned does not follow")
		}
		w.fed(w.do(w.havel, w.jan, threads.Erase{Channel: w.c.ID, Target: reply.ID})...)
		got := w.messages(w.ana, thread.ID, 10)
		want := threads.MessageRecord{
			ID: reply.ID, Channel: w.c.ID, Thread: thread.ID, ReplyTo: first.ID, Author: w.jan, Erased: true,
			Time: reply.Header.Time.Wall(), Received: got[1].Received, Version: got[1].Version,
		}
		if len(got) != 2 || !cmp.Equal(got[1], want) {
			t.Error(cmp.Diff(want, got[1]))
		}
		if editions, err := w.r.Editions(context.Background(), w.ana, reply.ID); err != nil || len(editions) != 0 {
			t.Errorf("editions of an erased message: %v, %v", editions, err)
		}
		if thread := w.threadFor(w.ben, thread.ID); thread.Messages != 1 || thread.Following || thread.Unread != 1 {
			t.Errorf("an erased message still counts: %+v", thread)
		}
	})
}

func TestNobodyReadsWhatTheyAreNoMemberOf(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		thread, message := w.newThread(w.kobo, w.ana, "Crane", "Which crane?")
		stranger := createPerson(t, w.s, "zoe", 99).ID
		w.fed(w.do(w.kobo, w.ana, threads.RemoveMember{Channel: w.c.ID, Person: w.eva})...)
		for _, person := range []string{stranger, w.eva, "", "\x00", w.kobo.person("nobody")} {
			errs := map[string]error{}
			_, errs["channel"] = w.r.Channel(ctx, person, w.c.ID)
			_, _, errs["threads"] = w.r.Threads(ctx, person, w.c.ID, threads.Page{})
			_, errs["thread"] = w.r.Thread(ctx, person, thread.ID)
			_, _, errs["messages"] = w.r.Messages(ctx, person, thread.ID, threads.Page{})
			_, errs["message"] = w.r.Message(ctx, person, message.ID)
			_, errs["editions"] = w.r.Editions(ctx, person, message.ID)
			_, errs["delivery"] = w.r.Delivery(ctx, person, message.ID)
			errs["mark"] = w.s.MarkRead(ctx, person, thread.ID, message.ID)
			errs["follow"] = w.s.Follow(ctx, person, thread.ID, true)
			for what, err := range errs {
				t.Run(what, func(t *testing.T) { wantRefusal(t, err, threads.NotFound, "not_found") })
			}
			if channels, _, err := w.r.Channels(ctx, person, threads.Page{}); err != nil || len(channels) != 0 {
				t.Errorf("%q sees channels %v, %v", person, channels, err)
			}
			if hits, _, err := w.r.Search(ctx, person, "crane", threads.Page{}); err != nil || len(hits) != 0 {
				t.Errorf("%q finds %v, %v", person, hits, err)
			}
		}
		for _, id := range []string{"", "x", message.ID[:42] + "!", thread.ID} {
			_, err := w.r.Message(ctx, w.ana, id)
			wantRefusal(t, err, threads.NotFound, "not_found")
		}
	})
}

func TestAHiddenMessageShowsToItsAuthorAlone(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		thread, _ := w.newThread(w.kobo, w.ana, "Crane", "Which crane?")
		w.fed(w.do(w.kobo, w.ana, threads.ChangeRole{Channel: w.c.ID, Person: w.ben, Role: threads.RoleReader})...)
		void := w.draft(w.kobo, threads.Draft{
			Type: threads.TypeMessagePosted, Actor: w.ben,
			Content: threads.AppendMessage(nil, &threads.Message{Thread: thread.ID, Body: "I may not"}, w.kobo.pen(w.now).Salt()),
		})
		w.fed(void)
		if !w.c.Void(&void.Header) {
			t.Fatal("the message is not void")
		}
		if got := bodies(w.messages(w.ana, thread.ID, 10)); !cmp.Equal(got, []string{"Which crane?"}) {
			t.Errorf("others see %q", got)
		}
		got := w.messages(w.ben, thread.ID, 10)
		if len(got) != 2 || !got[1].Hidden || got[1].Body != "I may not" {
			t.Errorf("its author sees %v", got)
		}
		if thread := w.threadFor(w.ana, thread.ID); thread.Unread != 0 || thread.Messages != 1 {
			t.Errorf("a hidden message counts: %+v", thread)
		}
	})
}

func TestMessagesArePagedInTheOrderOfTheirTime(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		title := "Archive"
		thread := w.fed(w.do(w.kobo, w.ana, threads.StartThread{Channel: w.c.ID, Content: threads.ThreadContent{Title: &title}})...)[0]
		year := threads.TimeOf(time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC))
		post := func(h house, actor, body string, published threads.Time) {
			w.fed(w.do(h, actor, threads.Post{Channel: w.c.ID, Message: threads.Message{
				Thread: thread.ID, Body: body, Published: published, AttributedTo: "X <x@old.example>", OriginalID: body + "@old",
			}})...)
		}
		post(w.kobo, w.ana, "kobo second", year+1)
		post(w.kobo, w.ana, "kobo third", year+1)
		post(w.havel, w.jan, "havel first", year+1)
		post(w.havel, w.jan, "oldest", year)
		post(w.kobo, w.ana, "newest", 0)
		want := []string{"oldest", "havel first", "kobo second", "kobo third", "newest"}
		for size := range 6 {
			if got := bodies(w.messages(w.ana, thread.ID, size+1)); !cmp.Equal(got, want) {
				t.Errorf("pages of %d: %s", size+1, cmp.Diff(want, got))
			}
		}
		for _, cursor := range []string{"x", cursorAfter("1"), cursorAfter("1", "a", "b", "2"), cursorAfter("1", "a\x00", "2", "2")} {
			_, _, err := w.r.Messages(context.Background(), w.ana, thread.ID, threads.Page{After: cursor})
			wantRefusal(t, err, threads.Invalid, "bad_cursor")
		}
	})
}

func TestThreadsAreListedByTheirNewestActivity(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		var ids []threads.Hash
		for n := range 5 {
			thread, _ := w.newThread(w.kobo, w.ana, fmt.Sprint("thread ", n), "x")
			ids = append(ids, thread.ID)
		}
		w.posted(w.havel, w.jan, ids[1], "again")
		want := []threads.Hash{ids[1], ids[4], ids[3], ids[2], ids[0]}
		var got []threads.Hash
		for page := (threads.Page{Limit: 2}); ; {
			some, next, err := w.r.Threads(context.Background(), w.ben, w.c.ID, page)
			if err != nil || len(some) > 2 {
				t.Fatal(len(some), err)
			}
			for _, thread := range some {
				got = append(got, thread.ID)
			}
			if page.After = next; next == "" {
				break
			}
		}
		if !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
	})
}

func TestAChannelShowsItsSettingsAndTheReadersRole(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		got, err := w.r.Channel(ctx, w.jan, w.c.ID)
		want := threads.ChannelRecord{
			ID: w.c.ID, Host: "kobo.example", Settings: threads.Settings{Name: "Harbour", Kind: "work", History: "full"},
			Created: w.c.Created.Wall(), Role: threads.RoleMember,
		}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
		listed, next, err := w.r.Channels(ctx, w.jan, threads.Page{})
		if err != nil || next != "" || !cmp.Equal(listed, []threads.ChannelRecord{want}) {
			t.Errorf("%v %s", err, cmp.Diff([]threads.ChannelRecord{want}, listed))
		}
	})
}
