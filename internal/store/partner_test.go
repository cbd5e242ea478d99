package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

const testPartner = "havel.example"

func TestWhatIsDecidedAndHowItGoesAreKeptApart(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		_, err := s.Partner(ctx, testPartner)
		wantRefusal(t, err, threads.NotFound, "not_found")
		want := threads.Partner{
			Name: testPartner, State: threads.PartnerAllowed, Fingerprint: "ab cd", Verified: true, Hold: "paused", Added: testNow,
			Key: threads.Key{ID: "k1", Public: ed25519.PublicKey(bytes.Repeat([]byte{7}, 32))},
		}
		if err := s.SavePartner(ctx, want, testAct); err != nil {
			t.Fatal(err)
		}
		want.Exchange = threads.Exchange{
			ContactIn: testNow.Add(time.Second), ContactOut: testNow.Add(2 * time.Second),
			Error: "the name does not resolve", Remedy: "check its DNS", Attempts: 3, NextTry: testNow.Add(time.Minute),
			ClockDiff: -1500 * time.Millisecond, Cursor: 42, Versions: []int64{1, 2},
		}
		if err := s.SaveExchange(ctx, threads.Fence{}, testPartner, want.Exchange); err != nil {
			t.Fatal(err)
		}
		want.State, want.Hold = threads.PartnerBlocked, ""
		again := want
		again.Exchange = threads.Exchange{}
		if err := s.SavePartner(ctx, again, testAct); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Partner(ctx, testPartner); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
	})
}

func TestAContactMakesAPendingEntryOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		want := threads.Partner{Name: testPartner, State: threads.PartnerPending, Fingerprint: "ab", Added: testNow}
		if got, err := s.NotePartner(ctx, testPartner, "ab", testNow); err != nil || !cmp.Equal(got, want) {
			t.Fatalf("%v %s", err, cmp.Diff(want, got))
		}
		if got, err := s.NotePartner(ctx, testPartner, "cd", testNow.Add(time.Hour)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("a second contact changed it: %v %s", err, cmp.Diff(want, got))
		}
	})
}

func TestPendingPartnersAreBoundedAndOthersStay(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		allowed := threads.Partner{Name: testPartner, State: threads.PartnerAllowed}
		if err := s.SavePartner(ctx, allowed, testAct); err != nil {
			t.Fatal(err)
		}
		fill := `INSERT INTO partner (name, state, key_id, fingerprint, verified, hold, added) VALUES (?, 'pending', '', '', FALSE, '', ?)`
		err := s.change(ctx, func(tx *sqlx.Tx) error {
			for n := range maxPending {
				tx.MustExec(s.bind(fill), fmt.Sprintf("p%d.example", n), n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.NotePartner(ctx, "new.example", "", testNow); err != nil {
			t.Fatal(err)
		}
		_, err = s.Partner(ctx, "p0.example")
		wantRefusal(t, err, threads.NotFound, "not_found")
		for _, name := range []string{"p1.example", "new.example", testPartner} {
			if _, err := s.Partner(ctx, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		got, next, err := s.Partners(ctx, threads.PartnerAllowed, threads.Page{})
		if err != nil || next != "" || len(got) != 1 || got[0].Name != testPartner {
			t.Errorf("allowed: %v %v", got, err)
		}
		all, next, err := s.Partners(ctx, "", threads.Page{Limit: 2})
		if err != nil || next == "" || len(all) != 2 || all[0].Name != testPartner || all[1].Name != "new.example" {
			t.Errorf("all: %v %v", all, err)
		}
	})
}

func TestAChannelsTroubleAtAPartnerIsKeptWhileItLasts(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		var want []threads.PartnerChannel
		for n := range 3 {
			raw := bytes.Repeat([]byte{byte(n)}, 32)
			c := threads.PartnerChannel{
				Partner: testPartner, Channel: hashText(raw), State: threads.ChannelBehind, Epoch: 1 << 32,
				Have: int64(n), Since: testNow, Attempts: 1, Error: "e", Remedy: "r",
			}
			if err := s.SavePartnerChannel(ctx, threads.Fence{}, c); err != nil {
				t.Fatal(err)
			}
			c.State, c.Attempts = threads.ChannelParked, 2
			if err := s.SavePartnerChannel(ctx, threads.Fence{}, c); err != nil {
				t.Fatal(err)
			}
			want = append(want, c)
		}
		got, next, err := s.PartnerChannels(ctx, testPartner, threads.Page{Limit: 2})
		if err != nil || !cmp.Equal(got, want[:2]) {
			t.Fatalf("%v %s", err, cmp.Diff(want[:2], got))
		}
		if got, _, err = s.PartnerChannels(ctx, testPartner, threads.Page{After: next}); err != nil || !cmp.Equal(got, want[2:]) {
			t.Errorf("%v %s", err, cmp.Diff(want[2:], got))
		}
		if err := s.ClearPartnerChannel(ctx, threads.Fence{}, testPartner, want[0].Channel); err != nil {
			t.Fatal(err)
		}
		if got, _, err = s.PartnerChannels(ctx, testPartner, threads.Page{}); err != nil || !cmp.Equal(got, want[1:]) {
			t.Errorf("%v %s", err, cmp.Diff(want[1:], got))
		}
	})
}
