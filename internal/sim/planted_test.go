package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// planted are bugs that the simulation has to find within the seeds of every
// run. Each changes one place of one file.
var planted = []struct{ name, file, text, bug string }{
	{
		"cursor moved before the answer", "federation/deliver.go",
		"	got, err := c.x.ask(ctx, c.name, pushPath, typeFrames, body)\n",
		"	if len(b.lanes) == 0 {\n		c.advance(b)\n		b.taken = 0\n	}\n	got, err := c.x.ask(ctx, c.name, pushPath, typeFrames, body)\n",
	},
	{
		"no gap check", "threads/place.go",
		"	case h.Seq > log.Seq+1:\n",
		"	case h.Seq < 0:\n",
	},
	{
		"no signature check", "threads/journal/verify.go",
		"	return threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig), threads.RefusedSignature\n",
		"	return true, threads.RefusedSignature\n",
	},
	{
		"old log continued after a restore", "threads/epoch.go",
		"	return !closed && !guarded && l.Doubt == Sure && ",
		"	return !closed && !guarded && ",
	},
	{
		"cut ignored", "threads/validity.go",
		"			return h.Seq <= g.cuts[h.LogID()].Seq\n",
		"			return true\n",
	},
	{
		"proof never forwarded", "federation/fork.go",
		"		lacking[r] = !known && r.Seq >= s.ch.Floor(s.asker, r.LogID)\n",
		"		lacking[r] = false && !known\n",
	},
	{
		"fork cut off by one", "threads/channel.go",
		"		cut, closed = Cut{Seq: at.Seq - 1}, true\n",
		"		cut, closed = Cut{Seq: at.Seq}, true\n",
	},
	{
		"old key counts beyond the cut", "threads/serverkey.go",
		"	last.removed, last.cuts = number, cuts\n",
		"	last.cuts = cuts\n",
	},
	{
		"old key signs on", "threads/serverkey.go",
		"		if k.ID == id && k.From <= number && (i == len(m.keys)-1 || number < m.keys[i+1].From) {\n",
		"		if k.ID == id && i >= 0 && k.From <= number {\n",
	},
}

// shownBy are the tests that find the bugs which no seed shows: members cut alike one place too high, or
// a log that its server goes on with by its new key, agree again before a world is at rest.
var shownBy = map[string]struct{ in, test string }{
	"fork cut off by one": {".", "TestTwoExchangesFindAFork/^0_"},
	"old key signs on":    {"../../threads", "TestServerWritesWithTheKeyThatTheChannelKnows"},
}

func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and simulates four servers with bugs")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, bug := range planted {
		t.Run(bug.name, func(t *testing.T) {
			overlay := plant(t, filepath.Join(root, bug.file), bug.text, bug.bug)
			if by, ok := shownBy[bug.name]; ok {
				if !failsWith(t, overlay, by.in, by.test) {
					t.Errorf("not caught by %s", by.test)
				}
				return
			}
			for _, seeds := range []string{"1-20", "21-67", "88-111"} {
				caught, seed := simulateWith(t, overlay, seeds)
				if caught == "" {
					continue
				}
				if without, _ := simulateWith(t, "", seed+"-"+seed); without != "" {
					t.Fatalf("seed %s fails without the bug too: %s", seed, without)
				}
				t.Logf("caught: %s", caught)
				return
			}
			t.Error("not caught by any of the seeds")
		})
	}
}

// plant writes a copy of the file with the bug and an overlay that puts it in
// the place of the file.
func plant(t *testing.T, file, text, bug string) (overlay string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), text) != 1 {
		t.Fatalf("%s has not once:\n%s", file, text)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, filepath.Base(file))
	table, err := json.Marshal(map[string]map[string]string{"Replace": {file: copied}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	for name, b := range map[string][]byte{copied: []byte(strings.Replace(string(source), text, bug, 1)), overlay: table} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

var failed = regexp.MustCompile(`seed ([0-9]+): .*`)

// simulateWith runs the simulation with an overlay, "" for none, and returns the
// first property that fails and its seed, "" when none does.
func simulateWith(t *testing.T, overlay, seeds string) (property, seed string) {
	t.Helper()
	out, err := runWith(overlay, ".", "TestSimulation$", "-args", "-sim.seeds="+seeds)
	if err == nil {
		return "", ""
	}
	if found := failed.FindSubmatch(out); found != nil {
		return string(found[0]), string(found[1])
	}
	t.Fatal(fmt.Errorf("the simulation with the bug did not run: %w\n%s", err, out[max(0, len(out)-2000):]))
	return "", ""
}

// failsWith reports whether a test fails with an overlay; it has to pass without.
func failsWith(t *testing.T, overlay, in, test string) bool {
	t.Helper()
	if out, err := runWith("", in, test); err != nil {
		t.Fatalf("%s fails without the bug: %v\n%s", test, err, out[max(0, len(out)-2000):])
	}
	out, err := runWith(overlay, in, test)
	if err != nil && !strings.Contains(string(out), "--- FAIL: "+strings.Split(test, "/")[0]) {
		t.Fatalf("%s with the bug did not run: %v\n%s", test, err, out[max(0, len(out)-2000):])
	}
	return err != nil
}

func runWith(overlay, in, test string, more ...string) ([]byte, error) {
	args := append([]string{
		"test", "-overlay=" + overlay, "-vet=off", "-failfast", "-count=1", "-timeout=15m", "-run=^" + test, in,
	}, more...)
	return exec.Command("go", args...).CombinedOutput()
}
