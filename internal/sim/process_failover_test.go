package sim_test

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
)

var failovers = flag.Int("process.failovers", 0, "how often the primary of a database is killed under load; 0 leaves the campaign out")

// T57: the primary is killed under load and its standby promoted, which has every
// confirmed commit: nothing is lost, nothing doubted, and the server goes on by
// itself.
func TestASynchronousStandbyPromotedUnderLoadLosesNothing(t *testing.T) {
	if *failovers == 0 {
		t.Skip("make failover runs it")
	}
	log := newHistory()
	pair := pgtest.NewPair(t)
	home, partner := newHouse(t, pair.URL, false), newHouse(t, "", false)
	home.open(log)
	partner.open(log)
	befriend(home, partner)
	channel := home.owner.newChannel("Load")
	home.owner.bring(channel, partner.owner)
	members := []person{home.owner, partner.owner}
	feeds := []*feed{home.owner.feed(), partner.owner.feed()}
	l := &load{t: t, log: log, houses: []*house{home, partner}, inFlight: make([]atomic.Int64, 2), ended: make(chan struct{})}
	l.post(channel, members)
	for _, f := range feeds {
		l.all.Go(func() { f.follow(l.ended) })
	}
	var without, back []time.Duration
	for n := range *failovers {
		before := l.acknowledged.Load()
		home.eventually("under enough load", func() bool {
			return l.acknowledged.Load()-before >= leastBetween && l.inFlight[0].Load() > 0
		})
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		without = append(without, pair.FailOver())
		begun := time.Now()
		home.owner.said(l.threads[0], fmt.Sprintf("Said after failover %d.", n))
		back = append(back, time.Since(begun))
		pair.Replicate()
		t.Logf("failover %d: %s without a primary, %s until the server stored again, %d acknowledged", n+1,
			without[n].Round(time.Millisecond), back[n].Round(time.Millisecond), l.acknowledged.Load())
	}
	close(l.ended)
	l.all.Wait()

	state := settled(t, channel, members...)
	var replicas []replica
	for i, p := range members {
		replicas = append(replicas, p.replica(channel))
		feeds[i].told(replicas[i])
	}
	sum := log.check(t, replicas...)
	if doubts := home.metric("meridian_database_went_back_total"); doubts != "0" {
		t.Errorf("the server doubted its database %s times", doubts)
	}
	events := verify(home, partner)
	slices.Sort(without)
	slices.Sort(back)
	t.Logf("failover: %d, %d acknowledged, %d of unknown outcome repeated by key; %d lost, %d duplicated; %d events, state %s; "+
		"without a primary %s median, %s at most; then until the server stored again %s median, %s at most",
		*failovers, sum.acknowledged, sum.unknown, sum.lost, sum.duplicated, events, state,
		without[len(without)/2].Round(time.Millisecond), without[len(without)-1].Round(time.Millisecond),
		back[len(back)/2].Round(time.Millisecond), back[len(back)-1].Round(time.Millisecond))
}

// said posts a text until it is acknowledged.
func (p person) said(thread, text string) {
	p.house.t.Helper()
	said := &post{by: p, client: p.address, thread: thread, text: text, key: text}
	p.log.wants(said)
	p.house.eventually("storing what is said", func() bool { return said.try() == acknowledged })
}

// metric is the value of one that has no labels.
func (h *house) metric(name string) string {
	h.t.Helper()
	answer, err := http.Get(h.admin + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	h.t.Fatalf("no metric %s", name)
	return ""
}
