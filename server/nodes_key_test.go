package server

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A node whose key another one replaced signs nothing, says so, and goes on once the file was copied to it.
func TestANodeWhoseKeyWasReplacedSignsNothing(t *testing.T) {
	nodes, b := newNodes(t, 2), newSite(t, "")
	x, y := nodes[0], nodes[1]
	for _, at := range []*site{x, y, b} {
		at.start()
	}
	ana, ben := x.person("ana"), b.person("ben")
	befriend(x, b)
	channel := share(x, ana, b, ben, "ben@"+b.name)
	var thread item
	x.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &thread)
	y.mustPost(ana, thread.ID, "two")
	b.holding(ben, thread.ID, 2)

	x.mustOperate("keys.rotate", KeyChange{}, nil)
	y.eventually("unready", func() bool {
		return strings.Contains(y.body(y.admin+"/readyz", ""), "copy server.key from the node that has it")
	})
	if status := y.call(ana, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "lost"}, nil); status != http.StatusServiceUnavailable {
		t.Errorf("a post at the node whose key was replaced: %d", status)
	}
	if n := y.count(ana, thread.ID); n != 2 {
		t.Errorf("it shows %d messages", n)
	}
	x.mustPost(ana, thread.ID, "three")
	b.holding(ben, thread.ID, 3)

	y.mustStop()
	if err := y.refusal(); err == nil || !strings.Contains(err.Error(), "replaced") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a start with a key that was replaced: %v", err)
	}
	key, err := os.ReadFile(KeyFile(x.options.Config.DataDir))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(KeyFile(y.options.Config.DataDir))
	if err != nil {
		t.Fatal(err)
	}
	y.putKey(key)
	y.start()
	y.mustPost(ana, thread.ID, "four")
	b.holding(ben, thread.ID, 4)

	y.mustOperate("keys.rotate", KeyChange{}, nil) // the other way round, and without a restart
	x.eventually("unready", func() bool { return strings.Contains(x.body(x.admin+"/readyz", ""), "replaced") })
	if key, err = os.ReadFile(KeyFile(y.options.Config.DataDir)); err != nil {
		t.Fatal(err)
	}
	x.putKey(key)
	x.eventually("ready again", func() bool { return x.status(x.admin+"/readyz", "") == http.StatusOK })
	x.mustPost(ana, thread.ID, "five")
	b.holding(ben, thread.ID, 5)
	y.mustStop()
	y.putKey(old)
	if err := y.refusal(); err == nil {
		t.Error("a start with the first of three keys")
	}
}

// refusal is why the site does not start.
func (at *site) refusal() error {
	at.t.Helper()
	at.options.Registry = prometheus.NewRegistry()
	s, err := New(at.t.Context(), at.options)
	if err == nil {
		err = s.Close()
	}
	return err
}

func (at *site) putKey(key []byte) {
	at.t.Helper()
	if err := os.WriteFile(KeyFile(at.options.Config.DataDir), key, 0o600); err != nil {
		at.t.Fatal(err)
	}
}
