package store

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

func testInvitation(n int) threads.Invitation {
	return threads.Invitation{
		ID: fmt.Sprintf("id-%03d", n), Direction: threads.InvitationIn, Offer: fmt.Sprintf("offer-%d", n),
		Channel: hashText(bytes.Repeat([]byte{9}, 32)), Host: testPartner, Name: "Bridge", Purpose: "Build it",
		Role: threads.RoleMember, Inviter: testID(testPartner, 1), Invitee: testID(testServer, 1),
		Address: "ana@kobo.example", State: threads.InvitationPending, Created: testNow, Changed: testNow,
	}
}

func TestAnOfferRepeatedIsOneInvitation(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		want := testInvitation(1)
		if got, err := s.AddInvitation(ctx, want); err != nil || !cmp.Equal(got, want) {
			t.Fatalf("%v %s", err, cmp.Diff(want, got))
		}
		again := want
		again.ID, again.Name = "id-002", "Other"
		if got, err := s.AddInvitation(ctx, again); err != nil || !cmp.Equal(got, want) {
			t.Errorf("repeated: %v %s", err, cmp.Diff(want, got))
		}
		if got, err := s.InvitationByOffer(ctx, want.Direction, want.Host, want.Offer); err != nil || !cmp.Equal(got, want) {
			t.Errorf("by offer: %v %s", err, cmp.Diff(want, got))
		}
	})
}

func TestAnInvitationMovesOnFromTheStateItIsIn(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		i, err := s.AddInvitation(ctx, testInvitation(1))
		if err != nil {
			t.Fatal(err)
		}
		i.State, i.Changed = threads.InvitationAccepted, testNow.Add(time.Hour)
		if err := s.SetInvitation(ctx, i, threads.InvitationPending); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Invitation(ctx, i.ID); err != nil || !cmp.Equal(got, i) {
			t.Errorf("%v %s", err, cmp.Diff(i, got))
		}
		declined := i
		declined.State = threads.InvitationDeclined
		wantRefusal(t, s.SetInvitation(ctx, declined, threads.InvitationPending), threads.Conflict, "invitation_state")
		unknown := declined
		unknown.ID = "nothing"
		wantRefusal(t, s.SetInvitation(ctx, unknown, threads.InvitationPending), threads.NotFound, "not_found")
		if got, _, err := s.InvitationsIn(ctx, threads.InvitationIn, threads.InvitationAccepted, threads.Page{}); err != nil || !cmp.Equal(got, []threads.Invitation{i}) {
			t.Errorf("accepted: %v %v", got, err)
		}
	})
}

func TestInvitationsAreListedNewestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		var want []threads.Invitation
		for n := range 5 {
			i, err := s.AddInvitation(ctx, testInvitation(n))
			if err != nil {
				t.Fatal(err)
			}
			want = append([]threads.Invitation{i}, want...)
		}
		got, next, err := s.Invitations(ctx, testID(testServer, 1), threads.Page{Limit: 3})
		if err != nil || !cmp.Equal(got, want[:3]) {
			t.Fatalf("%v %s", err, cmp.Diff(want[:3], got))
		}
		if got, next, err = s.Invitations(ctx, testID(testServer, 1), threads.Page{After: next}); err != nil || next != "" || !cmp.Equal(got, want[3:]) {
			t.Errorf("%v %s", err, cmp.Diff(want[3:], got))
		}
		if got, _, err = s.InvitationsOf(ctx, want[0].Channel, threads.Page{}); err != nil || len(got) != 0 {
			t.Errorf("invitations to us are listed as ours: %v %v", got, err)
		}
	})
}

func TestAHostCannotHeapInvitationsOnAPerson(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		for n := range threads.MaxInvitations {
			if _, err := s.AddInvitation(ctx, testInvitation(n)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.AddInvitation(ctx, testInvitation(threads.MaxInvitations))
		wantRefusal(t, err, threads.TooMany, "too_many_invitations")
		if _, err := s.AddInvitation(ctx, testInvitation(0)); err != nil {
			t.Errorf("a known one repeated: %v", err)
		}
		other := testInvitation(threads.MaxInvitations + 1)
		other.Host = "other.example"
		if _, err := s.AddInvitation(ctx, other); err != nil {
			t.Errorf("another host: %v", err)
		}
	})
}
