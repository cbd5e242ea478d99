package federation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// order has a person command something through their own server, as clients do.
func (w *company) order(i int, c threads.Command) error {
	ctx, s := context.Background(), w.sites[i]
	o := federation.Order{Actor: w.people[i].ID, Now: s.now(), Command: c}
	if ch := s.channel(c.In()); ch.Host != s.name {
		return s.exchange.Command(ctx, o)
	}
	if err := s.exchange.BeforeCommand(ctx, c); err != nil {
		return err
	}
	return s.exchange.Do(ctx, o)
}

// own makes everybody an owner.
func (w *company) own() {
	w.t.Helper()
	for i := 1; i < 3; i++ {
		if err := w.order(0, threads.ChangeRole{Channel: w.channel, Person: w.people[i].ID, Role: threads.RoleOwner}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.eventually("all know the owners", w.equal)
}

func (w *company) eventually(what string, f func() bool) {
	w.t.Helper()
	eventually(w.t, time.Minute, what, f)
}

func (w *company) hosts(i int) bool {
	for _, s := range w.sites {
		if s.channel(w.channel).Host != w.sites[i].name {
			return false
		}
	}
	return true
}

func TestChannelIsHandedOverAndBack(t *testing.T) {
	onBoth(t, func(t *testing.T, database func(testing.TB) string) {
		w := newCompanyOn(t, database)
		w.own()
		for _, to := range []int{1, 2, 0, 1} {
			if err := w.order(to, threads.HandOver{Channel: w.channel, Server: w.sites[to].name}); err != nil {
				t.Fatalf("hand-over to %d: %v", to, err)
			}
			w.eventually("all know the new host", func() bool { return w.hosts(to) })
			for i := range w.sites {
				if err := w.order(i, threads.ChangeSettings{Channel: w.channel, Settings: threads.Settings{Purpose: w.sites[i].name + w.sites[to].name}}); err != nil {
					t.Fatalf("%d changes the purpose at the new host %d: %v", i, to, err)
				}
			}
			w.eventually("all hold the same", w.equal)
		}
		zoe := w.sites[0].person("zoe")
		join(t, w.sites[1], w.people[1].ID, w.channel, w.sites[0], zoe)
		w.sites[2].rotate(false)
		w.eventually("the new host records a key", func() bool { return w.knows(w.sites[2]) })
		if err := w.order(1, threads.RemoveServer{Channel: w.channel, Server: w.sites[0].name}); err != nil {
			t.Fatalf("the first host is removed: %v", err)
		}
		w.eventually("the first host knows that it is out", func() bool { return !w.sites[0].channel(w.channel).IsMember(w.sites[0].name) })
	})
}

func TestServerThatMissedAHandOverFindsTheNewHost(t *testing.T) {
	w := newCompany(t)
	w.own()
	late := w.sites[2]
	late.stop()
	late.handler.set(true)
	if err := w.order(1, threads.HandOver{Channel: w.channel, Server: w.sites[1].name}); err != nil {
		t.Fatal(err)
	}
	late.handler.set(false)
	if late.channel(w.channel).Host != w.sites[0].name {
		t.Fatal("the late server heard of the hand-over")
	}
	err := w.order(2, threads.ChangeSettings{Channel: w.channel, Settings: threads.Settings{Purpose: "late"}})
	late.start()
	if err != nil {
		t.Errorf("a command to the old host: %v", err)
	}
	w.eventually("all hold the same", func() bool { return w.equal() && late.channel(w.channel).Settings.Purpose == "late" })
}

func TestHandOverWhoseAnswerWasLostHoldsAll(t *testing.T) {
	w := newCompany(t)
	w.own()
	c := w.sites[1].channel(w.channel)
	a := threads.HostAcceptance{Channel: w.channel, From: c.Host, Host: w.sites[1].name, Prev: c.Control.Hash}
	pen := w.sites[1].ring.Pen(w.sites[1].name, random16)
	err := w.sites[0].exchange.Do(context.Background(), federation.Order{Actor: w.people[1].ID, Now: w.sites[0].now(), Command: threads.HandOver{
		Channel: w.channel, Server: w.sites[1].name, Prev: a.Prev, Acceptance: pen.Sign(a.SigningBytes()),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.order(1, threads.HandOver{Channel: w.channel, Server: w.sites[1].name}); err != nil {
		t.Errorf("asking again: %v", err)
	}
	w.eventually("all know the new host", func() bool { return w.hosts(1) })
}

func TestInvitationsOfAFormerHostFailWithTheReason(t *testing.T) {
	w := newCompany(t)
	w.own()
	eve := w.sites[2].person("eve")
	offer := invite(t, w.sites[0], w.people[0].ID, w.channel, w.sites[2], eve)
	if err := w.order(1, threads.HandOver{Channel: w.channel, Server: w.sites[1].name}); err != nil {
		t.Fatal(err)
	}
	i, err := w.sites[2].exchange.Answer(context.Background(), eve.ID, offer, true)
	if err != nil || i.State != threads.InvitationFailed || i.Error == "" {
		t.Errorf("accepting an invitation of the former host: %+v, %v", i, err)
	}
	join(t, w.sites[1], w.people[1].ID, w.channel, w.sites[2], eve)
}

// T04: while the host is away, posting and delivery go on; what only the host can do is refused with the
// remedy.
func TestMembershipChangeWithoutTheHostSaysWhatHelps(t *testing.T) {
	w := newCompany(t)
	w.own()
	w.sites[0].close()
	id, err := w.post(1, "without the host")
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the other member has it", func() bool {
		found, err := w.sites[2].store.EventsByID(context.Background(), w.channel, []threads.Hash{id})
		return err == nil && len(found) == 1
	})
	for _, c := range []threads.Command{
		threads.RemoveMember{Channel: w.channel, Person: w.people[2].ID},
		threads.ChangeSettings{Channel: w.channel, Settings: threads.Settings{Name: "renamed"}},
		threads.HandOver{Channel: w.channel, Server: w.sites[1].name},
	} {
		var refused *threads.Error
		if err := w.order(1, c); !errors.As(err, &refused) || refused.Kind != threads.Unavailable || refused.Code != "host_unreachable" {
			t.Errorf("%T without the host: %v", c, err)
		}
	}
	w.sites[0].open()
	w.eventually("all hold the same", w.equal)
}

// T04: three days without the host.
func TestThreeDaysWithoutTheHost(t *testing.T) {
	w := newCompany(t)
	w.own()
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	for _, s := range w.sites {
		s.close()
		s.now = clock
	}
	w.sites[1].open()
	w.sites[2].open()
	var slowest time.Duration
	posted, late := 0, 0
	for range 24 { // of 3 hours each
		ahead.Add(int64(3 * time.Hour))
		for i := 1; i < 3; i++ {
			id, err := w.post(i, "seaworthy")
			if err != nil {
				t.Fatalf("post %d without the host: %v", posted, err)
			}
			posted++
			begun := time.Now()
			w.eventually("the other member has it", func() bool {
				found, err := w.sites[3-i].store.EventsByID(context.Background(), w.channel, []threads.Hash{id})
				return err == nil && len(found) == 1
			})
			took := time.Since(begun)
			slowest = max(slowest, took)
			if took > 5*time.Second {
				late++
			}
		}
	}
	t.Logf("%d posts in 72 h without the host; the slowest reached the other member in %s", posted, slowest)
	if late > 0 {
		t.Errorf("%d of %d posts took longer than 5 s", late, posted)
	}
	assignee := w.people[2].ID
	w.sites[1].do(w.people[1].ID, threads.ChangeThread{Channel: w.channel, Content: threads.ThreadContent{Object: w.thread, Assignee: &assignee}})
	w.eventually("the thread is handed over", func() bool {
		shown, err := w.sites[2].store.Reading().Thread(context.Background(), w.people[2].ID, w.thread)
		return err == nil && shown.Assignee == assignee
	})
	hits, _, err := w.sites[2].store.Reading().Search(context.Background(), w.people[2].ID, "seaworthy", threads.Page{Limit: 100})
	if err != nil || len(hits) != posted {
		t.Errorf("search finds %d of %d: %v", len(hits), posted, err)
	}
	begun := time.Now()
	w.sites[0].open()
	w.eventually("all hold the same", w.equal)
	t.Logf("equal %s after the host returned", time.Since(begun))
}
