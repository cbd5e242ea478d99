package federation_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/threads"
)

func TestWhatAPartnerCannotTakeHoldsUpNothingElse(t *testing.T) {
	ctx := context.Background()
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	bad, badThread, _ := found(a, ana.ID, "full")
	good, goodThread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, bad, b, ben)
	join(t, a, ana.ID, good, b, ben)
	same(t, bad, a, b)
	same(t, good, a, b)
	b.handler.mu.Lock()
	b.handler.chokes = "arsenic"
	b.handler.mu.Unlock()
	post(a, ana.ID, bad, badThread, "arsenic")
	for range 10 {
		post(a, ana.ID, good, goodThread, "water")
	}
	eventually(t, time.Minute, "the channel that can be taken is abreast", func() bool { return a.hash(good) == b.hash(good) })
	eventually(t, time.Minute, "the administrator sees the other", func() bool {
		channels, _, err := a.store.PartnerChannels(ctx, b.name, threads.Page{})
		return err == nil && len(channels) == 1 && channels[0].Channel == bad && channels[0].State == threads.ChannelRejected && channels[0].Remedy != ""
	})
	b.handler.mu.Lock()
	b.handler.chokes = ""
	b.handler.mu.Unlock()
	if _, err := a.exchange.RetryPartner(ctx, b.name); err != nil {
		t.Fatal(err)
	}
	same(t, bad, a, b)
	eventually(t, time.Minute, "nothing is in trouble any more", func() bool {
		channels, _, err := a.store.PartnerChannels(ctx, b.name, threads.Page{})
		return err == nil && len(channels) == 0
	})
}

func TestWhatAnAnswerSaidIsAskedAgainWhereItCouldNotBeTakenUp(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	post(a, ana.ID, channel, thread, "with this the joining is over")
	same(t, channel, a, b)
	var pushes atomic.Int64
	b.handler.mu.Lock()
	b.handler.hears = func(body string) {
		if strings.Contains(body, "a word once spoken") && pushes.Add(1) == 1 {
			a.failing.Store(true)
		}
	}
	b.handler.mu.Unlock()
	post(a, ana.ID, channel, thread, "a word once spoken")
	eventually(t, time.Minute, "pushed again", func() bool { return pushes.Load() > 1 })
	same(t, channel, a, b)
}

func TestAMissingContentIsFetchedFromWhoHasIt(t *testing.T) {
	x := newTrio(t)
	ctx := context.Background()
	x.a.handler.set(true)
	id := post(x.b, x.ben.ID, x.channel, x.thread, "The content took another way.")
	same(t, x.channel, x.b, x.c)
	x.b.close()
	events, err := x.c.store.EventsByID(ctx, x.channel, []threads.Hash{id})
	if err != nil || len(events) != 1 {
		t.Fatal(err)
	}
	x.a.handler.set(false)
	bare := *events[0]
	bare.Content = nil
	if got := (liar{t, x.b.name, x.b.key}).push(x.a, &bare); strings.Contains(got.body, "refusals") {
		t.Fatal(got.body)
	}
	missing, err := x.a.store.MissingContents(ctx, x.channel, 10)
	if err != nil || len(missing) != 1 || missing[0] != id {
		t.Fatalf("missing %v, %v", missing, err)
	}
	if _, err := x.a.exchange.RetryPartner(ctx, x.c.name); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the content is fetched", func() bool {
		missing, err := x.a.store.MissingContents(ctx, x.channel, 10)
		return err == nil && len(missing) == 0
	})
	same(t, x.channel, x.a, x.c)
}

func TestASignOfLifeEndsTheWait(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	b.close()
	post(a, ana.ID, channel, thread, "While you were away.")
	eventually(t, time.Minute, "some tries have failed", func() bool {
		if _, err := a.exchange.RetryPartner(context.Background(), b.name); err != nil {
			t.Fatal(err)
		}
		p, err := a.store.Partner(context.Background(), b.name)
		return err == nil && p.Attempts > 12 && p.Error != "" && p.Remedy != ""
	})
	b.open() // by itself the next try is up to an hour away
	eventually(t, time.Minute, "it arrives", func() bool { return a.hash(channel) == b.hash(channel) })
}
