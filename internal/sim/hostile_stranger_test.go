package sim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// everything are the requests of a server that nobody here knows: every exchange that the well-known
// document names, every kind of request, every type of event, and bodies that are none.
func (s *scene) everything() map[string][2]string {
	s.t.Helper()
	asked := s.requests(s.channel, s.stranger.person)
	asked["file"] = [2]string{toFile, fmt.Sprintf(`{"channel":%q,"digest":%q,"from":0}`, s.channel, s.message)}
	asked["check"] = [2]string{"/federation/v1/check", `{"back":true}`}
	asked["erased"] = [2]string{"/federation/v1/erased", fmt.Sprintf(`{"events":[%q]}`, s.message)}
	for kind, d := range s.kinds() {
		honest := s.next(d)
		own := s.stranger.changed(honest, func(h *threads.Header) {
			h.Origin, h.Actor, h.Key = s.stranger.name, s.stranger.person, s.stranger.keyID()
		})
		asked["an event of its own: "+kind] = [2]string{toPush, "{\"channels\":[]}\n" + frames(own)}
		asked["another's event: "+kind] = [2]string{toPush, "{\"channels\":[]}\n" + frames(honest)}
	}
	for path, name := range s.endpoints() {
		for what, body := range map[string]string{
			"nothing": "", "no JSON": "what\x00\xff", "HTML": "<script>alert(1)</script>", "depth": strings.Repeat("[", 10_000),
			"much": strings.Repeat("x", 200_000), "a bomb": zip(strings.Repeat("x", 16<<20)), "many lines": strings.Repeat("{}\n", 5_000),
		} {
			asked[name+" with "+what] = [2]string{path, body}
		}
	}
	return asked
}

// endpoints are the exchanges that the victim offers, by path.
func (s *scene) endpoints() map[string]string {
	s.t.Helper()
	answer, err := client.Get(s.url + "/.well-known/meridian")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	var document struct{ Endpoints map[string]string }
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil || len(document.Endpoints) < 8 {
		s.t.Fatalf("%v, %v", document, err)
	}
	paths := map[string]string{}
	for name, url := range document.Endpoints {
		paths[strings.TrimPrefix(url, s.url)] = name
	}
	return paths
}

// T25: whatever a server sends that nobody here has allowed, it is refused with 403 before its body is
// read, nothing of it is in any table, and all that moves is one counter.
func TestAStrangerIsRefusedEverythingAndLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		asked, tried := s.everything(), 0.0
		var before map[string]int
		s.eventually("at rest", func() bool {
			earlier := s.allRows()
			time.Sleep(100 * time.Millisecond)
			before = s.allRows()
			return maps.Equal(earlier, before)
		})
		counters := s.counters()
		for what, a := range asked {
			for _, encoding := range []string{"", "gzip"} {
				r := s.stranger.request(s.victim, a[0], a[1], s.stranger.keyID(), s.now())
				if encoding != "" {
					r.Header.Set("Content-Encoding", encoding)
				}
				tried++
				if got := s.stranger.send(r); got.status != http.StatusForbidden || got.code != "unknown_server" || !got.refusedWhole() {
					t.Errorf("%s is answered %+v", what, got)
				}
			}
		}
		for path := range s.endpoints() {
			tried++
			if status := s.announce(path, 1<<30); status != http.StatusForbidden {
				t.Errorf("%s: 1 GiB announced is answered %d", path, status)
			}
		}
		for table, n := range s.allRows() {
			if n != before[table] {
				t.Errorf("%d rows in %s, there were %d", n, table, before[table])
			}
		}
		after := s.counters()
		const counted = `meridian_federation_signature_failures_total{reason="unknown_key"}`
		if moved := after[counted] - counters[counted]; moved != tried {
			t.Errorf("%v of %v refusals were counted", moved, tried)
		}
		for series, n := range after {
			if series != counted && n != counters[series] {
				t.Errorf("%s went from %v to %v", series, counters[series], n)
			}
		}
		if people := s.listed("/invitations"); strings.Contains(people, s.stranger.name) {
			t.Errorf("people see it: %s", people)
		}
		t.Logf("%v requests of %d kinds, each refused", tried, len(asked))
	})
}

