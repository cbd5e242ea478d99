package federation_test

import (
	"context"
	"testing"
	"time"

	"meridian/threads"
)

func TestAHostThatWasAwayHearsThatItsOfferWasDeclined(t *testing.T) {
	ctx := context.Background()
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, _, _ := found(a, ana.ID, "full")
	offer := invite(t, a, ana.ID, channel, b, ben)

	a.handler.set(true)
	if i, err := b.exchange.Answer(ctx, ben.ID, offer, false); err != nil || i.State != threads.InvitationDeclined {
		t.Fatalf("decline: %+v, %v", i, err)
	}
	a.handler.set(false)
	eventually(t, time.Minute, "the host knows", func() bool {
		made, _, err := a.store.InvitationsOf(ctx, channel, threads.Page{})
		return err == nil && len(made) == 1 && made[0].State == threads.InvitationDeclined
	})

	again := invite(t, a, ana.ID, channel, b, ben) // a declined offer does not stand in the way of the next
	if i, err := b.exchange.Answer(ctx, ben.ID, again, true); err != nil || i.State != threads.InvitationJoined {
		t.Errorf("accept: %+v, %v", i, err)
	}
}

// TestAnAcceptanceThatTheHostRefusesHoldsUpNothing: whoever invited may not do so
// any more when the answer comes. The invitation fails; all else goes on.
func TestAnAcceptanceThatTheHostRefusesHoldsUpNothing(t *testing.T) {
	ctx := context.Background()
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, cleo, ben, bob := a.person("ana"), a.person("cleo"), b.person("ben"), b.person("bob")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, bob)
	a.do(ana.ID, threads.Join{Channel: channel, Person: cleo.ID, Role: threads.RoleOwner})
	eventually(t, time.Minute, "both hold the thread", func() bool { return a.hash(channel) == b.hash(channel) })
	offer := invite(t, a, cleo.ID, channel, b, ben)

	a.handler.set(true)
	if i, err := b.exchange.Answer(ctx, ben.ID, offer, true); err != nil || i.State != threads.InvitationAccepted {
		t.Fatalf("accept: %+v, %v", i, err)
	}
	a.do(ana.ID, threads.ChangeRole{Channel: channel, Person: cleo.ID, Role: threads.RoleReader})
	a.handler.set(false)
	eventually(t, time.Minute, "the invitation fails", func() bool {
		i, err := b.store.Invitation(ctx, offer)
		return err == nil && i.State == threads.InvitationFailed && i.Error != ""
	})
	b.do(bob.ID, threads.Post{Channel: channel, Message: threads.Message{Thread: thread, Body: "Here all the same."}})
	eventually(t, time.Minute, "what was written is there", func() bool { return a.hash(channel) == b.hash(channel) })
}
