package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// plantedIn is the variable of the environment that names the bug which a build with planted bugs has.
const plantedIn = "MERIDIAN_PLANTED"

// TestPlantedBugsAreCaught builds the simulation once with all bugs in it, each asleep until the
// environment names it, and runs it with each on the seed that is known to catch it, then on all seeds of
// every run. That these pass without a bug is what TestSimulation shows.
func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the simulation anew, with bugs")
	}
	overlay := plantAll(t)
	simulation := buildWith(t, overlay, ".")
	builds := map[string]string{".": simulation}
	for _, bug := range planted {
		if bug.test != "" && builds[bug.in] == "" {
			builds[bug.in] = buildWith(t, overlay, bug.in)
		}
	}
	for _, bug := range planted {
		t.Run(bug.property+"/"+bug.name, func(t *testing.T) {
			t.Parallel()
			if bug.test != "" {
				failsOnlyWith(t, builds[bug.in], bug)
				return
			}
			for _, seeds := range []string{fmt.Sprintf("%d-%d", bug.seed, bug.seed), "1-200"} {
				if caught := simulateWith(t, simulation, bug.name, seeds); caught != "" {
					t.Logf("caught: %s", caught)
					return
				}
			}
			t.Error("not caught by any of the seeds")
		})
	}
}

func TestEveryPropertyHasAPlantedBug(t *testing.T) {
	has := map[string]bool{}
	for _, bug := range planted {
		has[bug.property] = has[bug.property] || bug.test == ""
	}
	for _, property := range properties {
		if !has[property] {
			t.Errorf("no seed has to catch a bug against: %s", property)
		}
	}
}

// plantAll writes copies of the files with the bugs and an overlay that puts them in the places of the
// files. Each bug stands where its text says BUG.
func plantAll(t *testing.T) (overlay string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	sources := map[string]string{}
	for _, bug := range planted {
		file := filepath.Join(root, bug.file)
		if sources[file] == "" {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[file] = string(source)
			beside := filepath.Join(filepath.Dir(file), "planted.go")
			sources[beside] = fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar planted = os.Getenv(%q)\n", filepath.Base(filepath.Dir(file)), plantedIn)
		}
		if strings.Count(sources[file], bug.text) != 1 {
			t.Fatalf("%s has not once:\n%s", bug.file, bug.text)
		}
		awake := strings.ReplaceAll(bug.bug, "BUG", fmt.Sprintf("(planted == %q)", bug.name))
		sources[file] = strings.Replace(sources[file], bug.text, awake, 1)
	}
	for file, source := range sources {
		replace[file] = filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(file, root), string(filepath.Separator), "_"))
		write(t, replace[file], []byte(source))
	}
	table, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	write(t, overlay, table)
	return overlay
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// buildWith builds the tests of a package with the overlay.
func buildWith(t *testing.T, overlay, in string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "planted.test")
	out, err := exec.Command("go", "test", "-c", "-overlay="+overlay, "-vet=off", "-ldflags=-s -w", "-o", binary, in).CombinedOutput()
	if err != nil {
		t.Fatalf("build %s with planted bugs: %v\n%s", in, err, out)
	}
	return binary
}

var failed = regexp.MustCompile(`seed ([0-9]+): .*`)

// simulateWith runs the simulation with a bug and returns the first property that fails, "" when none does.
func simulateWith(t *testing.T, simulation, bug, seeds string) (property string) {
	t.Helper()
	out, err := runWith(simulation, ".", bug, "-test.run=^TestSimulation$", "-test.failfast", "-sim.seeds="+seeds)
	if err == nil {
		return ""
	}
	if found := failed.Find(out); found != nil {
		return string(found)
	}
	t.Fatalf("the simulation with the bug did not run: %v\n%s", err, out[max(0, len(out)-2000):])
	return ""
}

// failsOnlyWith reports a test that passes with the bug, or fails without it.
func failsOnlyWith(t *testing.T, binary string, bug bug) {
	t.Helper()
	run := "-test.run=^" + bug.test
	if out, err := runWith(binary, bug.in, "", run); err != nil {
		t.Fatalf("%s fails without the bug: %v\n%s", bug.test, err, out[max(0, len(out)-2000):])
	}
	out, err := runWith(binary, bug.in, bug.name, run)
	if err == nil {
		t.Errorf("not caught by %s", bug.test)
	} else if !bytes.Contains(out, []byte("--- FAIL: "+strings.Split(bug.test, "/")[0])) {
		t.Fatalf("%s with the bug did not run: %v\n%s", bug.test, err, out[max(0, len(out)-2000):])
	}
}

// runWith runs tests with a bug awake, "" for none. One that does not end is caught too, by the time it takes.
func runWith(binary, in, bug string, args ...string) ([]byte, error) {
	run := exec.Command(binary, append([]string{"-test.timeout=10m", "-test.count=1"}, args...)...)
	run.Dir = in
	run.Env = append(os.Environ(), plantedIn+"="+bug)
	out, err := run.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		err = fmt.Errorf("start: %w", err)
	}
	return out, err
}
