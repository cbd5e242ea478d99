package sim_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/threads"
)

// within fails the test where something takes longer.
// costs fails the test where f takes very much longer than what is as large and
// known to be cheap, in the same run. Each has its better one of two times, so
// that a pause of the machine decides nothing.
func costs(t *testing.T, what string, cheap, f func()) {
	t.Helper()
	best := func(f func()) time.Duration {
		least := time.Hour
		for range 2 {
			begun := time.Now()
			f()
			least = min(least, time.Since(begun))
		}
		return least
	}
	floor, took := best(cheap), best(f)
	if t.Logf("%s: %s, the floor is %s", what, took, floor); took > 30*floor+time.Second {
		t.Errorf("%s took %s where what is as large takes %s", what, took, floor)
	}
}

// What waits for each other in the worst order costs no more than what waits in the best.
func TestWhatWaitsForEachOtherIsTakenUpInOneGo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := newScene(t, "")
	first := newQuill(s.mal, s.mal.state)
	second := newQuill(s.mal, s.mal.state)
	second.id.Epoch++
	write := func(q *quill, after ...threads.Ref) *threads.Event {
		q.after = after
		return q.write(threads.TypeMessagePosted, s.mal.person, note(s.thread, "zip"), "")
	}
	// Each event waits for one of the other log, which was written just before it.
	last := write(second)
	trigger, before := last, s.rows()["event"]
	var waiting []*threads.Event
	for range 4_000 {
		last = write(first, last.Header.Ref())
		waiting = append(waiting, last)
		last = write(second, last.Header.Ref())
		waiting = append(waiting, last)
	}
	begun := time.Now()
	for len(waiting) > 0 {
		n := min(500, len(waiting))
		if got := s.mal.push(s.victim, waiting[:n]...); got.status != http.StatusOK || len(got.Refusals) > 0 {
			t.Fatalf("%.500v", got)
		}
		waiting = waiting[n:]
	}
	pushing := time.Since(begun)
	if got := s.mal.push(s.victim, trigger); got.status != http.StatusOK || len(got.Refusals) > 0 {
		t.Errorf("%.500v", got)
	}
	took := time.Since(begun) - pushing
	if t.Logf("pushing took %s, taking up %s", pushing, took); took > 10*pushing+10*time.Second {
		t.Errorf("taking up took %s, pushing %s", took, pushing)
	}
	if n := s.rows()["event"] - before; n != 8_001 {
		t.Errorf("%d events came of it", n)
	}
}

// Of the logs that a server opens under one admission the 16 lowest count: the frontier, which every
// exchange names, stays small.
func TestALiarCannotOpenLogsWithoutEnd(t *testing.T) {
	s := newScene(t, "")
	lowest := newQuill(s.mal, s.mal.state).id.Epoch
	var batch []*threads.Event
	for i := range 200 {
		q := newQuill(s.mal, s.mal.state)
		q.id.Epoch = lowest + int64(i*37%200)
		batch = append(batch, q.write(threads.TypeMessagePosted, s.mal.person, note(s.thread, fmt.Sprintf("log %03d", i*37%200)), ""))
	}
	for range 2 {
		if got := s.mal.push(s.victim, batch...); got.status != http.StatusOK {
			t.Fatalf("%.500v", got)
		}
	}
	s.carol.catchUp(s.victim)
	logs := 0
	for _, head := range s.carol.state.Frontier() {
		if head.Origin == s.mal.name {
			logs++
			if head.Epoch >= lowest+16 {
				t.Errorf("log %d is among them", head.Epoch-lowest)
			}
		}
	}
	if logs != 16 {
		t.Errorf("%d logs are served", logs)
	}
	for _, m := range s.messages(s.ana, s.thread) {
		if strings.HasPrefix(m.Body, "log ") && m.Body >= "log 016" {
			t.Errorf("%q is shown", m.Body)
		}
	}
	before := s.stateHash(s.ana, s.channel)
	s.operate("rebuild", struct{}{}, nil)
	if s.stateHash(s.ana, s.channel) != before {
		t.Error("made anew, the state is another")
	}
	s.others(t)
}

