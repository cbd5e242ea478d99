package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
)

// newNodes installs n nodes of one organisation on a PostgreSQL database, behind
// a balancer under their common name. Each is called at its own address.
func newNodes(t *testing.T, n int) []*site {
	t.Helper()
	first := newSite(t, pgtest.URL(t))
	key, err := os.ReadFile(KeyFile(first.options.Config.DataDir))
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*site{first}
	for len(nodes) < n {
		node := newSite(t, first.options.Config.Database)
		if err := os.WriteFile(KeyFile(node.options.Config.DataDir), key, 0o600); err != nil {
			t.Fatal(err)
		}
		node.name, node.options.Config.PublicURL = first.name, first.options.Config.PublicURL
		nodes = append(nodes, node)
	}
	var addresses []string
	for _, node := range nodes {
		node.options.Config.Listen = freeAddress(t)
		node.url = "http://" + node.options.Config.Listen
		addresses = append(addresses, node.options.Config.Listen)
	}
	balance(t, first.name, addresses)
	return nodes
}

// balance passes connections to each of the addresses in turn that answers.
func balance(t *testing.T, at string, to []string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var turn atomic.Int64
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer in.Close()
				for range to {
					out, err := net.Dial("tcp", to[int(turn.Add(1))%len(to)])
					if err != nil {
						continue
					}
					all.Go(func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() })
					_, _ = io.Copy(in, out)
					_ = out.Close()
					return
				}
			})
		}
	})
}

// stream is a socket at a node; read gives type and body of the next event that is
// of another type than the one named.
func (at *site) stream(token string) (read func(but string) string) {
	at.t.Helper()
	socket, answer, err := websocket.DefaultDialer.Dial(strings.Replace(at.url, "http", "ws", 1)+"/api/v1/stream", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		at.t.Fatal(err)
	}
	_ = answer.Body.Close()
	at.t.Cleanup(func() { _ = socket.Close() })
	var ready struct{ Op string }
	if err := socket.ReadJSON(&ready); err != nil || ready.Op != "ready" {
		at.t.Fatalf("a socket begins with %+v: %v", ready, err)
	}
	return func(but string) string {
		for {
			var event struct {
				Type string
				Data struct{ Body string }
			}
			_ = socket.SetReadDeadline(time.Now().Add(20 * time.Second))
			if err := socket.ReadJSON(&event); err != nil {
				at.t.Fatalf("read the stream: %v", err)
			}
			if event.Type != but {
				return event.Type + " " + event.Data.Body
			}
		}
	}
}

func TestNodesOfOneOrganisationActAsOne(t *testing.T) {
	nodes, b := newNodes(t, 3), newSite(t, "")
	x, y, z := nodes[0], nodes[1], nodes[2] // z comes late
	for _, at := range []*site{x, y, b} {
		at.start()
	}
	ana, ben := x.person("ana"), b.person("ben")
	befriend(x, b)
	channel := share(x, ana, b, ben, "ben@"+b.name)
	var thread, posted item
	x.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Hello"}, &thread)
	b.eventually("has the thread", func() bool { return b.status(b.url+"/api/v1/threads/"+thread.ID, ben) == http.StatusOK })

	next := y.stream(ana)
	for i := range 20 {
		from, token := x, ana
		if i%2 == 1 {
			from, token = b, ben
		}
		body := fmt.Sprintf("Message %d.", i)
		from.must(token, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": body}, &posted)
		begun := time.Now()
		if got := next("message.delivery"); got != "message.posted "+body {
			t.Fatalf("the other node's socket got %q, want %q", got, body)
		}
		t.Logf("from %s after %s", from.url, time.Since(begun).Round(100*time.Microsecond))
	}
	y.must(ana, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "From the other node."}, &posted)
	if got := next("message.posted"); got != "message.delivery " {
		t.Errorf("of what became of messages the other node's socket got %q", got)
	}
	z.start()
	if doubted, err := z.running.store.InDoubt(t.Context(), "", 10); err != nil || len(doubted) > 0 {
		t.Errorf("a node that came late doubts the database that the others write: %v, %v", doubted, err)
	}
	z.must(ana, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "From the newest node."}, &posted)
	b.eventually("has all", func() bool { return b.count(ben, thread.ID) == 22 })
	for _, node := range nodes {
		if got, want := node.stateHash(ana, channel), b.stateHash(ben, channel); got != want {
			t.Errorf("the state at %s is %s, at the partner %s", node.url, got, want)
		}
	}

	x.mustOperate("people.disable", Named{Name: "ana"}, nil)
	y.eventually("shut out whom the other node disabled", func() bool { return y.status(y.url+"/api/v1/me", ana) == http.StatusUnauthorized })
}

