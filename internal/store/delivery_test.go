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
	if err := w.s.SavePartner(context.Background(), p); err != nil {
		w.t.Fatalf("%v", err)
	}
	if err := w.s.SaveExchange(context.Background(), testPartner, p.Exchange); err != nil {
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
		if err := w.s.SavePartnerChannel(ctx, trouble); err != nil {
			t.Fatal(err)
		}
		want("applied there", first, threads.Outcome{State: "delivered"})
		want("rejected", second, threads.Outcome{State: "rejected", Since: testNow, Attempts: 2, Error: "refused", Remedy: "look"})
		want("after the rejected one", third, threads.Outcome{State: "queued", Since: written(third), Attempts: 2, Error: "refused", Remedy: "look"})
		trouble.State = threads.ChannelParked
		if err := w.s.SavePartnerChannel(ctx, trouble); err != nil {
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
		err = w.s.SavePartnerChannel(ctx, threads.PartnerChannel{
			Partner: testPartner, Channel: w.c.ID, State: threads.ChannelBehind, Epoch: thread.Header.Epoch, Have: 1, Since: testNow,
		})
		if err != nil {
			t.Fatal(err)
		}
		want(1, testNow)
	})
}

func TestProfilesGoToServersThatShareAChannel(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		for name, id := range map[string]string{"ana": w.ana, "zoe": testID(testServer, 9)} {
			if _, err := w.s.CreatePerson(ctx, threads.NewPerson{ID: id, Name: name, Created: testNow}); err != nil {
				t.Fatal(err)
			}
		}
		ask := []string{w.ana, testID(testServer, 9), w.jan, "nobody"}
		got, err := w.s.SharedPeople(ctx, testPartner, ask)
		if err != nil || len(got) != 1 || got[0].Address != "ana@kobo.example" {
			t.Errorf("havel gets %v, %v", got, err)
		}
		if got, err = w.s.SharedPeople(ctx, "other.example", ask); err != nil || len(got) != 0 {
			t.Errorf("another server gets %v, %v", got, err)
		}
		if _, err := w.s.LearnProfile(ctx, threads.PersonRecord{ID: w.jan, Address: "jan@havel.example", Name: "Jan", Version: 5}); err != nil {
			t.Fatal(err)
		}
		versions := map[string]int64{}
		for after := ""; ; {
			some, err := w.s.PeopleOf(ctx, testPartner, after, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(some) == 0 {
				break
			}
			after = some[0].ID
			versions[after] = some[0].Version
		}
		if want := map[string]int64{w.jan: 5, w.eva: 0}; !cmp.Equal(versions, want) {
			t.Error(cmp.Diff(want, versions))
		}
		w.fed(w.do(w.kobo, w.ana, threads.RemoveServer{Channel: w.c.ID, Server: testPartner})...)
		if got, err = w.s.SharedPeople(ctx, testPartner, ask); err != nil || len(got) != 0 {
			t.Errorf("a removed server gets %v, %v", got, err)
		}
	})
}

func TestAFeedHasTheEntriesOfOnesChannelsInTheirOrder(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		other := threads.NewChannel("")
		v := &threads.View{Channel: other, Actor: w.ben, Pen: w.kobo.pen(w.now.Add(time.Minute))}
		if err := (threads.CreateChannel{Settings: threads.Settings{Name: "Ben's own", Kind: "work", History: "full"}}).Decide(v); err != nil {
			t.Fatal(err)
		}
		feed(t, w.s, v.Events[0].ID, v.Events...)
		w.newThread(w.kobo, w.ana, "Crane", "one")
		read := func(person string, limit int) []threads.Hash {
			var ids []threads.Hash
			for after := int64(0); ; {
				entries, through, err := w.r.Entries(ctx, person, after, limit)
				if err != nil || len(entries) > limit {
					t.Fatal(len(entries), err)
				}
				for _, e := range entries {
					ids = append(ids, e.Event.ID)
				}
				if through == after {
					return ids
				}
				after = through
			}
		}
		var want []threads.Hash
		for _, e := range w.all {
			want = append(want, e.ID)
		}
		for _, limit := range []int{1, 3, 100} {
			if got := read(w.ana, limit); !cmp.Equal(got, want) {
				t.Errorf("in steps of %d: %s", limit, cmp.Diff(want, got))
			}
		}
		if got := read(w.ben, 100); len(got) != len(want)+1 {
			t.Errorf("%d entries for a member of both channels, want %d", len(got), len(want)+1)
		}
	})
}

func TestOthersGetNoContentOfAVoidEvent(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		thread, _ := w.newThread(w.kobo, w.ana, "Crane", "one")
		w.fed(w.do(w.kobo, w.ana, threads.ChangeRole{Channel: w.c.ID, Person: w.ben, Role: threads.RoleReader})...)
		last, err := w.s.Last(ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.fed(w.draft(w.kobo, threads.Draft{
			Type: threads.TypeMessagePosted, Actor: w.ben,
			Content: threads.AppendMessage(nil, &threads.Message{Thread: thread.ID, Body: "I may not"}, w.kobo.pen(w.now).Salt()),
		}))
		for person, held := range map[string]bool{w.ana: false, w.ben: true} {
			entries, _, err := w.r.Entries(ctx, person, last, 10)
			if err != nil || len(entries) != 1 || !entries[0].Void || (entries[0].Event.Content != nil) != held {
				t.Errorf("content held: %v wanted; got %v, %v", held, entries, err)
			}
		}
	})
}
