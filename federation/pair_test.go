package federation_test

import (
	"fmt"
	"testing"
	"time"

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
	eventually(t, 10*time.Second, "all hold the same", func() bool {
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