func TestAKeyUsedAtTwoNodesAtOncePostsOnce(t *testing.T) {
	nodes := newNodes(t, 2)
	for _, at := range nodes {
		at.start()
	}
	ana := nodes[0].person("ana")
	var channel, thread item
	nodes[0].must(ana, http.MethodPost, "/channels", map[string]string{"name": "Own"}, &channel)
	nodes[0].must(ana, http.MethodPost, "/channels/"+channel.ID+"/threads", map[string]string{"title": "Hello"}, &thread)
	const posts = 25
	for i := range posts {
		var ids [4]string
		var all sync.WaitGroup
		for j := range ids {
			all.Go(func() { ids[j] = nodes[j%2].postOnce(ana, thread.ID, fmt.Sprint("key", i)) })
		}
		all.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("one key made %q", ids)
			}
		}
	}
	for _, at := range nodes {
		if n := at.count(ana, thread.ID); n != posts {
			t.Errorf("%d messages of %d keys", n, posts)
		}
	}
}

func TestOfTwoChangesToOneVersionAtTwoNodesOneIsRefused(t *testing.T) {
	nodes := newNodes(t, 2)
	for _, at := range nodes {
		at.start()
	}
	ana := nodes[0].person("ana")
	var channel item
	nodes[0].must(ana, http.MethodPost, "/channels", map[string]string{"name": "Own"}, &channel)
	for round := range 10 {
		r, err := http.NewRequest(http.MethodGet, nodes[0].url+"/api/v1/channels/"+channel.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+ana)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		version := answer.Header.Get("ETag")
		var statuses [2]int
		var all sync.WaitGroup
		for i, at := range nodes {
			all.Go(func() { statuses[i] = at.rename(ana, channel.ID, version, fmt.Sprintf("Name %d of node %d", round, i)) })
		}
		all.Wait()
		slices.Sort(statuses[:])
		if version == "" || statuses != [2]int{http.StatusOK, http.StatusPreconditionFailed} {
			t.Fatalf("round %d: two changes to version %q end with %d", round, version, statuses)
		}
	}
}

// rename gives a channel of that version another name.
func (at *site) rename(token, channel, version, name string) int {
	r, err := http.NewRequest(http.MethodPatch, at.url+"/api/v1/channels/"+channel, strings.NewReader(fmt.Sprintf(`{"name":%q}`, name)))
	if err != nil {
		at.t.Error(err)
		return 0
	}
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "If-Match": {version}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		at.t.Error(err)
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// postOnce posts under a key, and returns the message's id.
func (at *site) postOnce(token, thread, key string) string {
	var made item
	if status := at.postUnder(token, thread, key, &made); status >= 300 {
		at.t.Errorf("post under a key: %d", status)
	}
	return made.ID
}

// tryOnce posts under a key and returns the answer's status, 0 without one.
func (at *site) tryOnce(token, thread, key string) int {
	return at.postUnder(token, thread, key, &item{})
}

func (at *site) postUnder(token, thread, key string, made *item) int {
	r, err := http.NewRequest(http.MethodPost, at.url+"/api/v1/threads/"+thread+"/messages", strings.NewReader(`{"body":"Once."}`))
	if err != nil {
		at.t.Error(err)
		return 0
	}
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Idempotency-Key": {key}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_ = json.NewDecoder(answer.Body).Decode(made) // a refusal is no message
	return answer.StatusCode
}

// TestAnotherOrganisationIsRefusedTheDatabase and its own nodes are not.
func TestAnotherOrganisationIsRefusedTheDatabase(t *testing.T) {
	at := newSite(t, pgtest.URL(t))
	at.start()
	stranger := newSite(t, at.options.Config.Database)
	stranger.options.Registry = at.options.Registry
	_, err := New(t.Context(), stranger.options)
	if err == nil || !strings.Contains(err.Error(), "a server of "+at.name+" runs on this database") {
		t.Errorf("another organisation's server on the database: %v", err)
	}
}

// T65: a node that was stopped beyond its life does no harm when it goes on: what
// it wants to write for a step that was taken over meanwhile is refused.
func TestAStepIsDoneByOneNodeAndTakenOverWithAFence(t *testing.T) {
	url := pgtest.URL(t)
	open := func() *store.Store {
		s, err := store.Open(t.Context(), store.Options{URL: url, Server: "kobo.example"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	first, second := open(), open()
	step := []string{"a step", "another"}
	held, err := first.Beat(t.Context(), step)
	if err != nil || held["a step"].Number != 1 || len(held) != 2 {
		t.Fatalf("the first node holds %v: %v", held, err)
	}
	old := held["a step"]
	if held, err = second.Beat(t.Context(), step); err != nil || len(held) != 0 {
		t.Fatalf("the second node holds %v of a living one: %v", held, err)
	}
	begun := time.Now()
	for len(held) == 0 {
		if held, err = second.Beat(t.Context(), step[:1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if took := time.Since(begun); took < store.NodeLife/2 || held["a step"].Number != 2 {
		t.Errorf("taken over after %s with %v", took, held)
	}
	if held, err = first.Beat(t.Context(), nil); err != nil || len(held) != 1 {
		t.Errorf("the first node, awake again, holds %v: %v", held, err)
	}
	if err := first.SaveExchange(t.Context(), old, "havel.example", threads.Exchange{Cursor: 7}); err == nil || !strings.Contains(err.Error(), store.ErrFenced.Error()) {
		t.Errorf("a write behind the fence: %v", err)
	}
	if err := second.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held, err = first.Beat(t.Context(), step); err != nil || held["a step"].Number != 3 {
		t.Errorf("after the second node left the first holds %v: %v", held, err)
	}
}
