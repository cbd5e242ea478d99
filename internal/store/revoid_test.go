package store

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"meridian/threads"
	"meridian/threads/journal"
)

// removed is a world in which jan's and eva's server wrote on while the host,
// which had seen nothing of it but the first message, removed jan or all of havel.
func removed(t *testing.T, removal func(w *world) threads.Command) (w *world, kept, cut *threads.Event) {
	t.Helper()
	w = newWorld(t)
	thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
	kept = w.post(w.havel, w.jan, thread.ID, "seenbefore")
	host := w.c.Clone()
	cut = w.post(w.havel, w.jan, thread.ID, "writtenafter")
	w.post(w.havel, w.eva, thread.ID, "evawrites")
	w.c = host
	w.do(w.kobo, w.ana, removal(w))
	return w, kept, cut
}

func removeJan(w *world) threads.Command {
	return threads.RemoveMember{Channel: w.c.ID, Person: w.jan}
}

func removeHavel(w *world) threads.Command {
	return threads.RemoveServer{Channel: w.c.ID, Server: w.havel.name}
}

func TestARemovedPersonsLaterMessagesAreHiddenAndTheirContentsDropped(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		w, kept, cut := removed(t, removeJan)
		feed(t, s, w.c.ID, w.all...)
		text := dump(t, s, w.c.ID)
		if strings.Contains(text, "writtenafter") || !strings.Contains(text, "seenbefore") || !strings.Contains(text, "evawrites") {
			t.Errorf("what is visible is wrong:\n%s", text)
		}
		events, err := s.LogEvents(context.Background(), Span{Channel: w.c.ID, Log: cut.Header.LogID(), From: 1, Limit: 10, Bytes: 1 << 20})
		if err != nil || len(events) != 3 || events[0].ID != kept.ID {
			t.Fatalf("the log has %d events, %v; want 3", len(events), err)
		}
		if events[1].Content != nil || events[2].Content == nil {
			t.Error("contents: the void one's alone must be gone")
		}
		var messages int64
		if err := s.readers.Get(&messages, "select messages from thread"); err != nil || messages != 3 {
			t.Errorf("the thread counts %d messages, %v; want 3", messages, err)
		}
		if missing, err := s.MissingContents(context.Background(), w.c.ID, 10); len(missing) > 0 || err != nil {
			t.Errorf("missing: %v, %v; a void event's content is not", missing, err)
		}
	})
}

func TestOurOwnVoidMessagesKeepTheirTextHere(t *testing.T) {
	w, _, cut := removed(t, removeJan)
	s := openTest(t, "sqlite:"+t.TempDir()+"/own.db", w.havel.name)
	feed(t, s, w.c.ID, w.all...)
	entries, err := s.Entries(context.Background(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Void != (entry.Event.ID == cut.ID) {
			t.Errorf("%s: void is %v", entry.Event.ID, entry.Void)
		}
		if entry.Void && !bytes.Equal(entry.Event.Content, cut.Content) {
			t.Error("the author's own text is gone")
		}
	}
	served, err := s.EventsByID(context.Background(), w.c.ID, []threads.Hash{cut.ID})
	if err != nil || len(served) != 1 || served[0].Content != nil {
		t.Errorf("partners were given %v, %v", served, err)
	}
}

func TestARemovedServersLogEndsAtItsCut(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w, kept, cut := removed(t, removeHavel)
		feed(t, s, w.c.ID, w.all...)
		c, err := s.Channel(ctx, w.c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if l := c.LogOf(cut.Header.LogID()); l.Seq != 1 || l.Hash != kept.ID || l.Time != kept.Header.Time {
			t.Errorf("the log's head is %+v, want %s", l.Head, kept.ID)
		}
		clear(s.shared.channels)
		if again, err := s.Channel(ctx, w.c.ID); err != nil || again.LogOf(cut.Header.LogID()).Head != c.LogOf(cut.Header.LogID()).Head {
			t.Errorf("read again: %+v, %v", again.Logs, err)
		}
		if served, err := s.EventsByID(ctx, w.c.ID, []threads.Hash{cut.ID}); len(served) > 0 || err != nil {
			t.Errorf("evidence was served: %v, %v", served, err)
		}
		var evidence int
		if err := s.readers.Get(&evidence, "select count(*) from evidence"); err != nil || evidence != 2 {
			t.Errorf("%d events are kept as evidence, %v; want 2", evidence, err)
		}
		if n, err := s.Verify(ctx, func(f Fault) { t.Errorf("%v", f) }); n != int64(len(w.all)-2) || err != nil {
			t.Errorf("verified %d events, %v", n, err)
		}
		if last, err := s.Last(ctx); last != int64(len(w.all)) || err != nil {
			t.Errorf("the newest position is %d, %v", last, err)
		}
		if neighbours, err := s.Servers(ctx); err != nil || slices.Contains(neighbours, w.havel.name) {
			t.Errorf("neighbours after the removal: %v, %v", neighbours, err)
		}
	})
}

func TestAnErasedTextIsNowhereAndIsNotTakenAgain(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w := newWorld(t)
		thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
		secret := w.post(w.havel, w.jan, thread.ID, "verysecretword")
		edit := w.do(w.havel, w.jan, threads.Edit{Channel: w.c.ID, Target: secret.ID, Body: "stillsecretword"})[0]
		w.do(w.kobo, w.ana, threads.Erase{Channel: w.c.ID, Target: secret.ID})
		feed(t, s, w.c.ID, w.all...)
		err := s.Write(ctx, func(tx journal.Tx) error {
			c, err := tx.Channel(w.c.ID)
			if err != nil {
				return err
			}
			target, err := tx.Find(w.c.ID, secret.ID)
			if err != nil || !target.Erased || target.Thread != thread.ID {
				t.Errorf("the target is %+v, %v", target, err)
			}
			_, err = tx.Fill(c.Clone(), int64(len(w.all)), []*threads.Event{secret, edit})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{
			"select count(*) from event where hash8 in (?, ?) and content is not null",
			"select count(*) from write where pos in (select pos from event where hash8 in (?, ?)) and value is not null",
		} {
			var left int
			err := s.readers.Get(&left, s.bind(query), hash8(raw(secret.ID)), hash8(raw(edit.ID)))
			if err != nil || left != 0 {
				t.Errorf("%s: %d, %v", query, left, err)
			}
		}
		if text := dump(t, s, w.c.ID); strings.Contains(text, "secretword") {
			t.Errorf("the text is still there:\n%s", text)
		}
		if missing, err := s.MissingContents(ctx, w.c.ID, 10); len(missing) > 0 || err != nil {
			t.Errorf("missing: %v, %v", missing, err)
		}
	})
}
