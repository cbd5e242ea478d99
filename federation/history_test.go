package federation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"meridian/threads"
	"meridian/threads/worktime"
)

// trio is three servers that are all partners of each other, with a person each, and a channel of the
// first one's in which all three are.
type trio struct {
	a, b, c         *site
	ana, ben, cem   threads.PersonRecord
	channel, thread threads.Hash
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	x := &trio{a: newSite(t), b: newSite(t), c: newSite(t)}
	befriend(t, x.a, x.b)
	befriend(t, x.a, x.c)
	befriend(t, x.b, x.c)
	x.ana, x.ben, x.cem = x.a.person("ana"), x.b.person("ben"), x.c.person("cem")
	x.channel, x.thread, _ = found(x.a, x.ana.ID, "full")
	join(t, x.a, x.ana.ID, x.channel, x.b, x.ben)
	join(t, x.a, x.ana.ID, x.channel, x.c, x.cem)
	same(t, x.channel, x.a, x.b, x.c)
	return x
}

func TestANewcomerToAFullHistoryGetsWhatLiesBelow(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	for i := range 700 {
		post(a, ana.ID, channel, thread, fmt.Sprint("before ", i))
	}
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	post(b, ben.ID, channel, thread, "I am here.")
	same(t, channel, a, b)
	for id, log := range b.channel(channel).Logs {
		if log.From != 1 {
			t.Errorf("log %v starts at %d", id, log.From)
		}
	}
}

func TestANewcomerToAJoinedHistoryGetsNothingOfBefore(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, first := found(a, ana.ID, "joined")
	join(t, a, ana.ID, channel, b, ben)
	later := post(a, ana.ID, channel, thread, "After.")
	eventually(t, time.Minute, "what follows arrives", func() bool {
		events, err := b.store.EventsByID(context.Background(), channel, []threads.Hash{later})
		return err == nil && len(events) == 1
	})
	events, err := b.store.EventsByID(context.Background(), channel, []threads.Hash{thread, first})
	if err != nil || len(events) != 0 {
		t.Errorf("%d events of before joining, %v", len(events), err)
	}
}

// A copy that ended when its server was removed is met from above when a later
// membership sees all history.
func TestHistoryGoesOnBelowWhatIsHeldFromAnEarlierMembership(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "joined")
	join(t, a, ana.ID, channel, b, ben)
	arrives := func(text string) {
		t.Helper()
		id := post(a, ana.ID, channel, thread, text)
		eventually(t, time.Minute, text, func() bool {
			events, err := b.store.EventsByID(context.Background(), channel, []threads.Hash{id})
			return err == nil && len(events) == 1
		})
	}
	arrives("Held from the first time.")
	arrives("And this.")
	leaves := func() {
		t.Helper()
		command := threads.RemoveServer{Channel: channel, Server: b.name}
		if err := a.exchange.BeforeCommand(context.Background(), command); err != nil {
			t.Fatal(err)
		}
		a.do(ana.ID, command)
		eventually(t, time.Minute, "the removal arrives", func() bool { return !b.channel(channel).IsMember(b.name) })
		post(a, ana.ID, channel, thread, "While b is out.")
	}
	leaves()
	join(t, a, ana.ID, channel, b, ben)
	arrives("Held from the second time.")
	leaves()
	a.do(ana.ID, threads.ChangeSettings{Channel: channel, Settings: threads.Settings{History: "full"}})
	join(t, a, ana.ID, channel, b, ben)
	post(a, ana.ID, channel, thread, "Since the third time.")
	same(t, channel, a, b)
	for id, log := range b.channel(channel).Logs {
		if log.From != 1 {
			t.Errorf("log %v starts at %d", id, log.From)
		}
	}
}

func TestPostsReachAMemberThroughOthersWhileTheirServerIsDown(t *testing.T) {
	x := newTrio(t)
	x.c.handler.set(true) // c is cut off from all: it can ask, nobody reaches it
	x.c.close()
	post(x.b, x.ben.ID, x.channel, x.thread, "From b, while c is away.")
	same(t, x.channel, x.a, x.b)
	x.b.close() // and then the author's server is away
	x.c.handler.set(false)
	x.c.open()
	same(t, x.channel, x.a, x.c)
}

