package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildMeridian makes the program that is measured.
func buildMeridian(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	program := filepath.Join(t.TempDir(), "meridian")
	if out, err := exec.Command("go", "build", "-o", program, "meridian/cmd/meridian").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// running are the processes whose environment names dir, which only those do
// that were started with it as their temporary directory.
func running(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if env, err := os.ReadFile(f); err == nil && bytes.Contains(env, []byte("TMPDIR="+dir+"\x00")) {
			found = append(found, f)
		}
	}
	return found
}

// shortDir is a temporary directory whose path leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func wantNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left := running(t, dir); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}

func TestFiguresOfRealServersComeAsJSONAndNothingIsLeftBehind(t *testing.T) {
	program, dir := buildMeridian(t), shortDir(t)
	c := exec.Command(program, "bench", "--json", "--only", "post_rate,post_p99,federated_rate,delivery_p50", "--duration", "100ms")
	c.Env = append(os.Environ(), "TMPDIR="+dir)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	var r Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var names []string
	for _, f := range r.Figures {
		names = append(names, f.Name)
		if f.Value <= 0 || f.Floor <= 0 || f.Ratio <= 0 {
			t.Errorf("nothing measured: %+v", f)
		}
	}
	if got := strings.Join(names, " "); got != "post_rate post_p99 federated_rate delivery_p50" {
		t.Errorf("figures %s", got)
	}
	wantNothingLeft(t, dir)
}

func TestAnInterruptEndsTheServersAndRemovesTheirData(t *testing.T) {
	program, dir := buildMeridian(t), shortDir(t)
	c := exec.Command(program, "bench", "--only", "federated_rate", "--duration", "1m")
	c.Env = append(os.Environ(), "TMPDIR="+dir)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); len(running(t, dir)) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			_, _ = c.Process.Kill(), c.Wait()
			t.Fatalf("two servers do not run after a minute:\n%s", &said)
		}
	}
	time.Sleep(time.Second) // so that it is somewhere in the middle of setting up
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("ended with %v", err)
	}
	wantNothingLeft(t, dir)
}
