package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// faults are what goes wrong while the world is not healed, in percent of
// exchanges and commits.
type faults struct {
	loseRequest, loseAnswer, duplicate, delay, failCommit int
}

// network carries exchanges between the nodes of a world, in memory, one at a
// time. A request can be lost, or its answer, or come twice, or come late: after
// others that were sent after it, when its sender has long given up. Where a
// server asks several at once, before a removal, one answers in time: else the
// order of its goroutines would decide what the seed has to.
type network struct {
	seed   uint64
	counts *counts
	nodes  map[string]*node
	faults faults
	cut    map[[2]string]bool // pairs that do not reach each other, in order of names
	hear   func(from, to *node, path string, asked, said []byte)

	prompt string // the one that answers a server which asks many at once; "" where none does

	mu   sync.Mutex
	dice map[string]*rand.Rand // for each link, so that one link's fate does not depend on another's
	late []late
}

type late struct {
	from, to *node
	request  *http.Request
	body     []byte
}

// link is the network as one node uses it.
type link struct {
	net  *network
	from *node
}

var errUnreachable = errors.New("unreachable")

func pair(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

// RoundTrip carries one exchange.
func (l link) RoundTrip(r *http.Request) (*http.Response, error) {
	n := l.net
	to := n.nodes[r.URL.Host]
	if to == nil || !to.up() || n.cut[pair(l.from.name, to.name)] || l.from.gathers && to.name != n.prompt {
		return nil, errUnreachable
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	n.hear(l.from, to, "", nil, body)
	r, body = l.from.tamperRequest(r, body)
	way := l.from.name + " " + to.name
	switch {
	case n.happens("lose request", way, n.faults.loseRequest):
		return nil, errUnreachable
	case n.happens("delay", way, n.faults.delay):
		n.mu.Lock()
		defer n.mu.Unlock()
		n.late = append(n.late, late{l.from, to, r, body})
		return nil, errUnreachable
	case n.happens("duplicate", way, n.faults.duplicate):
		n.carry(l.from, to, r, body)
	}
	answer := n.carry(l.from, to, r, body)
	if n.happens("lose answer", way, n.faults.loseAnswer) {
		return nil, errUnreachable
	}
	answer.Request = r
	return answer, nil
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(r.Body)
}

// happens throws the dice of one link, or of one disk.
func (n *network) happens(what, where string, percent int) bool {
	if n.throw(where, 100) >= percent {
		return false
	}
	n.counts.add(what)
	return true
}

func (n *network) throw(where string, sides int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dice[where] == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(where)) // never fails
		n.dice[where] = rand.New(rand.NewPCG(n.seed, h.Sum64()))
	}
	return n.dice[where].IntN(sides)
}

// carry has the receiver answer.
func (n *network) carry(from, to *node, r *http.Request, body []byte) *http.Response {
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	w := httptest.NewRecorder()
	w.Header().Set("Date", to.now().UTC().Format(http.TimeFormat))
	to.exchange.Handler().ServeHTTP(w, in)
	answer := w.Result()
	got := to.tamperAnswer(r, w.Body.Bytes())
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(got)), int64(len(got))
	n.hear(to, from, r.URL.Path, body, got)
	return answer
}

// deliverLate delivers what was held up, in any order; nobody takes the answers.
func (n *network) deliverLate(rng *rand.Rand) {
	late := n.late
	n.late = nil
	for _, i := range rng.Perm(len(late)) {
		l := late[i]
		if l.to.up() && !n.cut[pair(l.from.name, l.to.name)] {
			n.counts.add("reorder")
			n.carry(l.from, l.to, l.request.WithContext(context.Background()), l.body)
		}
	}
}

// heal makes all links whole and faultless.
func (n *network) heal() {
	n.faults = faults{}
	clear(n.cut)
}

// counts says how often each kind of thing happened.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(what string) { c.more(what, 1) }

func (c *counts) more(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what] += n
}

func (c *counts) String() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, c.n[what]))
	}
	return strings.Join(parts, ", ")
}