// A request that names very much costs about as much as any other.
func TestAskingForVeryMuchIsCheap(t *testing.T) {
	s := newScene(t, "")
	s.must(s.ana, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]string{"body": "Since you are here."}, nil)
	s.mal.catchUp(s.victim)
	log := ""
	for _, head := range s.mal.state.Frontier() {
		if head.Origin == s.name {
			log = fmt.Sprintf("[%q,%d", s.name, head.Epoch)
		}
	}
	many := func(item string) string { return "[" + strings.Repeat(item+",", (3<<20)/(len(item)+1)) + item + "]" }
	for name, more := range map[string]string{
		"heads":    `,"frontier":` + many(log+`,1,1,"x"]`),
		"below":    `,"below":` + many(log+`,1,1,"x"]`),
		"deep":     `,"below":` + many(log+`,3,3,"x"]`),
		"contents": `,"contents":` + many(asJSON(s.message)),
		"probes":   `,"probe":` + many(log+`,1]`),
	} {
		pull := func(more string) func() {
			return func() {
				if got := s.mal.pull(s.victim, s.channel, more); got.status != http.StatusOK {
					t.Errorf("%s: %d %.300s", name, got.status, got.body)
				}
			}
		}
		costs(t, name, pull(`,"ignored":`+more[strings.IndexByte(more, ':')+1:]), pull(more))
	}
	var b strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&b, `"%x":"x",`, i)
	}
	digest := func(member string) func() {
		return func() { s.mal.ask(s.victim, toDigest, `{"`+member+`":{`+b.String()+`"z":""}}`) }
	}
	costs(t, "buckets", digest("ignored"), digest("buckets"))
	s.others(t)
}

// Who claims heads and never delivers them is asked now and then, and not without end.
func TestClaimedHeadsThatAreNeverDeliveredAreNotChased(t *testing.T) {
	s := newScene(t, "")
	var pulls atomic.Int64
	tail := fmt.Sprintf(`{"channels":[{"channel":%q,"control":[99,%q],"frontier":[[%q,%d,1,9007199254740991,%q]],"more":true}]}`+"\n",
		s.channel, threads.HashOf(nil), s.mal.name, s.mal.state.OpenLog(s.mal.name, time.Now()).Epoch, threads.HashOf(nil))
	s.mal.answer(toPull, func([]byte) (int, string, []byte) {
		pulls.Add(1)
		return 200, "application/x-ndjson", []byte(tail)
	})
	for range 20 {
		s.mal.ask(s.victim, toPush, fmt.Sprintf("{\"channels\":[{\"channel\":%q,\"control\":[99,%q]}]}\n", s.channel, threads.HashOf(nil)))
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Second)
	if n := pulls.Load(); n == 0 || n > 200 {
		t.Errorf("20 claims caused %d pulls", n)
	}
	quietly := pulls.Load()
	time.Sleep(time.Second)
	if n := pulls.Load() - quietly; n > 20 {
		t.Errorf("%d pulls in a second without a further claim", n)
	}
	s.others(t)
}

// What one server can hang on one message is bounded where people read it.
func TestAMessageWithVeryManyReactionsIsReadAtOnce(t *testing.T) {
	s := newScene(t, "")
	for round := range 8 {
		var batch []*threads.Event
		for i := range 500 {
			batch = append(batch, s.mal.write(threads.Draft{Type: threads.TypeReactionSet, Content: threads.AppendReaction(nil, s.message, fmt.Sprintf("emoji-%d-%d", round, i), true, salt())}))
		}
		if got := s.mal.push(s.victim, batch...); got.status != http.StatusOK || len(got.Refusals) > 0 {
			t.Fatalf("%.500v", got)
		}
	}
	if status, body := s.call(s.ana, http.MethodGet, "/threads/"+s.thread+"/messages", nil); status != http.StatusOK || len(body) > 256<<10 {
		t.Errorf("%d, %d bytes", status, len(body))
	}
	s.must(s.ana, http.MethodPut, "/messages/"+s.message+"/reactions/👍", nil, nil)
	if _, body := s.call(s.ana, http.MethodGet, "/messages/"+s.message, nil); !strings.Contains(string(body), "👍") {
		t.Log("ana's own reaction is not among those shown")
	}
}
