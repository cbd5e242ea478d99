package sim_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
)

var nodeFaults = flag.Int("process.nodes", 2, "how often a node is killed or stopped under load")

// anotherNode installs one more server of the house's organisation, with the same
// configuration and key, on the same database, behind the same front.
func (h *house) anotherNode() *house {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			h.t.Error(err)
		}
	})
	listen, admin := freeAddress(h.t), freeAddress(h.t)
	node := &house{t: h.t, dir: dir, name: h.name, api: "http://" + listen + "/api/v1", admin: "http://" + admin, front: h.front, log: &tail{}}
	node.env = append(slices.Clone(h.env), "MERIDIAN_LISTEN="+listen, "MERIDIAN_ADMIN_LISTEN="+admin)
	node.mustRun("", "init", "--url", "http://"+h.name)
	key, err := os.ReadFile(filepath.Join(h.dir, "data", "server.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "data", "server.key"), key, 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		node.kill()
		if h.t.Failed() {
			h.t.Logf("node %s said:\n%s", node.api, node.log.text())
		}
	})
	node.owner = h.owner
	node.owner.house = node
	return node
}

// address is where the house's own requests arrive.
func (h *house) address() string {
	return strings.TrimSuffix(strings.TrimPrefix(h.api, "http://"), "/api/v1")
}

// startNode starts the server and has the front use it.
func (h *house) startNode() {
	h.t.Helper()
	h.start()
	h.front.serve(h.address(), true)
}

// threeNodes are nodes of one organisation, and a partner on SQLite.
func threeNodes(t *testing.T, log *history) (nodes []*house, partner *house) {
	t.Helper()
	first := newHouse(t, pgtest.URL(t), true)
	first.open(log)
	nodes = []*house{first}
	for len(nodes) < 3 {
		node := first.anotherNode()
		node.startNode()
		nodes = append(nodes, node)
	}
	partner = newHouse(t, "", true)
	partner.open(log)
	befriend(first, partner)
	return nodes, partner
}

// T65: several nodes share a database; one that dies or stands still loses and
// doubles nothing, and its steps are taken over.
func TestNodesKilledAndStoppedUnderLoadLoseAndDoubleNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	log := newHistory()
	nodes, partner := threeNodes(t, log)
	channel := nodes[0].owner.newChannel("Load")
	nodes[0].owner.bring(channel, partner.owner)
	members := []person{nodes[0].owner, nodes[1].owner, nodes[2].owner, partner.owner}
	var feeds []*feed
	for _, p := range members {
		feeds = append(feeds, p.feed())
	}
	l := &load{t: t, log: log, houses: append(slices.Clone(nodes), partner), inFlight: make([]atomic.Int64, 4), ended: make(chan struct{})}
	l.post(channel, members)
	for _, f := range feeds {
		l.all.Go(func() { f.follow(l.ended) })
	}
	var gaps []time.Duration
	for n := range *nodeFaults {
		node := rand.IntN(len(nodes))
		fault := nodes[node].killed
		if n%2 == 1 {
			fault = nodes[node].stoodStill
		}
		gaps = append(gaps, l.fault(nodes[node], fault, members[(node+1)%len(nodes)], partner.owner))
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
	for i, p := range members {
		p.deliveredAll(members[len(members)-1-i/3*3].house)
	}
	events := verify(nodes[0], partner)
	slices.Sort(gaps)
	t.Logf("nodes: %d faults, %d acknowledged, %d of unknown outcome repeated by key; %d lost, %d duplicated; %d events, state %s; "+
		"the partner had a message after a fault within %s median, %s at most",
		*nodeFaults, sum.acknowledged, sum.unknown, sum.lost, sum.duplicated, events, state,
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
}

// post has clients at every node and at the partner.
func (l *load) post(channel string, members []person) {
	l.t.Helper()
	for i := range 4 {
		var made named
		members[0].must(http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": fmt.Sprint("Subject ", i+1)}, &made)
		l.threads = append(l.threads, made.ID)
	}
	settled(l.t, channel, members...)
	for i, p := range members {
		for n := range 6 {
			l.all.Go(func() { l.client(i, p, fmt.Sprintf("client%dx%d", i, n)) })
		}
	}
}

// fault does something to a node under load, and returns how long it took until
// the partner had what was said at another node right afterwards. The node works
// again when it returns.
func (l *load) fault(node *house, do func(meanwhile func()), by, reader person) (gap time.Duration) {
	l.t.Helper()
	before := l.acknowledged.Load()
	node.eventually("under enough load", func() bool { return l.acknowledged.Load()-before >= leastBetween })
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	do(func() {
		text := fmt.Sprintf("Said after fault %s.", time.Now())
		begun := time.Now()
		id := by.say(l.threads[0], text, "")
		reader.house.eventually("told what was said after a fault", func() bool { return reader.reads("/messages/"+id, nil) })
		gap = time.Since(begun)
	})
	return gap
}

// killed ends the node at once; the front notices half a second later.
func (h *house) killed(meanwhile func()) {
	h.kill()
	time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
	h.front.serve(h.address(), false)
	meanwhile()
	h.startNode()
}

// stoodStill stops the node's process for longer than its leases last.
func (h *house) stoodStill(meanwhile func()) {
	h.signal(syscall.SIGSTOP)
	time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
	h.front.serve(h.address(), false)
	begun := time.Now()
	meanwhile()
	time.Sleep(6*time.Second - time.Since(begun))
	h.signal(syscall.SIGCONT)
	h.front.serve(h.address(), true)
	h.eventually("ready again", func() bool {
		answer, err := clients.Get(h.admin + "/readyz")
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
}

func (h *house) signal(s syscall.Signal) {
	h.t.Helper()
	if err := h.process.Process.Signal(s); err != nil {
		h.t.Fatal(err)
	}
}

// deliveredAll waits until nothing is undelivered to the other house.
func (p person) deliveredAll(other *house) {
	p.house.t.Helper()
	p.house.eventually("without undelivered events", func() bool {
		var partners struct {
			Items []struct {
				Name    string
				Backlog int64
			}
		}
		p.must(http.MethodGet, "/admin/partners", nil, &partners)
		for _, o := range partners.Items {
			if o.Name == other.name {
				return o.Backlog == 0
			}
		}
		return false
	})
}

// T60: a second server on one SQLite file refuses to start, with one clear line.
func TestASecondServerOnOneFileRefusesToStart(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	first := newHouse(t, "", true)
	first.start()
	database := "sqlite:" + filepath.Join(first.dir, "data", "meridian.db")
	second := newHouse(t, database, true)
	second.launch()
	select {
	case <-second.ended:
	case <-time.After(patience):
		t.Fatal("a second server on one file runs")
	}
	said := strings.TrimSpace(second.log.text())
	if second.process.ProcessState.ExitCode() == 0 || strings.Count(said, "\n") != 0 || !strings.Contains(said, "another process has this database open") {
		t.Errorf("the second server ended with %s and said:\n%s", second.process.ProcessState, said)
	}
	if answer, err := clients.Get(first.admin + "/readyz"); err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the first one, afterwards: %v %v", answer, err)
	}
}
