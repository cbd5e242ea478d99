package sim

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/store"
	"meridian/threads"
)

// world is several servers under one seed. Everything happens in one goroutine,
// in an order that the seed alone decides.
type world struct {
	t      testing.TB
	seed   uint64
	rerun  string // the test that runs the seed again
	rng    *rand.Rand
	now    time.Time
	latest time.Time // that any clock ever showed
	dir    string
	empty  []byte // a database with nothing in it
	net    *network
	nodes  []*node
	counts *counts
	mu     sync.Mutex
	trail  []string // what happened, told when the seed fails

	channels  []*channel
	posts     []*post
	threads   []*post
	unsure    []*attempt
	acked     []*attempt // by honest servers
	words     int
	offClock  time.Time                                 // when a clock was wrong last
	erased    map[*channel]map[string]bool              // persons who had all that they wrote erased
	taken     map[spot]map[threads.Hash]map[*node]bool  // which servers ever took which event for which place
	signedTwo string                                    // which honest server signed two events for a place, and knew better
	held      map[*node]map[threads.Hash]*threads.Event // at rest
}

// channel is one channel of a world, as the one who knows all sees it.
type channel struct {
	id    threads.Hash
	maker *node
}

// spot is one place of one log.
type spot struct {
	channel threads.Hash
	threads.Ref
}

// newWorld has three to five servers that are partners of one another. In seeds
// divisible by 4 all are honest; in those with remainder 1 the liar forks its
// logs too.
func newWorld(t testing.TB, seed uint64) *world {
	w := emptyWorld(t, seed)
	w.populate(3 + w.rng.IntN(3))
	if seed%4 != 0 {
		w.nodes[len(w.nodes)-1].liar = newLiar(w.nodes[len(w.nodes)-1], seed%4 == 1)
	}
	w.net.faults = faults{loseRequest: 5, loseAnswer: 5, duplicate: 5, delay: 4, failCommit: 1}
	return w
}

// emptyWorld has no servers yet.
func emptyWorld(t testing.TB, seed uint64) *world {
	w := &world{
		t: t, seed: seed, rerun: "Simulation", rng: rand.New(rand.NewPCG(seed, 1)), now: start, dir: scratch(t), counts: &counts{},
		erased: map[*channel]map[string]bool{}, taken: map[spot]map[threads.Hash]map[*node]bool{},
	}
	w.empty = emptyDatabase(t)
	w.net = &network{seed: seed, counts: w.counts, nodes: map[string]*node{}, cut: map[[2]string]bool{}, dice: map[string]*rand.Rand{}, hear: w.overhear}
	return w
}

// populate makes servers that are partners of one another.
func (w *world) populate(servers int) {
	for i := range servers {
		w.newNode(string(rune('a'+i)) + ".example")
	}
	w.partner()
}

// scratch is a folder in memory where the system has one: what is tried here is
// order and loss, not the disk.
func scratch(t testing.TB) string {
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "meridian-sim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func emptyDatabase(t testing.TB) []byte {
	path := filepath.Join(scratch(t), "empty.db")
	s, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + path, Server: "a.example"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// partner makes the real handshake between all servers.
func (w *world) partner() {
	ctx := context.Background()
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b {
				_, err := a.exchange.AddPartner(ctx, threads.ByAdmin, b.name)
				w.must(err)
				_, err = a.exchange.AllowPartner(ctx, threads.ByAdmin, b.name, "")
				w.must(err)
			}
		}
	}
}

func (w *world) close() {
	for _, n := range w.nodes {
		if n.up() {
			n.crash()
		}
	}
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Helper()
		w.fail("%v", err)
	}
}

// fail ends the test with the seed, and what happened last.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	trail := w.trail[max(0, len(w.trail)-40):]
	w.t.Fatalf("seed %d: %s\nlast of all that happened:\n%s\nagain: go test ./internal/sim -run %s -args -sim.seed=%d",
		w.seed, fmt.Sprintf(format, args...), strings.Join(trail, "\n"), w.rerun, w.seed)
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trail = append(w.trail, w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// run lets the world live for some actions, then heals it until it is quiet.
func (w *world) run(actions int) {
	w.found()
	for range actions {
		w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(3 * time.Second))))
		w.act()
		w.step(w.pick())
		if w.rng.IntN(4) == 0 {
			w.net.deliverLate(w.rng)
		}
		if w.rng.IntN(10) == 0 {
			w.checkCursors()
		}
	}
	w.settle()
}

func (w *world) pick() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

// step has a server do what is due with each of its partners.
func (w *world) step(n *node) {
	if !n.up() {
		return
	}
	ctx := context.Background()
	couriers, err := n.exchange.Couriers(ctx)
	w.must(err)
	for _, i := range w.rng.Perm(len(couriers)) {
		if _, err := couriers[i].Step(ctx, n.now()); err != nil {
			w.note("%s: courier to %s: %v", n.name, couriers[i].Name(), err)
		}
	}
	w.recordKeys(n)
	if err := n.journal.Settle(ctx, n.now(), time.Hour); err != nil {
		w.note("%s: settle: %v", n.name, err)
	}
	if _, err := n.exchange.SettleDoubts(ctx, n.now()); err != nil {
		w.note("%s: settle doubts: %v", n.name, err)
	}
	w.fetchFiles(n)
	if w.rng.IntN(4) == 0 {
		w.tidy(n)
	}
	if n.setBack {
		w.partnerAgain(n)
	}
}

// settle heals everything and goes on until all honest members hold the same.
// What waits at most an hour, as back-off and missing dependencies do, has to
// come within the rounds.
func (w *world) settle() {
	w.net.heal()
	w.net.deliverLate(w.rng)
	for _, n := range w.nodes {
		if n.ahead != 0 {
			n.ahead, w.offClock = 0, w.now
		}
		if !n.up() {
			n.start()
		}
	}
	for range 3 { // each hears of the others' clocks, now that its own is right
		w.now = w.now.Add(91 * time.Second)
		for _, n := range w.nodes {
			w.step(n)
		}
	}
	w.retryAll()
	var unequal string
	for range 120 {
		w.now = w.now.Add(91 * time.Second)
		for _, i := range w.rng.Perm(len(w.nodes)) {
			w.step(w.nodes[i])
		}
		if w.now.Before(w.latest) { // what a clock ahead of all others wrote waits till then
			continue
		}
		if unequal = cmp.Or(w.unequal(), w.outdated(), w.unfetched()); unequal == "" {
			return
		}
	}
	w.fail("the world does not come to rest: %s", unequal)
}
