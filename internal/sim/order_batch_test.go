package sim

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

var orders = flag.Int("sim.orders", 16, "in how many orders and batches a history is brought to a journal")

// bringer passes a history on to a journal as members do, who know how far it
// is with each log and continue there, or a little further on.
type bringer struct {
	t       *testing.T
	rng     *rand.Rand
	journal *journal.Journal
	channel threads.Hash
	logs    map[threads.LogID][]*threads.Event
	order   []threads.LogID // control first
	now     time.Time
	reached int // events that it has taken
}

func newBringer(t *testing.T, s *store.Store, h *history, rng *rand.Rand) *bringer {
	t.Helper()
	if err := s.Expect(context.Background(), h.channel.ID); err != nil {
		t.Fatal(err)
	}
	b := &bringer{
		t: t, rng: rng, channel: h.channel.ID, logs: map[threads.LogID][]*threads.Event{}, now: start.AddDate(0, 0, 1),
		journal: journal.New(journal.Options{Store: s, Pen: newWriter(rng, watching).pen, Clock: time.Now}),
	}
	for _, e := range append(slices.Clone(h.control), h.data...) {
		id := e.Header.LogID()
		if b.logs[id] == nil {
			b.order = append(b.order, id)
		}
		b.logs[id] = append(b.logs[id], e)
	}
	return b
}

// from is a run of a log from where the journal has it, after leaving out some.
func (b *bringer) from(id threads.LogID, skip, most int) []*threads.Event {
	have := 0
	if c, err := b.journal.Channel(context.Background(), b.channel); err != nil {
		b.t.Fatal(err)
	} else if c != nil && id == threads.ControlLog {
		have = int(c.Control.Seq)
	} else if c != nil {
		have = int(c.LogOf(id).Seq)
	}
	all := b.logs[id]
	have = min(have+skip, len(all))
	return all[have:min(have+most, len(all))]
}

// batch is of a few logs, some with gaps, in their order or in none.
func (b *bringer) batch() (events []*threads.Event) {
	for range 1 + b.rng.IntN(4) {
		id, skip := b.order[b.rng.IntN(len(b.order))], 0
		if b.rng.IntN(4) == 0 {
			skip = b.rng.IntN(4)
		}
		events = append(events, b.from(id, skip, 1+b.rng.IntN(20))...)
	}
	if b.rng.IntN(2) == 0 {
		b.rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	}
	return events
}

// bring reports whether the journal took something of a batch.
func (b *bringer) bring(events []*threads.Event) (moved bool) {
	b.now = b.now.Add(time.Second)
	answer, err := b.journal.Ingest(context.Background(), threads.Batch{
		From: "host.example", Events: events, Now: b.now, MetAfter: time.Hour, About: []threads.Hash{b.channel},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	got := answer.Channels[b.channel]
	reached := int(got.Control.Seq)
	for _, h := range got.Frontier {
		reached += int(h.Seq)
	}
	moved, b.reached = reached > b.reached, reached
	return moved
}

// bringAll brings batch after batch until nothing is left that is taken, looks
// after each who is shown as a member, and returns how many there were.
func (b *bringer) bringAll(s *store.Store, out membership) (batches int) {
	look := func() {
		for _, read := range []func(context.Context, threads.Hash) (*threads.Channel, error){b.journal.Channel, s.Channel} {
			if c, err := read(context.Background(), b.channel); err != nil {
				b.t.Fatal(err)
			} else if c != nil {
				out.hold(b.t, c)
			}
		}
	}
	for batches < 25 { // by chance
		b.bring(b.batch())
		look()
		batches++
	}
	for moved := true; moved; batches++ {
		moved = false
		for _, id := range b.order {
			moved = b.bring(b.from(id, 0, 1000)) || moved
			look()
		}
	}
	return batches
}

// T15, through the journal and both databases: 60 changes of members and 200
// threads, messages and reactions, brought in random order and batches, come to
// one state hash and equal projections, and at no time is somebody shown as a
// member whose removal is known.
func TestMembershipEndsTheSameInEveryOrderOfBatches(t *testing.T) {
	const histories = 4
	each := max(*orders/histories, 2)
	empty, dir, batches := emptyDatabase(t), scratch(t), 0
	for seed := range uint64(histories) {
		rng := rand.New(rand.NewPCG(seed, 151))
		h := makeHistory(rng, 60, 200)
		out := whoIsOut(t, h.control)
		var want threads.Hash
		var derived string
		for i := range each {
			url := "sqlite:" + filepath.Join(dir, "order.db")
			if i == 0 {
				url = pgtest.URL(t)
			} else if err := os.WriteFile(filepath.Join(dir, "order.db"), empty, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(context.Background(), store.Options{URL: url, Server: watching})
			if err != nil {
				t.Fatal(err)
			}
			batches += newBringer(t, s, h, rng).bringAll(s, out)
			hash, dump := stateOf(t, s, h.channel.ID)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if want == "" {
				want, derived = hash, dump
			}
			if hash != want || dump != derived {
				t.Log(firstDifference(strings.Split(derived, "\n"), strings.Split(dump, "\n")))
				t.Fatalf("history %d, order %d: state hash %s, in the first order %s", seed, i, hash, want)
			}
		}
	}
	t.Logf("%d orders of %d histories in %d batches", each*histories, histories, batches)
}

func stateOf(t *testing.T, s *store.Store, channel threads.Hash) (threads.Hash, string) {
	t.Helper()
	state, err := s.StateHash(context.Background(), channel)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := s.Dump(context.Background(), channel)
	if err != nil {
		t.Fatal(err)
	}
	return state.Hash, string(dump)
}
