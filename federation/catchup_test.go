package federation_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
)

// missed is how many messages the tests have a server miss; MERIDIAN_MISSED has it otherwise.
func missed(t testing.TB) int {
	n, err := strconv.Atoi(os.Getenv("MERIDIAN_MISSED"))
	if err != nil {
		return 1000
	}
	return n
}

// flood posts many messages at once, as many clients would.
func flood(s *site, actor string, channel, thread threads.Hash, n int) {
	s.t.Helper()
	done := make(chan error, 32)
	for range 32 {
		go func() {
			var err error
			for i := 0; i < n/32 && err == nil; i++ {
				_, err = s.journal.Do(context.Background(), journal.Request{Actor: actor, Now: s.now(), Command: threads.Post{
					Channel: channel, Message: threads.Message{Thread: thread, Body: fmt.Sprintf("%d %0300d", i, i)},
				}})
			}
			done <- err
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestAServerThatWasAwayGetsAllThatItMissed(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	b.close()
	n := missed(t)
	flood(a, ana.ID, channel, thread, n)
	time.Sleep(300 * time.Millisecond)
	had := a.channel(channel).Frontier()[0].Seq
	start := time.Now()
	b.open()
	first := time.Duration(0)
	eventually(t, time.Minute, "all of it arrives", func() bool {
		seq := b.channel(channel).Frontier()[0].Seq
		if first == 0 && seq > 3 {
			first = time.Since(start)
		}
		return seq == had
	})
	took := time.Since(start)
	t.Logf("%d messages: first after %s, all after %s, %.0f/s", n, first, took, float64(n)/took.Seconds())
	same(t, channel, a, b)
}

func TestWhatManyPostReachesThePartnerAsItIsPosted(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	n := missed(t)
	start := time.Now()
	flood(a, ana.ID, channel, thread, n)
	posted := time.Since(start)
	had := a.channel(channel).Frontier()[0].Seq
	eventually(t, time.Minute, "all of it arrives", func() bool { return b.channel(channel).Frontier()[0].Seq == had })
	took := time.Since(start)
	t.Logf("%d messages: posted after %s, there after %s, %.0f/s", n, posted, took, float64(n)/took.Seconds())
	same(t, channel, a, b)
	var sum time.Duration
	for range 50 {
		seq := b.channel(channel).Frontier()[0].Seq
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		changed := b.journal.Changed()
		post(a, ana.ID, channel, thread, "One more.")
		for b.channel(channel).Frontier()[0].Seq == seq {
			<-changed
			changed = b.journal.Changed()
		}
		sum += time.Since(start)
	}
	t.Logf("one at a time: %s each", sum/50)
}