func TestAServerCutOffWhileItWasRemovedLosesWhatLiesBeyondTheCut(t *testing.T) {
	x := newTrio(t)
	x.b.handler.set(true)
	x.a.handler.set(true)
	x.c.handler.set(true)
	lost := post(x.b, x.ben.ID, x.channel, x.thread, "Nobody heard this in time.")
	time.Sleep(50 * time.Millisecond)
	x.a.handler.set(false)
	x.c.handler.set(false)
	command := threads.RemoveServer{Channel: x.channel, Server: x.b.name}
	if err := x.a.exchange.BeforeCommand(context.Background(), command); err != nil {
		t.Fatal(err)
	}
	x.a.do(x.ana.ID, command)
	after := post(x.a, x.ana.ID, x.channel, x.thread, "Among us.")
	x.b.handler.set(false)
	for _, s := range []*site{x.a, x.b, x.c} {
		for _, o := range []*site{x.a, x.b, x.c} {
			if s != o {
				if _, err := s.exchange.RetryPartner(context.Background(), o.name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	eventually(t, time.Minute, "the removed server hears of its removal", func() bool { return !x.b.channel(x.channel).IsMember(x.b.name) })
	same(t, x.channel, x.a, x.c)
	time.Sleep(100 * time.Millisecond)
	for _, s := range []*site{x.a, x.c} {
		if events, _ := s.store.EventsByID(context.Background(), x.channel, []threads.Hash{lost}); len(events) != 0 {
			t.Errorf("%s holds what lies beyond the cut", s.name)
		}
	}
	if events, _ := x.b.store.EventsByID(context.Background(), x.channel, []threads.Hash{after}); len(events) != 0 {
		t.Error("the removed server holds what was written after its removal")
	}
}

func TestAnOwnerElsewhereHasTheHostChangeMembers(t *testing.T) {
	x := newTrio(t)
	ctx := context.Background()
	x.a.do(x.ana.ID, threads.ChangeRole{Channel: x.channel, Person: x.ben.ID, Role: threads.RoleOwner})
	same(t, x.channel, x.a, x.b, x.c)
	dora := x.c.person("dora")
	if _, err := x.b.exchange.Invite(ctx, x.ben.ID, x.channel, dora.Address, threads.RoleReader); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "dora is invited", func() bool {
		mine, _, err := x.c.store.Invitations(ctx, dora.ID, threads.Page{})
		if err != nil || len(mine) != 1 {
			return false
		}
		_, err = x.c.exchange.Answer(ctx, dora.ID, mine[0].ID, true)
		return err == nil
	})
	same(t, x.channel, x.a, x.b, x.c)
	if role := x.b.channel(x.channel).Role(dora.ID); role != threads.RoleReader {
		t.Fatalf("dora is %q", role)
	}
	order := func(actor string, c threads.Command) error {
		return x.b.exchange.Command(ctx, orderOf(actor, c))
	}
	if err := order(x.ben.ID, threads.RemoveMember{Channel: x.channel, Person: x.cem.ID}); err != nil {
		t.Fatal(err)
	}
	if role := x.b.channel(x.channel).Role(x.cem.ID); role != threads.RoleNone {
		t.Errorf("cem is still %q where it was ordered", role)
	}
	if err := order(x.cem.ID, threads.RemoveMember{Channel: x.channel, Person: x.ana.ID}); err == nil {
		t.Error("a server ordered something for another server's person")
	}
	same(t, x.channel, x.a, x.b, x.c)
}

func TestProfilesOfMembersAreKnownEverywhere(t *testing.T) {
	x := newTrio(t)
	for _, s := range []*site{x.a, x.b, x.c} {
		for _, p := range []threads.PersonRecord{x.ana, x.ben, x.cem} {
			eventually(t, time.Minute, "the address of "+p.Address+" is known", func() bool {
				known, err := s.store.Person(context.Background(), p.ID)
				return err == nil && known.Address == p.Address && known.Zone == p.Zone
			})
		}
	}
}

func TestBothSidesReckonByTheHoursThatSomebodySet(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	ctx, zone := context.Background(), "Asia/Kathmandu"
	hours, err := threads.FormatHours(worktime.Hours{"sun": {"10:00-13:00", "14:00-18:15"}, "fri": {"22:00-06:00"}})
	if err != nil {
		t.Fatal(err)
	}
	if ben, err = b.store.ChangeProfile(ctx, threads.ProfileChange{Person: ben.ID, Zone: &zone, Hours: &hours, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	channel, _, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	var known threads.PersonRecord
	eventually(t, time.Minute, "the hours of ben are known at his partner", func() bool {
		known, err = a.store.Person(ctx, ben.ID)
		return err == nil && known.Hours != ""
	})
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	there, err := threads.Expect(&known, &ana, threads.Standard, at)
	if err != nil {
		t.Fatal(err)
	}
	here, err := threads.Expect(&ben, &ana, threads.Standard, at)
	if err != nil || known.Hours != ben.Hours || !here.Due.Equal(there.Due) || here.Basis != threads.BasisProfile {
		t.Errorf("due at %s here and at %s there: %v", here.Due, there.Due, err)
	}
}

func TestMembersWhoAreNoPartnersExchangeTheChannelAndNothingElse(t *testing.T) {
	a, b, c := newSite(t), newSite(t), newSite(t)
	befriend(t, a, b)
	befriend(t, a, c)
	ana, ben, cem := a.person("ana"), b.person("ben"), c.person("cem")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	join(t, a, ana.ID, channel, c, cem)
	same(t, channel, a, b, c)
	a.close()
	post(b, ben.ID, channel, thread, "Without the host.")
	same(t, channel, b, c)
	own, _, _ := found(b, ben.ID, "full")
	if _, err := b.exchange.Invite(context.Background(), ben.ID, own, cem.Address, threads.RoleMember); err == nil {
		t.Error("a server that is no partner was invited")
	}
	if _, err := b.exchange.BlockPartner(context.Background(), threads.ByAdmin, c.name); err != nil {
		t.Fatal(err)
	}
	kept := post(b, ben.ID, channel, thread, "Not for the blocked.")
	time.Sleep(300 * time.Millisecond)
	if events, _ := c.store.EventsByID(context.Background(), channel, []threads.Hash{kept}); len(events) != 0 {
		t.Error("a blocked member was sent something")
	}
}

func TestARemovedServerHearsOfItFromAMemberItDidNotKnowWhileTheHostIsAway(t *testing.T) {
	a, b, c := newSite(t), newSite(t), newSite(t)
	befriend(t, a, b)
	befriend(t, a, c)
	befriend(t, b, c)
	ana, ben, cem := a.person("ana"), b.person("ben"), c.person("cem")
	channel, _, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	b.close()
	join(t, a, ana.ID, channel, c, cem)
	a.do(ana.ID, threads.RemoveServer{Channel: channel, Server: b.name})
	same(t, channel, a, c)
	a.close()
	b.open()
	eventually(t, time.Minute, "it hears of its removal", func() bool { return !b.channel(channel).IsMember(b.name) })
}

// What a server that was removed twice still lacks of the control log, nobody compares: it is remembered.
// It refused the second time, for it was written by a clock ahead of its own.
func TestARemovalThatWasRefusedIsToldAfterARestart(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, _, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	remove := threads.RemoveServer{Channel: channel, Server: b.name}
	a.do(ana.ID, remove)
	eventually(t, time.Minute, "the first removal is told", func() bool { return !b.channel(channel).IsMember(b.name) })
	fast := func() time.Time { return time.Now().Add(3 * time.Minute) }
	a.close()
	a.now = fast
	a.open()
	join(t, a, ana.ID, channel, b, ben)
	a.do(ana.ID, remove)
	eventually(t, time.Minute, "the channel is set aside", func() bool {
		rows, _, err := a.store.PartnerChannels(context.Background(), b.name, threads.Page{Limit: 10})
		return err == nil && len(rows) == 1 && rows[0].State != threads.ChannelBehind
	})
	a.close()
	b.close()
	b.now = fast
	b.open()
	a.open()
	eventually(t, time.Minute, "the second removal is told", func() bool {
		_, err := a.exchange.RetryPartner(context.Background(), b.name)
		return err == nil && b.channel(channel).RemovedAt(b.name) == a.channel(channel).RemovedAt(b.name)
	})
}
