package sim_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var faults = flag.Int("process.faults", 0, "how many single calls to the disk fail under load, of each kind; needs strace and root")

// T55: the n-th call of its kind to the disk fails, for each n; nothing that was
// acknowledged is lost, and the server goes on or ends.
func TestDiskErrorsLoseNothing(t *testing.T) {
	if *faults == 0 {
		t.Skip("a campaign: make disk")
	}
	for _, fault := range []struct{ name, calls, err string }{
		{"fsync fails", "fsync,fdatasync", "EIO"},
		{"a write fails", "pwrite64", "EIO"},
		{"no space for a write", "pwrite64", "ENOSPC"},
	} {
		t.Run(fault.name, func(t *testing.T) { failCalls(t, fault.calls, fault.err) })
	}
}

func failCalls(t *testing.T, calls, err string) {
	h, l := loneHouse(t, shortDir(t))
	injected := filepath.Join(h.dir, "strace")
	ended, refusing := 0, 0
	for n := 1; n <= *faults; n++ {
		h.kill()
		_ = os.Remove(injected)
		h.under = []string{
			"strace", "-f", "-qq", "-o", injected, "-e", "trace=" + calls,
			"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", calls, err, n),
		}
		h.launch()
		h.eventually("hit", func() bool {
			said, err := os.ReadFile(injected)
			return err == nil && strings.Contains(string(said), "INJECTED") || h.hasEnded()
		})
		before := l.acknowledged.Load()
		h.eventually("posting again, or ended", func() bool { return l.acknowledged.Load() > before+5 || h.hasEnded() })
		if h.hasEnded() {
			ended++
		} else if !h.isReady() {
			refusing++
		}
	}
	h.kill()
	h.under = nil
	h.start()
	l.endsWell()
	t.Logf("%d calls failed: the server ended %d times and was not ready %d times after it; %s", *faults, ended, refusing, l.sum())
}

// loneHouse has clients that post at one server, in a channel of its own.
func loneHouse(t *testing.T, dir string) (*house, *load) {
	h := install(t, dir, "", false)
	h.open(newHistory())
	l := &load{pause: 5 * time.Millisecond}
	l.at(h.owner.log, h)
	return h, l
}

// endsWell ends the load and holds what is stored against what clients were told.
func (l *load) endsWell() {
	l.t.Helper()
	close(l.ended)
	l.all.Wait()
	owner := l.houses[0].owner
	l.tally = l.log.check(l.t, owner.replica(l.channel))
	verify(l.houses[0])
}

func (l *load) sum() string {
	return fmt.Sprintf("%d acknowledged, %d of unknown outcome repeated by key, %d lost, %d duplicated",
		l.tally.acknowledged, l.tally.unknown, l.tally.lost, l.tally.duplicated)
}

func (h *house) hasEnded() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

func (h *house) isReady() bool {
	answer, err := http.Get(h.admin + "/readyz")
	return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// T55: the disk fills up under load, and has room again; the same when it can
// only be read. Meanwhile nothing is acknowledged, it can be read, and the
// server says that it is not ready.
func TestAFullDiskIsSaidAndRecoveredFrom(t *testing.T) {
	if *faults == 0 {
		t.Skip("a campaign: make disk")
	}
	d := &disk{t: t, dir: shortDir(t)}
	d.do("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", d.dir)
	t.Cleanup(func() { d.do("umount", d.dir) })
	h, l := loneHouse(t, filepath.Join(d.dir, "house"))
	var me struct{ Address string }
	refuses := func(why string) {
		t.Helper()
		h.eventually("not ready: "+why, func() bool { return !h.isReady() })
		before := l.acknowledged.Load()
		time.Sleep(time.Second)
		if now := l.acknowledged.Load(); now != before {
			t.Errorf("%d posts acknowledged while %s", now-before, why)
		}
		h.owner.must(http.MethodGet, "/me", nil, &me)
	}
	recovers := func() {
		t.Helper()
		before := l.acknowledged.Load()
		h.eventually("posting and ready again", func() bool { return l.acknowledged.Load() > before+20 && h.isReady() })
	}
	filler := filepath.Join(d.dir, "filler")
	for range 3 {
		if err := os.WriteFile(filler, make([]byte, 24<<20), 0o600); err == nil {
			t.Fatal("the disk does not fill up")
		}
		refuses("the disk is full")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		recovers()
	}
	l.endsWell()
	t.Logf("full three times: %s", l.sum())
}
