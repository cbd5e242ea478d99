package sim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"meridian/threads"
)

// What depths are claimed of: the first is as true logs may have, the others must cost no more.
var depths = []int64{50, 10_000_000, 1<<53 - 1}

// depthRoom is what a server may allocate beyond what the least depth cost it: less than a byte for
// each claimed place.
const depthRoom = 9 << 20

// T66: a member that claims logs of a depth which nobody has, offers events with gaps as wide, and
// asks for places as far away, makes a server allocate no more than one that claims little. The logs
// it really wrote go on meanwhile.
func TestAClaimedDepthTakesNoRoom(t *testing.T) {
	s := newScene(t, "")
	var least uint64
	for i, depth := range depths {
		took := allocated(func() { s.claims(depth) })
		if i == 0 {
			least = took
		}
		t.Logf("depth %d: %d KiB allocated", depth, took>>10)
		if took > least+depthRoom {
			t.Errorf("depth %d had %d KiB allocated, depth %d %d KiB", depth, took>>10, depths[0], least>>10)
		}
		text := fmt.Sprint("After depth ", depth)
		if got := s.mal.push(s.victim, s.mal.post(s.thread, text)); got.status != http.StatusOK || !s.shows(text) {
			t.Errorf("depth %d: the next message: %+v", depth, got)
		}
	}
}

// allocated is how many bytes this process allocated meanwhile, the server's among them.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// claims has the enemy claim a depth by every exchange, until the victim has asked for what it claims.
func (s *scene) claims(depth int64) {
	s.t.Helper()
	sample := s.mal.draft(threads.Draft{Type: threads.TypeMessagePosted, Content: note(s.thread, "far away")})
	log := fmt.Sprintf("%q,%d", s.mal.name, sample.Header.Epoch)
	standing := fmt.Sprintf(`{"channel":%q,"control":[%d,%q],"frontier":[[%s,1,%d,%q],[%q,%d,1,%d,%q]]`, s.channel,
		s.mal.state.Control.Seq, s.mal.state.Control.Hash, log, depth, sample.ID, s.carol.name, sample.Header.Epoch, depth, sample.ID)
	s.mal.answer(toPull, func([]byte) (int, string, []byte) {
		return 200, "application/x-ndjson", []byte(`{"channels":[` + standing + fmt.Sprintf(`,"more":true,"waiting":[{"origin":%s,"seq":%d,"for":["",0,%d]}]}]}`,
			strings.Replace(log, ",", `,"epoch":`, 1), depth, depth) + "\n")
	})
	asked := s.mal.pulls()
	var far []*threads.Event
	for n := depth; n > sample.Header.Seq && len(far) < 20; n = n - n/10 - 1 {
		far = append(far, s.mal.changed(sample, func(h *threads.Header) { h.Seq, h.Prev = n, sample.ID }))
	}
	if got := s.mal.pushRaw(s.victim, frames(far...)); got.status != http.StatusOK {
		s.t.Errorf("gaps up to %d: %+v", depth, got.said)
	}
	if got := s.mal.ask(s.victim, toPush, "{\"channels\":["+standing+"}]}\n"); got.status != http.StatusOK {
		s.t.Errorf("push: %+v", got)
	}
	place := fmt.Sprintf(`[[%s,%d],[%s,1],["",0,%d]]`, log, depth, log, depth)
	more := fmt.Sprintf(`,"ahead":%s,"at":%s,"probe":%s,"below":[[%s,%d,%d,%q]]}],"limit":500}`, place, place, place, log, depth, depth, sample.ID)
	if got := s.mal.ask(s.victim, toPull, `{"channels":[`+standing+more); got.status != http.StatusOK {
		s.t.Errorf("pull: %+v", got)
	}
	s.eventually("asking for what is claimed", func() bool { return s.mal.pulls() > asked+1 })
	s.mal.answer(toPull, func([]byte) (int, string, []byte) { return 200, "application/x-ndjson", []byte(quiet[toPull]) })
}

// pulls is how often the enemy was asked for events.
func (e *enemy) pulls() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.heard {
		if h.path == toPull {
			n++
		}
	}
	return n
}

