package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
	"meridian/threads/journal"
)

func TestALogIsReadUpwardsAndDownwardsWithinItsBounds(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w := newWorld(t)
		thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
		for range 8 {
			w.post(w.kobo, w.ana, thread.ID, "Noted.")
		}
		feed(t, s, w.c.ID, w.all...)
		log := thread.Header.LogID()
		span := func(from int64, limit, bytes int) Span {
			return Span{Channel: w.c.ID, Log: log, From: from, Limit: limit, Bytes: bytes}
		}
		for name, row := range map[string]struct {
			span Span
			want []int64
		}{
			"upwards":              {span(8, 10, 1<<20), []int64{8, 9, 10}},
			"upwards, at most two": {span(3, 2, 1<<20), []int64{3, 4}},
			"one at least":         {span(3, 5, 1), []int64{3}},
			"beyond the head":      {span(11, 5, 1<<20), nil},
			"the control log":      {Span{Channel: w.c.ID, From: 2, Limit: 2, Bytes: 1 << 20}, []int64{2, 3}},
			"of no channel":        {Span{Channel: threads.HashOf(nil), Log: log, From: 1, Limit: 2, Bytes: 1}, nil},
			"of no server": {
				Span{Channel: w.c.ID, Log: threads.LogID{Origin: "nobody.example", Epoch: log.Epoch}, From: 1, Limit: 2, Bytes: 1},
				nil,
			},
		} {
			events, err := s.LogEvents(ctx, row.span)
			var seqs []int64
			for _, e := range events {
				seqs = append(seqs, e.Header.Seq)
			}
			if diff := cmp.Diff(row.want, seqs); diff != "" || err != nil {
				t.Errorf("%s: %v %s", name, err, diff)
			}
		}
	})
}

func TestHistoryTakenBackwardsGivesTheSame(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		w := newWorld(t)
		thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
		m := w.post(w.havel, w.jan, thread.ID, "A gasket.")
		w.do(w.havel, w.jan, threads.Edit{Channel: w.c.ID, Target: m.ID, Body: "Two gaskets."})
		feed(t, s, w.c.ID, w.control...)
		for i := len(w.all) - 1; i >= len(w.control); i-- {
			feed(t, s, w.c.ID, w.all[i])
		}
		there := openTest(t, "sqlite:"+t.TempDir()+"/forwards.db", testServer)
		feed(t, there, w.c.ID, w.all...)
		if diff := cmp.Diff(dump(t, there, w.c.ID), dump(t, s, w.c.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOutcomesAreRememberedUntilTheyAreForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		person := newHouse("kobo.example").person("ana")
		want := journal.Remembered{
			Digest: threads.HashOf([]byte("request")), At: testNow,
			Events: []threads.Hash{threads.HashOf([]byte("1")), threads.HashOf([]byte("2"))},
		}
		key := journal.Key{Person: person, Key: "k1"}
		recall := func() (got *journal.Remembered) {
			t.Helper()
			err := s.Write(ctx, func(tx journal.Tx) (err error) {
				got, err = tx.Recall(key)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := recall(); got != nil {
			t.Fatalf("remembered before: %+v", got)
		}
		if err := s.Write(ctx, func(tx journal.Tx) error { return tx.Remember(key, want) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, recall()); diff != "" {
			t.Error(diff)
		}
		if n, err := s.ForgetOutcomes(ctx, testNow, 10); n != 0 || err != nil {
			t.Errorf("forgot %d that are not older, %v", n, err)
		}
		if n, err := s.ForgetOutcomes(ctx, testNow.Add(time.Second), 10); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		if got := recall(); got != nil {
			t.Errorf("still remembered: %+v", got)
		}
	})
}

func TestAChannelIsExpectedOnceAnInvitationIsAccepted(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		channel := threads.HashOf([]byte("channel"))
		expected := func() (yes bool) {
			t.Helper()
			err := s.Write(ctx, func(tx journal.Tx) (err error) {
				yes, err = tx.Expected(channel)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return yes
		}
		if expected() {
			t.Error("expected before")
		}
		for range 2 { // accepting twice changes nothing
			if err := s.Expect(ctx, channel); err != nil {
				t.Fatal(err)
			}
		}
		if !expected() {
			t.Error("not expected")
		}
	})
}
