package federation_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"meridian/threads"
)

// T67: a member that brings more events than it may keeps what is too much, whichever way it would
// come; everybody else's goes on, and once time has passed all of it is here. Times are simulated.
func TestWhoBringsTooMuchKeepsItAndLosesNothing(t *testing.T) {
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	at := func(events int) *site {
		s := newSite(t)
		s.close()
		s.now, s.events = clock, events
		s.open()
		return s
	}
	flooder, b, friend := at(0), at(1), at(0)
	befriend(t, flooder, b)
	befriend(t, flooder, friend)
	befriend(t, b, friend)
	ana, ben, cleo := flooder.person("ana"), b.person("ben"), friend.person("cleo")
	channel, thread, _ := found(flooder, ana.ID, "full")
	join(t, flooder, ana.ID, channel, b, ben)
	join(t, flooder, ana.ID, channel, friend, cleo)
	same(t, channel, flooder, b, friend)

	const most, push = 1000, 500 // at once at one a second; in one push, the last of which may go beyond
	begun := clock()
	allowed := func() int64 { return most + push + int64(clock().Sub(begun)/time.Second) + 1 }
	held := func() int64 { return logOf(b, channel, flooder.name) + b.channel(channel).Control.Seq }
	flood(flooder, ana.ID, channel, thread, 3200)
	had := logOf(flooder, channel, flooder.name)
	eventually(t, time.Minute, "the friend has all of it", func() bool { return logOf(friend, channel, flooder.name) == had })
	eventually(t, time.Minute, "pushes are put off", func() bool { return b.metric("meridian_partner_over_quota_total") > 0 })

	// The rest comes neither when it is asked for nor by way of a friend, who is not held back.
	for _, s := range []*site{flooder, friend} {
		before := b.metric("meridian_federation_frames_refused_total", "code=retry_later")
		if _, err := b.exchange.ResyncPartner(context.Background(), s.name); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "what is fetched of "+s.name+" is put off", func() bool {
			return b.metric("meridian_federation_frames_refused_total", "code=retry_later") > before
		})
	}
	last := post(friend, cleo.ID, channel, thread, "Meanwhile.")
	eventually(t, time.Minute, "the friend is heard", func() bool { return logOf(b, channel, friend.name) == 1 })
	post(b, ben.ID, channel, thread, "Heard.")
	eventually(t, time.Minute, "the flooder hears", func() bool { return logOf(flooder, channel, b.name) == 1 })
	if n := held(); n > allowed() {
		t.Errorf("%d events of the flooder are held, %d may be", n, allowed())
	}
	if fate, err := friend.store.Reading().Delivery(context.Background(), cleo.ID, last); err != nil || len(fate) == 0 {
		t.Errorf("the friend is told %+v, %v", fate, err)
	}

	steps := 0
	for ; logOf(b, channel, flooder.name) < had; steps++ {
		if steps == 20 {
			t.Fatalf("%d of %d after %s", logOf(b, channel, flooder.name), had, clock().Sub(begun))
		}
		before := logOf(b, channel, flooder.name)
		ahead.Add(int64(push * time.Second))
		post(flooder, ana.ID, channel, thread, "One more.") // wakes whoever sleeps by a clock that goes
		had = logOf(flooder, channel, flooder.name)
		eventually(t, time.Minute, "what it may bring comes", func() bool { return logOf(b, channel, flooder.name) > before })
		if n := held(); n > allowed() {
			t.Errorf("%d events of the flooder are held, %d may be", n, allowed())
		}
	}
	same(t, channel, flooder, b, friend)
	if n := b.metric("meridian_partner_over_quota_total"); n > 100 {
		t.Errorf("%v pushes came although Retry-After said when", n)
	}
	t.Logf("%d events in %d steps of %d s; %v pushes were put off", had, steps, push, b.metric("meridian_partner_over_quota_total"))
}

// logOf is how far a site holds the logs of a server.
func logOf(s *site, channel threads.Hash, origin string) (n int64) {
	for _, h := range s.channel(channel).Frontier() {
		if h.Origin == origin {
			n += h.Seq
		}
	}
	return n
}
