package sim_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/threads"
)

// newFlooded is a server that takes so many events a second of a partner, with somebody honest on it and
// the partner that will not keep to that.
func newFlooded(t *testing.T, events string) (*besieged, *victim, *enemy) {
	t.Helper()
	if !*bounds {
		t.Skip("a campaign: make bounds")
	}
	h := install(t, shortDir(t), "", false)
	h.env = append(h.env, "MERIDIAN_LIMITS_PARTNER_EVENTS="+events)
	h.open(newHistory())
	b := &besieged{house: h, t: t, address: h.name}
	channel := h.owner.newChannel("Quay")
	var thread named
	h.owner.must(http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Crane 4"}, &thread)
	b.thread = thread.ID
	flooder := newEnemy(t)
	h.mustRun("", "partner", "add", flooder.name)
	h.mustRun("", "partner", "allow", flooder.name)
	flooded := h.owner.newChannel("Flood")
	h.owner.must(http.MethodPost, "/channels/"+flooded+"/members", map[string]string{"address": "somebody@" + flooder.name, "role": "member"}, nil)
	to := &victim{t: t, name: h.name, url: "http://" + h.name, admin: h.admin, stop: func() {}}
	flooder.accept(to, flooded)
	h.owner.must(http.MethodPost, "/channels/"+flooded+"/threads", map[string]string{"title": "Here"}, &thread)
	flooder.catchUp(to)
	return b, to, flooder
}

// T67: a partner that brings ten times what it may is taken at its rate and no faster; what somebody
// else's posts take, and the disk, do not tell that it tries.
func TestAFloodOfEventsStaysWithWhoeverMakesIt(t *testing.T) {
	const quota, atOnce, batch = 20, 20_000, 500
	b, to, flooder := newFlooded(t, "20")
	write := func() []*threads.Event { // in a thread that there is not: what they mean is no matter here
		events := make([]*threads.Event, batch)
		for i := range events {
			events[i] = flooder.post(flooder.state.ID, strings.Repeat("flood ", 50))
		}
		return events
	}
	floor := b.honestFor(15 * time.Second)
	begun, size := time.Now(), b.diskUse()
	pending, taken := write(), 0
	var away atomic.Int64
	var stop atomic.Bool
	ended := make(chan struct{})
	rounds := time.NewTicker(batch * time.Second / (10 * quota))
	defer rounds.Stop()
	go func() {
		defer close(ended)
		for !stop.Load() {
			switch got := flooder.push(to, pending...); got.status {
			case http.StatusOK:
				taken += len(pending)
				pending = write()
			case http.StatusTooManyRequests:
				away.Add(1)
			default:
				t.Errorf("%+v", got)
				return
			}
			if taken > atOnce {
				<-rounds.C
			}
		}
	}()
	b.eventually("full", func() bool { return away.Load() > 0 })
	during := b.honestFor(time.Minute)
	stop.Store(true)
	<-ended
	seconds := time.Since(begun).Seconds()
	allowed := atOnce + 2*batch + int(seconds*quota)
	grown := b.diskUse() - size
	t.Logf("%d events in %.0f s, %d may be, %d pushes turned away; p99 of posts %s, without the flood %s; %.1f MiB more on disk", taken, seconds, allowed, away.Load(), during, floor, float64(grown)/(1<<20))
	if taken > allowed || away.Load() == 0 {
		t.Errorf("%d events were taken, %d may be", taken, allowed)
	}
	if during > floor*3/2+5*time.Millisecond {
		t.Errorf("p99 of posts was %s, without the flood %s", during, floor)
	}
	best := time.Hour
	for range 5 {
		begun = time.Now()
		b.gauge("go_goroutines")
		best = min(best, time.Since(begun))
	}
	t.Logf("a scrape takes %s", best) // T42
}

// honestFor is honest for a while.
func (b *besieged) honestFor(d time.Duration) time.Duration {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return b.honest(ctx)
}

// diskUse is how many bytes lie in the server's folder.
func (b *besieged) diskUse() (n int64) {
	b.t.Helper()
	err := filepath.Walk(b.dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return nil // files come and go
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
