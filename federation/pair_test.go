package federation_test

import (
	"fmt"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
	"meridian/threads"
)

// found makes a channel on a server, with a thread of one message.
func found(s *site, owner, history string) (channel, thread, message threads.Hash) {
	s.t.Helper()
	channel = s.do(owner, threads.CreateChannel{Settings: threads.Settings{Name: "Harbour", Kind: "work", History: history}})[0]
	title := "Pump 3"
	made := s.do(owner, threads.StartThread{Channel: channel, Content: threads.ThreadContent{Title: &title}, Body: "It leaks."})
	return channel, made[0], made[1]
}

func post(s *site, actor string, channel, thread threads.Hash, body string) threads.Hash {
	s.t.Helper()
	return s.do(actor, threads.Post{Channel: channel, Message: threads.Message{Thread: thread, Body: body}})[0]
}

// same waits until servers hold a channel alike.
func same(t testing.TB, channel threads.Hash, sites ...*site) {
	t.Helper()
	eventually(t, time.Minute, "all hold the same", func() bool {
		for _, s := range sites {
			if s.channel(channel) == nil || s.hash(channel) != sites[0].hash(channel) {
				return false
			}
		}
		return true
	})
}

func TestWhatIsPostedOnOneServerIsReadOnTheOther(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	post(b, ben.ID, channel, thread, "A gasket comes on Monday.")
	for i := range 20 {
		post(a, ana.ID, channel, thread, fmt.Sprint("Thanks ", i))
	}
	same(t, channel, a, b)
}

func TestServersOnBothDatabasesHoldTheSame(t *testing.T) {
	a, b := newSite(t), newSiteOn(t, pgtest.URL(t))
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	for _, side := range []struct {
		host, guest *site
		owner, at   threads.PersonRecord
	}{{a, b, ana, ben}, {b, a, ben, ana}} {
		channel, thread, first := found(side.host, side.owner.ID, "full")
		join(t, side.host, side.owner.ID, channel, side.guest, side.at)
		same(t, channel, a, b)
		for i := range 30 {
			id := post(a, ana.ID, channel, thread, fmt.Sprint("ana ", i))
			post(b, ben.ID, channel, thread, fmt.Sprint("ben ", i))
			if i%10 == 0 {
				a.do(ana.ID, threads.Erase{Channel: channel, Target: id})
			}
		}
		side.host.do(side.owner.ID, threads.Edit{Channel: channel, Target: first, Body: "It leaks at the flange."})
		same(t, channel, a, b)
	}
}