// announce begins a request with a body of so many bytes of which none comes, and returns the answer's
// status.
func (s *scene) announce(path string, size int64) int {
	s.t.Helper()
	r := s.stranger.request(s.victim, path, "", s.stranger.keyID(), s.now())
	conn, err := net.Dial("tcp", s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r.Body, r.ContentLength = io.NopCloser(neverRead{}), size
	go func() { _ = r.Write(conn) }() // what is answered before the body came
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// neverRead has nothing to give for as long as anybody waits.
type neverRead struct{}

func (neverRead) Read([]byte) (int, error) { select {} }

// counters are the series that count what others did.
func (s *scene) counters() map[string]float64 {
	all := s.scrape()
	maps.DeleteFunc(all, func(series string, _ float64) bool {
		return !strings.HasPrefix(series, "meridian_federation_") || strings.Contains(series, "_seconds")
	})
	return all
}

// listed is what ana is answered with.
func (s *scene) listed(path string) string {
	s.t.Helper()
	status, body := s.call(s.ana, http.MethodGet, path+"?limit=200", nil)
	if status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, status, body)
	}
	return string(body)
}

// T25: a thousand invitations, full of markup, by a partner: what a person is shown is bounded, plain
// text, and leaves everybody else's room; a stranger's are never shown.
func TestAThousandInvitationsShowAHundredPlainOnes(t *testing.T) {
	s := newScene(t, "")
	name := `<img src=x onerror=alert(1)><b>Come in</b>`
	offer := func(e *enemy, n int, name, purpose string) said {
		return e.ask(s.victim, toRequest, fmt.Sprintf(`{"id":"flood-%d","kind":"invite","channel":%q,"invite":{"address":"ana@%s","inviter":%q,"name":%s,"purpose":%s,"role":"member"}}`,
			n, threads.HashOf(fmt.Append(nil, n)), s.name, e.person, asJSON(name), asJSON(purpose)))
	}
	begun, before := time.Now(), s.allRows()["invitation"]
	for n := range 1000 {
		got := offer(s.mal, n, name, "<script>alert(2)</script>")
		if want := n < threads.MaxInvitations; want != (got.status == http.StatusOK) || !want && (got.code != "too_many_invitations" || got.retry != "3600") {
			t.Fatalf("offer %d: %+v", n, got)
		}
	}
	took := time.Since(begun)
	if got := offer(s.mal, 1000, "x", strings.Repeat("x", 1<<20)); got.status != http.StatusUnprocessableEntity && got.status != http.StatusBadRequest {
		t.Errorf("a purpose of 1 MiB: %+v", got)
	}
	if got := offer(s.stranger, 1001, "Strange", ""); got.status != http.StatusForbidden {
		t.Errorf("a stranger's: %+v", got)
	}
	if n := s.allRows()["invitation"] - before; n != threads.MaxInvitations {
		t.Errorf("%d are kept", n)
	}
	r, _ := http.NewRequest(http.MethodGet, s.url+"/api/v1/invitations?limit=200", nil)
	r.Header.Set("Authorization", "Bearer "+s.ana)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	var shown struct{ Items []struct{ Name, Host string } }
	if err != nil || json.Unmarshal(body, &shown) != nil || len(shown.Items) != threads.MaxInvitations {
		t.Fatalf("%d are shown, %v: %.300s", len(shown.Items), err, body)
	}
	for _, i := range shown.Items {
		if i.Name != name {
			t.Errorf("shown as %q", i.Name)
		}
	}
	if kind := answer.Header.Get("Content-Type"); kind != "application/json" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("given as %q: %v", kind, answer.Header)
	}
	if got := offer(s.carol, 5000, "Honest", ""); got.status != http.StatusOK {
		t.Errorf("another partner's: %+v", got)
	}
	t.Logf("1000 offers in %s", took)
}
