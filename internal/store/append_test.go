package store

import (
	"context"
	"strings"
	"testing"

	"meridian/threads"
	"meridian/threads/journal"
)

func TestAppendedEventsAreReadBackInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w := newWorld(t)
		thread, first := w.thread(w.kobo, w.ana, "Pump 3", "It leaks at the flange.")
		w.post(w.havel, w.jan, thread.ID, "We bring a gasket on Monday.")
		feed(t, s, w.c.ID, w.all...)

		entries, err := s.Entries(ctx, 0, 100)
		if err != nil || len(entries) != len(w.all) {
			t.Fatalf("%d entries of %d, %v", len(entries), len(w.all), err)
		}
		for i, entry := range entries {
			e := w.all[i]
			if entry.Pos != int64(i+1) || entry.Event.ID != e.ID || string(entry.Event.Content) != string(e.Content) {
				t.Errorf("entry %d: position %d, %s", i, entry.Pos, entry.Event.ID)
			}
		}
		c, err := s.Channel(ctx, w.c.ID)
		if err != nil || c.Control != w.c.Control || len(c.Logs) != 2 || c.Host != w.kobo.name {
			t.Fatalf("channel %+v, %v", c, err)
		}
		err = s.Write(ctx, func(tx journal.Tx) error {
			target, err := tx.Find(w.c.ID, first.ID)
			if err != nil || target.Thread != thread.ID || target.Actor != w.ana || target.Ref != first.Header.Ref() {
				t.Errorf("found %+v, %v", target, err)
			}
			at, err := tx.At(w.c.ID, first.Header.Ref())
			if err != nil || at == nil || at.ID != first.ID {
				t.Errorf("at %v is %+v, %v", first.Header.Ref(), at, err)
			}
			_, err = tx.Find(w.c.ID, threads.HashOf(nil))
			if err == nil || !strings.Contains(err.Error(), "not_found") {
				t.Errorf("found what is not there: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAChannelReadFromTheDatabaseEqualsTheOneWritten(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		w := newWorld(t)
		thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
		w.post(w.havel, w.jan, thread.ID, "A gasket.")
		feed(t, s, w.c.ID, w.all...)
		clear(s.shared.channels)
		c, err := s.Channel(context.Background(), w.c.ID)
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range w.c.Logs {
			got := c.Logs[id]
			if got == nil || got.Head != want.Head || got.From != want.From || got.Before != want.Before || got.Control != want.Control {
				t.Errorf("log %v: %+v, want %+v", id, got, want)
			}
		}
		if c.Control != w.c.Control || c.Role(w.eva) != threads.RoleMember || c.Settings != w.c.Settings {
			t.Errorf("control state differs: %+v", c.Control)
		}
	})
}

func TestAFailedTransactionLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w := newWorld(t)
		w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
		err := s.Write(ctx, func(tx journal.Tx) error {
			c := threads.NewChannel(w.c.ID)
			var entries []journal.Entry
			for i, e := range w.all {
				entry, _, err := enter(c, e)
				if err != nil {
					return err
				}
				entry.Pos = int64(i + 1)
				entries = append(entries, entry)
			}
			if err := tx.Append(c, entries); err != nil {
				return err
			}
			return context.Canceled
		})
		if err == nil {
			t.Fatal("the error was lost")
		}
		if last, err := s.Last(ctx); last != 0 || err != nil {
			t.Fatalf("position %d, %v", last, err)
		}
		if c, err := s.Channel(ctx, w.c.ID); c != nil || err != nil {
			t.Fatalf("the channel is there: %v, %v", c, err)
		}
		feed(t, s, w.c.ID, w.all...)
		if last, _ := s.Last(ctx); last != int64(len(w.all)) {
			t.Fatalf("position %d after appending again", last)
		}
	})
}
