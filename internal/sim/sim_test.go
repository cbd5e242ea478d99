package sim

import (
	"flag"
	"fmt"
	"slices"
	"testing"
)

var (
	seed  = flag.Uint64("sim.seed", 0, "run this one seed")
	seeds = flag.String("sim.seeds", "1-200", "run this range of seeds, FROM-TO")
)

// happened is what has to have happened at least once over the seeds of a run,
// or the run shows too little.
func happened() []string {
	want := []string{
		"lose request", "lose answer", "duplicate", "delay", "reorder", "commit fails", "commit is stored and fails",
		"unknown outcome", "command from elsewhere", "re-admit", "doubtful start", "wrong clock held", "join full", "join joined", "erased for good", "void event", "valid event", "cursor checked",
		"server.key", "server.key with cuts", "channel.host",
		"lie: omit", "lie: reorder", "lie: withhold content", "lie: withhold all", "lie: claim heads",
		"lie: false digest", "lie: false receipt", "lie: false profile", "lie: false file", "file fetched", "file given", "wrong file dropped", "damaged file found",
		"person erased for good", "lost to a fork of its own", "fork found", "as many logs as count", "audit log checked", "profile told",
	}
	for _, a := range actions {
		want = append(want, a.name)
	}
	for _, l := range lies {
		want = append(want, "lie: "+l.name)
	}
	return want
}

// simulate runs one seed and returns what happened.
func simulate(t testing.TB, seed uint64) *counts {
	w := newWorld(t, seed)
	defer w.close()
	w.run(150 + w.rng.IntN(150))
	w.check()
	return w.counts
}

func TestSimulation(t *testing.T) {
	from, to := *seed, *seed
	if from == 0 {
		if _, err := fmt.Sscanf(*seeds, "%d-%d", &from, &to); err != nil || from > to {
			t.Fatalf("-sim.seeds=%s: write FROM-TO", *seeds)
		}
		if testing.Short() {
			to = min(to, from+7)
		}
	}
	total := &counts{}
	t.Run("seeds", func(t *testing.T) { runSeeds(t, from, to, total) })
	t.Log(total)
	if to-from < 100 {
		return
	}
	for _, what := range slices.Sorted(slices.Values(happened())) {
		if total.n[what] == 0 {
			t.Errorf("over all seeds this never happened: %s", what)
		}
	}
}
