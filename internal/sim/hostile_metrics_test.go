package sim_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// oddities are texts that nobody expects in a request.
var oddities = []string{"\xff\xfe", "%ff%fe", "%00", "a\tb", "é", "\u202e", strings.Repeat("x", 300), "{partner=\"x\"}", "\\", "%0a", "..", "%2e%2e", "日本"}

// odd is a request that is like no other: its path, method, agent and names are made up.
func odd(h *victim, rng *rand.Rand, n int) string {
	pick := func(all ...string) string { return all[rng.IntN(len(all))] }
	o := oddities[rng.IntN(len(oddities))]
	method := pick("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "BREW", fmt.Sprintf("M%d", n))
	path := pick("/", "/api/v1/", "/api/v1/channels/", "/api/v1/threads/", "/federation/v1/", "/federation/v1/push/", "/.well-known/", "/metrics/") + fmt.Sprintf("p%d", n)
	if rng.IntN(3) == 0 {
		path += "/" + strings.Map(func(r rune) rune {
			if r <= ' ' {
				return -1
			}
			return r
		}, o)
	}
	if rng.IntN(4) == 0 {
		method, path = "POST", pick(toPush, toPull, toDigest, toRequest, toProfiles)
	}
	key := fmt.Sprintf(`keyId="https://peer%d.example/keys/%016x",algorithm="hs2019",headers="(request-target) host date digest content-type",signature="%s=="`, n, n, strings.Repeat("A", 86))
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: agent-%d-%s\r\nSignature: %s\r\nDate: %s\r\nDigest: x\r\nContent-Type: application/json\r\nX-Forwarded-For: 10.%d.%d.%d\r\nAuthorization: Bearer %d\r\nContent-Length: 0\r\n\r\n",
		method, path, h.name, n, strings.ReplaceAll(o, "\t", ""), key, time.Now().UTC().Format(http.TimeFormat), n>>16&255, n>>8&255, n&255, n)
}

// pour sends made-up requests over one connection, many at a time, and reads what comes back.
func (h *victim) pour(rng *rand.Rand, from, to int) (answered int, err error) {
	for from < to {
		conn, err := net.Dial("tcp", h.name)
		if err != nil {
			return answered, err
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		var batch strings.Builder
		asked := []string{}
		for ; from < to && len(asked) < 50; from++ {
			r := odd(h, rng, from)
			asked = append(asked, r[:strings.IndexByte(r, ' ')])
			batch.WriteString(r)
		}
		go func() { _, _ = io.WriteString(conn, batch.String()) }()
		in := bufio.NewReader(conn)
		for _, method := range asked {
			answer, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				break // it was too odd for the connection to go on
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode >= 500 && answer.StatusCode != http.StatusServiceUnavailable {
				_ = conn.Close()
				return answered, fmt.Errorf("answered %s", answer.Status)
			}
			answered++
		}
		_ = conn.Close()
	}
	return answered, nil
}

// T42: however many peers, paths, methods and agents there are, the metrics have as many series as
// before, and reading them is quick.
func TestMadeUpNamesMakeNoMetrics(t *testing.T) {
	s := newScene(t, "")
	requests := 100_000
	if testing.Short() {
		requests = 5_000
	}
	flood := func(from, to int) (total int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		const lanes = 4
		for i := range lanes {
			all.Go(func() {
				n, err := s.pour(rand.New(rand.NewPCG(uint64(from), uint64(i))), from+(to-from)*i/lanes, from+(to-from)*(i+1)/lanes)
				mu.Lock()
				defer mu.Unlock()
				if total += n; err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return total
	}
	flood(0, 2_000) // every series that there will ever be has begun after this
	before, rows := s.scrape(), s.rows()
	answered := flood(2_000, 2_000+requests)
	after := s.scrape()
	if len(after) != len(before) {
		for name := range after {
			if _, ok := before[name]; !ok {
				t.Errorf("a new series: %s", name)
			}
		}
	}
	for name := range after {
		if strings.Contains(name, "peer") && strings.Contains(name, ".example") || strings.Contains(name, "agent-") || strings.Contains(name, "/p1") {
			t.Errorf("a made-up name in %s", name)
		}
	}
	if answered < requests/2 {
		t.Errorf("%d of %d were answered", answered, requests)
	}
	s.unchanged("made-up requests", rows)
	best := time.Hour
	for range 5 {
		begun := time.Now()
		s.scrape()
		best = min(best, time.Since(begun))
	}
	t.Logf("%d of %d answered; %d series; a scrape takes %s", answered, requests, len(after), best)
	s.others(t)
}
