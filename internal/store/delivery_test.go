package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

func (w readable) partner(change func(*threads.Partner)) {
	w.t.Helper()
	p := threads.Partner{Name: testPartner, State: threads.PartnerAllowed, Added: testNow}
	change(&p)
	if err := w.s.SavePartner(context.Background(), p, testAct); err != nil {
		w.t.Fatalf("%v", err)
	}
	if err := w.s.SaveExchange(context.Background(), threads.Fence{}, testPartner, p.Exchange); err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w readable) outcomes(id threads.Hash) []threads.Outcome {
	w.t.Helper()
	all, err := w.r.Delivery(context.Background(), w.ana, id)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return all
}

func TestDeliveryIsDerivedFromWhatThePartnerHas(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		thread, first := w.newThread(w.kobo, w.ana, "Crane", "one")
		second := w.posted(w.kobo, w.ana, thread.ID, "two")
		third := w.posted(w.kobo, w.ana, thread.ID, "three")
		last, err := w.s.Last(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := func(name string, e *threads.Event, o threads.Outcome) {
			t.Helper()
			o.Partner = testPartner
			if got := w.outcomes(e.ID); !cmp.Equal(got, []threads.Outcome{o}) {
				t.Errorf("%s: %s", name, cmp.Diff([]threads.Outcome{o}, got))
			}
		}
		written := func(e *threads.Event) time.Time { return e.Header.Time.Wall() }
		want("unknown partner", first, threads.Outcome{State: "queued", Since: written(first)})
		w.partner(func(p *threads.Partner) { p.Error, p.Remedy, p.Attempts = "no answer", "wait", 4 })
		want("unreachable", first, threads.Outcome{State: "queued", Since: written(first), Attempts: 4, Error: "no answer", Remedy: "wait"})
		w.partner(func(p *threads.Partner) { p.State = threads.PartnerBlocked })
		want("blocked", first, threads.Outcome{
			State: "queued", Since: written(first), Error: "this server exchanges nothing with it", Remedy: "an administrator here can allow it",
		})
		w.partner(func(p *threads.Partner) { p.Cursor = last - 1 })
		want("before the cursor", second, threads.Outcome{State: "delivered"})
		want("beyond the cursor", third, threads.Outcome{State: "queued", Since: written(third)})

		w.partner(func(p *threads.Partner) { p.Cursor = last })
		trouble := threads.PartnerChannel{
			Partner: testPartner, Channel: w.c.ID, State: threads.ChannelRejected, Epoch: first.Header.Epoch,
			Have: first.Header.Seq, Since: testNow, Attempts: 2, Error: "refused", Remedy: "look",
		}
		if err := w.s.SavePartnerChannel(ctx, threads.Fence{}, trouble); err != nil {
			t.Fatal(err)
		}
		want("applied there", first, threads.Outcome{State: "delivered"})
		want("rejected", second, threads.Outcome{State: "rejected", Since: testNow, Attempts: 2, Error: "refused", Remedy: "look"})
		want("after the rejected one", third, threads.Outcome{State: "queued", Since: written(third), Attempts: 2, Error: "refused", Remedy: "look"})
		trouble.State = threads.ChannelParked
		if err := w.s.SavePartnerChannel(ctx, threads.Fence{}, trouble); err != nil {
			t.Fatal(err)
		}
		want("parked", third, threads.Outcome{State: "parked", Since: testNow, Attempts: 2, Error: "refused", Remedy: "look"})
		w.fed(w.do(w.kobo, w.ana, threads.RemoveServer{Channel: w.c.ID, Server: testPartner})...)
		want("removed", third, threads.Outcome{State: "removed"})
		after := w.posted(w.kobo, w.ana, thread.ID, "four")
		if got := w.outcomes(after.ID); len(got) != 0 {
			t.Errorf("written after the removal: %v", got)
		}
	})
}

func TestNothingIsSaidOfTheDeliveryOfOthersMessages(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		thread, _ := w.newThread(w.kobo, w.ana, "Crane", "one")
		reply := w.posted(w.havel, w.jan, thread.ID, "two")
		if got := w.outcomes(reply.ID); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

func TestTheBacklogIsWhatLiesBeyondThePartnersCursor(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		want := func(events int64, oldest time.Time) {
			t.Helper()
			got, err := w.s.Backlog(ctx, testPartner)
			if err != nil || !cmp.Equal(got, threads.Backlog{Events: events, Oldest: oldest}) {
				t.Errorf("%+v, %v; want %d since %v", got, err, events, oldest)
			}
		}
		want(0, time.Time{})
		last, err := w.s.Last(ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.partner(func(p *threads.Partner) { p.Cursor = last })
		want(0, time.Time{})
		thread, _ := w.newThread(w.kobo, w.ana, "Crane", "one")
		w.posted(w.havel, w.jan, thread.ID, "not ours")
		w.fed(w.do(w.kobo, w.ana, threads.ChangeRole{Channel: w.c.ID, Person: w.ben, Role: threads.RoleReader})...)
		want(3, testNow)
		err = w.s.SavePartnerChannel(ctx, threads.Fence{}, threads.PartnerChannel{
			Partner: testPartner, Channel: w.c.ID, State: threads.ChannelBehind, Epoch: thread.Header.Epoch, Have: 1, Since: testNow,
		})
		if err != nil {
			t.Fatal(err)
		}
		want(1, testNow)
	})
}

func TestWhoCameLaterIsNotCountedAmongThoseWhoGotAMessage(t *testing.T) {
	for history, want := range map[string]int{"joined": 0, "full": 1} {
		t.Run(history, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				w := &world{t: t, kobo: newHouse("kobo.example"), havel: newHouse("havel.example"), now: testNow}
				w.ana, w.jan, w.c = w.kobo.person("ana"), w.havel.person("jan"), threads.NewChannel("")
				w.do(w.kobo, w.ana, threads.CreateChannel{Settings: threads.Settings{Name: "Harbour", Kind: "work", History: history}})
				thread, before := w.thread(w.kobo, w.ana, "Crane", "before")
				w.join(w.jan)
				after := w.post(w.kobo, w.ana, thread.ID, "after")
				feed(t, s, w.c.ID, w.all...)
				r := readable{w, s, s.Reading()}
				if got := r.outcomes(before.ID); len(got) != want {
					t.Errorf("before it came: %v", got)
				}
				if got := r.outcomes(after.ID); len(got) != 1 {
					t.Errorf("since it came: %v", got)
				}
			})
		})
	}
}
