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
