package sim_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var kills = flag.Int("process.kills", 3, "how often a server is killed under load")

// What there is at least at each kill: requests in flight at the server that is
// killed, and posts acknowledged since the last one.
const (
	leastInFlight = 20
	leastBetween  = 100
	clientsEach   = 24 // at every server
	peopleEach    = 4
)

// load is many clients of every server that post, each one message after the
// other, until it ends.
type load struct {
	t            *testing.T
	log          *history
	houses       []*house
	channel      string
	threads      []string
	pause        time.Duration // of each client between two posts
	acknowledged atomic.Int64
	inFlight     []atomic.Int64 // requests at each server
	ended        chan struct{}
	all          sync.WaitGroup
	tally        tally // once it has ended
}

// toll is what was seen at the kills.
type toll struct {
	inFlight, between int64 // the fewest
	restarts          []time.Duration
}

func TestServersKilledUnderLoadLoseAndDoubleNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	log := newHistory()
	houses := threeHouses(t, log)
	none := houses[0].outsider()
	members := []person{houses[0].owner, houses[1].owner, houses[2].owner}
	channel := members[0].newChannel("Load")
	members[0].bring(channel, members[1:]...)
	feeds := []*feed{members[0].feed(), members[1].feed(), members[2].feed()}

	l := &load{t: t, log: log, houses: houses, inFlight: make([]atomic.Int64, len(houses)), ended: make(chan struct{})}
	l.begin(channel)
	for _, f := range feeds {
		l.all.Go(func() { f.follow(l.ended) })
	}
	seen := l.killSome(*kills)
	close(l.ended)
	l.all.Wait()

	state := settled(t, channel, members...)
	var replicas []replica
	for i, p := range members {
		replicas = append(replicas, p.replica(channel))
		feeds[i].told(replicas[i])
	}
	sum := log.check(t, replicas...)
	none.seesNothing(channel, replicas[0])
	events := verify(houses...)
	slices.Sort(seen.restarts)
	t.Logf("kill: %d kills, %d in flight and %d acknowledged between at least; %d acknowledged, %d of unknown outcome repeated by key; "+
		"%d lost, %d duplicated; %d events at each of 3 servers, state %s; restart %s median, %s at most",
		*kills, seen.inFlight, seen.between, sum.acknowledged, sum.unknown, sum.lost, sum.duplicated, events, state,
		seen.restarts[len(seen.restarts)/2].Round(time.Millisecond), seen.restarts[len(seen.restarts)-1].Round(time.Millisecond))
	if sum.unknown == 0 {
		t.Error("no request had an unknown outcome: the kills hit nothing")
	}
}

// begin has people of every server in the channel, each server with threads, and
// the clients posting.
func (l *load) begin(channel string) {
	l.t.Helper()
	people := make([][]person, len(l.houses))
	for i, h := range l.houses {
		for n := range peopleEach {
			people[i] = append(people[i], h.person(fmt.Sprint("writer", n+1)))
		}
		l.houses[0].owner.bring(channel, people[i]...)
	}
	for i := range 6 {
		var made named
		l.houses[0].owner.must(http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": fmt.Sprint("Subject ", i+1)}, &made)
		l.threads = append(l.threads, made.ID)
	}
	settled(l.t, channel, l.houses[0].owner, l.houses[1].owner, l.houses[2].owner)
	for i := range l.houses {
		for n := range clientsEach {
			l.all.Go(func() { l.client(i, people[i][n%peopleEach], fmt.Sprintf("client%dx%d", i, n)) })
		}
	}
}

// client posts until the load ends; its last post has an outcome then.
func (l *load) client(at int, by person, name string) {
	thread := l.threads[rand.IntN(len(l.threads))]
	previous := ""
	for n := 1; ; n++ {
		select {
		case <-l.ended:
			return
		default:
		}
		text := fmt.Sprintf("%s post%d: a text as long as people write when they answer each other over hours, not at once.", name, n)
		p := &post{by: by, client: name, thread: thread, replyTo: previous, text: text, key: fmt.Sprint(name, " ", n)}
		l.log.wants(p)
		if !l.send(at, p) {
			return
		}
		previous = p.id
		time.Sleep(l.pause)
	}
}

// send repeats a post under its key until the outcome is known, and reports
// whether it is stored.
func (l *load) send(at int, p *post) bool {
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		l.inFlight[at].Add(1)
		came := p.try()
		l.inFlight[at].Add(-1)
		switch came {
		case acknowledged:
			l.acknowledged.Add(1)
			return true
		case refused:
			l.t.Errorf("refused: %q", p.text)
			return false
		}
	}
	l.t.Errorf("no outcome within %s: %q", patience, p.text)
	return false
}

// killSome kills random servers, each as soon as there was enough load since the
// last time, and starts them again.
func (l *load) killSome(times int) toll {
	seen := toll{inFlight: 1 << 30, between: 1 << 30}
	for n := range times {
		if n > 0 && n%10 == 0 {
			l.t.Logf("%d kills, %d acknowledged, slowest restart %s", n, l.acknowledged.Load(), slices.Max(seen.restarts))
		}
		before := l.acknowledged.Load()
		at := rand.IntN(len(l.houses))
		h := l.houses[at]
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		h.eventually("under enough load", func() bool {
			return l.acknowledged.Load()-before >= leastBetween && l.inFlight[at].Load() >= leastInFlight
		})
		seen.inFlight = min(seen.inFlight, l.inFlight[at].Load())
		seen.between = min(seen.between, l.acknowledged.Load()-before)
		h.kill()
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		seen.restarts = append(seen.restarts, h.start())
	}
	return seen
}
