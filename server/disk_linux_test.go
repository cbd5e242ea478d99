package server

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A full disk lets everything be read: readiness has to say that nothing can be
// stored, and to take it back by itself. It needs root, to mount a small disk.
func TestAFullDiskMakesTheServerUnreadyUntilThereIsRoom(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	at := newSite(t, "sqlite:"+disk+"/m.db")
	at.start()
	token, thread := conversation(at)
	post := func(body string) int {
		return at.call(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]string{"body": body}, nil)
	}
	ready := func(status int) func() bool {
		return func() bool { return at.status(at.admin+"/readyz", "") == status }
	}
	if status := post("Before."); status != http.StatusCreated {
		t.Fatalf("before: %d", status)
	}
	ballast := disk + "/ballast"
	fill := exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4096")
	_ = fill.Run() // fails, once nothing is left
	at.eventually("refused for want of room", func() bool { return post(strings.Repeat("x", 50_000)) == http.StatusServiceUnavailable })
	at.eventually("not ready", ready(http.StatusServiceUnavailable))
	at.must(token, http.MethodGet, "/threads/"+thread+"/messages", nil, &list{})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	at.eventually("ready again by itself", ready(http.StatusOK))
	if status := post("After."); status != http.StatusCreated {
		t.Errorf("after: %d", status)
	}
}