// T66: whoever joins a channel of which the host says that it is deep asks for what lies below in pages,
// whatever it is given, and has room for what it got.
func TestANewcomerMakesNoRoomForAPromisedHistory(t *testing.T) {
	var least uint64
	for i, depth := range depths {
		s := newScene(t, "")
		took := allocated(func() { s.joinsDeep(depth) })
		if i == 0 {
			least = took
		}
		t.Logf("depth %d: %d KiB allocated", depth, took>>10)
		if took > least+depthRoom {
			t.Errorf("depth %d had %d KiB allocated, depth %d %d KiB", depth, took>>10, depths[0], least>>10)
		}
		s.stop()
	}
}

// joinsDeep has ana join a channel of the enemy's whose log ends at a depth, and fetch its history from
// a host that gives events from far below, again and again.
func (s *scene) joinsDeep(depth int64) {
	s.t.Helper()
	h := s.mal.hosts("Deep")
	var below atomic.Int64
	s.mal.answer(toRequest, func(body []byte) (int, string, []byte) { return s.admitsDeep(h, depth, body) })
	s.mal.answer(toPull, func(body []byte) (int, string, []byte) {
		var asked struct{ Channels []struct{ Below [][]any } }
		given := h.events
		if json.Unmarshal(body, &asked) == nil && len(asked.Channels) == 1 && len(asked.Channels[0].Below) > 0 {
			below.Add(1)
			given = []*threads.Event{s.gap(h, depth/2), s.gap(h, 1)}
		}
		tail := fmt.Sprintf(`{"channels":[{"channel":%q,"control":[%d,%q],"frontier":[[%q,%d,1,%d,%q]],"more":true}]}`+"\n",
			h.state.ID, h.state.Control.Seq, h.state.Control.Hash, h.name, deepEpoch, depth, h.state.ID)
		return 200, "application/x-ndjson", []byte(frames(given...) + tail)
	})
	body := fmt.Sprintf(`{"id":%q,"kind":"invite","channel":%q,"invite":{"address":"ana@%s","inviter":%q,"name":"Deep","purpose":"","role":"member"}}`, salt(), h.state.ID, s.name, h.person)
	if got := h.ask(s.victim, toRequest, body); got.status != http.StatusOK {
		s.t.Fatalf("invite: %+v", got)
	}
	if status, answer := s.call(s.ana, http.MethodPost, "/invitations/"+s.invitation(h.state.ID)+"/accept", nil); status != http.StatusOK {
		s.t.Fatalf("accept: %d %s", status, answer)
	}
	s.eventually("asking for what lies below, again", func() bool { return below.Load() > 1 })
}

// deepEpoch is that of a log of the host's, opened with its channel.
const deepEpoch = 1<<32 + 1

// gap is an event of the host's log at a place.
func (s *scene) gap(h *host, seq int64) *threads.Event {
	sample := s.mal.draft(threads.Draft{Type: threads.TypeMessagePosted, Content: note(s.thread, "far below")})
	return s.mal.changed(sample, func(to *threads.Header) {
		to.Channel, to.Epoch, to.Seq = h.state.ID, deepEpoch, max(1, seq)
		if to.Prev = ""; seq > 1 {
			to.Prev = h.state.ID
		}
		to.Control.Number, to.Control.Hash, to.After = 1, h.events[0].ID, nil
	})
}

// admitsDeep answers a request to join.
func (s *scene) admitsDeep(h *host, depth int64, body []byte) (int, string, []byte) {
	var asked struct {
		Accept *struct{ Acceptance, Prev string }
	}
	if err := json.Unmarshal(body, &asked); err != nil || asked.Accept == nil {
		return 200, "application/json", []byte(`{}`)
	}
	if asked.Accept.Prev != h.state.Control.Hash {
		return http.StatusConflict, "application/problem+json", fmt.Appendf(nil,
			`{"code":"stale_acceptance","detail":"sign this","status":409,"control":[%d,%q]}`, h.state.Control.Seq, h.state.Control.Hash)
	}
	own := s.ring().Signed(s.name)[0].Key
	h.control(threads.TypeMemberJoined, h.person, fmt.Sprintf(`{"acceptance":%q,"heads":[[%q,%d,%d,%q,%d,1]],"key":%s,"person":%q,"role":"member","salt":"SALT"}`,
		asked.Accept.Acceptance, h.name, deepEpoch, depth, h.state.ID, int64(h.events[0].Header.Time)+1, keyJSON(own.ID, own.Public), s.anaID))
	return 200, "application/json", []byte(`{}`)
}
