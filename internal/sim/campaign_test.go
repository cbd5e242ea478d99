package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	minutes = flag.Int("sim.minutes", 0, "run a campaign for so long")
	state   = flag.String("sim.state", "", "folder where a campaign keeps how far it came")
)

// campaignStep is how many seeds run between two notes of how far it came.
const campaignStep = 40

// firstOfCampaign is beyond the seeds that every run of the tests tries.
const firstOfCampaign = 1001

// TestCampaign runs seed after seed where the last campaign stopped, until the
// time is over or a seed fails; a failed range comes first the next time.
func TestCampaign(t *testing.T) {
	if *minutes == 0 {
		t.Skip("make sim runs it")
	}
	path := filepath.Join(*state, "next")
	from := firstOfCampaign
	if b, err := os.ReadFile(path); err == nil {
		if from, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			t.Fatalf("%s: %v; remove it to begin anew", path, err)
		}
	}
	total := &counts{}
	began, first := time.Now(), from
	for time.Since(began) < time.Duration(*minutes)*time.Minute {
		to := from + campaignStep - 1
		if !t.Run(fmt.Sprintf("%d-%d", from, to), func(t *testing.T) { runSeeds(t, uint64(from), uint64(to), total) }) {
			return
		}
		from = to + 1
		if err := os.WriteFile(path, []byte(strconv.Itoa(from)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("seeds %d to %d, none failing, in %s: %s\n", first, from-1, time.Since(began).Round(time.Second), total)
}

// runSeeds runs seeds side by side; with -failfast none once one has failed.
func runSeeds(seeds *testing.T, from, to uint64, total *counts) {
	for s := from; s <= to; s++ {
		seeds.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			if f := flag.Lookup("test.failfast"); seeds.Failed() && f.Value.String() == "true" {
				t.Skip("another seed failed")
			}
			for what, n := range simulate(t, s).n {
				total.more(what, n)
			}
		})
	}
}
