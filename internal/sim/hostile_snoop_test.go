package sim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// snoop asks for everything of a channel, by every exchange, and returns all that is said.
func (e *enemy) snoop(at *victim, channel string, ids ...string) map[string]said {
	e.t.Helper()
	log := fmt.Sprintf("[%q,%d", at.name, int64(1)<<32)
	contents := asJSON(ids)
	return map[string]said{
		"pull":     e.pull(at, channel, ""),
		"contents": e.pull(at, channel, `,"contents":`+contents),
		"probe":    e.pull(at, channel, `,"probe":[["",0,1],["",0,2],`+log+`,1]]`),
		"below":    e.pull(at, channel, `,"below":[`+log+`,99,99,"x"]]`),
		"head":     e.ask(at, toPush, fmt.Sprintf("{\"channels\":[{\"channel\":%q,\"control\":[99,%q]}]}\n", channel, channel)),
		"digest":   e.ask(at, toDigest, `{"buckets":{}}`),
	}
}

// logs are the control numbers and data events among the frames of an answer.
func logsOf(body string) (control []int64, data int) {
	for line := range strings.Lines(body) {
		var frame struct {
			Header struct {
				Log string
				Seq int64
			}
		}
		if json.Unmarshal([]byte(line), &frame) != nil || frame.Header.Log == "" {
			continue
		}
		if frame.Header.Log == threads.LogControl {
			control = append(control, frame.Header.Seq)
		} else {
			data++
		}
	}
	return control, data
}

// A removed server gets the control log up to its removal and nothing else, is brought nothing, and
// is not listened to.
func TestARemovedServerLearnsOfItsRemovalAndNothingElse(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		s.must(s.ana, http.MethodDelete, "/channels/"+s.channel+"/servers/"+s.mal.name, nil, nil)
		const removal = 4
		var later shown
		s.must(s.ana, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]string{"body": "A canary, now that they are gone."}, &later)
		s.must(s.ana, http.MethodPatch, "/channels/"+s.channel, map[string]string{"name": "Canaries"}, nil)
		before, state := s.rows(), s.stateHash(s.ana, s.channel)
		for name, got := range s.mal.snoop(s.victim, s.channel, s.message, s.thread, later.ID) {
			control, data := logsOf(got.body)
			if data > 0 || len(control) > 0 && control[len(control)-1] > removal || strings.Contains(got.body, "anar") || strings.Contains(got.body, later.ID) {
				t.Errorf("%s: %s", name, got.body)
			}
			if name == "pull" && len(control) != removal {
				t.Errorf("the control log up to the removal: %v", control)
			}
			if name == "digest" && strings.Contains(got.body, s.channel) {
				t.Errorf("%s: %s", name, got.body)
			}
		}
		for kind, r := range s.requests(s.channel, s.mal.person) {
			if got := s.mal.ask(s.victim, r[0], r[1]); r[0] == toRequest && kind != "invite" && !got.refusedWhole() {
				t.Errorf("%s: %+v", kind, got)
			}
		}
		if got := s.mal.ask(s.victim, toProfiles, fmt.Sprintf(`{"people":[%q]}`, s.anaID)); strings.Contains(got.body, "ana@") {
			t.Errorf("profiles: %s", got.body)
		}
		for kind, d := range s.kinds() {
			if got := s.mal.push(s.victim, s.next(d)); got.status != http.StatusOK || len(got.Refusals) != 1 || len(got.Channels) > 0 {
				t.Errorf("%s: %+v", kind, got)
			}
		}
		delete(before, "invitation")
		delete(before, "expected")
		for table, n := range s.rows() {
			if was, ok := before[table]; ok && n != was {
				t.Errorf("%d rows in %s, there were %d", n, table, was)
			}
		}
		if s.stateHash(s.ana, s.channel) != state || s.mal.toldOf("anar") {
			t.Error("the channel changed, or the removed server was told what came after")
		}
		s.others(t)
	})
}

// What a removed server wrote and had not delivered reaches nobody by way of another member either.
func TestAFriendCannotRelayWhatARemovedServerWroteLater(t *testing.T) {
	s := newScene(t, "")
	late := s.mal.post(s.thread, "One more canary.")
	s.must(s.ana, http.MethodDelete, "/channels/"+s.channel+"/servers/"+s.mal.name, nil, nil)
	s.carol.catchUp(s.victim)
	before := s.rows()
	if got := s.carol.push(s.victim, late); got.status != http.StatusOK || len(got.Refusals) != 1 || got.Refusals[0].Code != threads.RefusedRemoved {
		t.Errorf("%+v", got)
	}
	s.unchanged("a relayed event", before)
	if s.shows("One more canary.") {
		t.Error("it is shown")
	}
	s.others(t)
}

// A blocked partner, and somebody whom nobody knows, is heard no further than the signature.
func TestABlockedPartnerIsHeardNoFurther(t *testing.T) {
	s := newScene(t, "")
	s.operate("partners.block", map[string]string{"name": s.mal.name}, nil)
	time.Sleep(10 * time.Millisecond)
	before := s.rows()
	for who, e := range map[string]*enemy{"blocked": s.mal, "unknown_server": s.stranger} {
		for kind, got := range e.snoop(s.victim, s.channel, s.message) {
			if got.status != http.StatusForbidden || got.code != who || !got.refusedWhole() {
				t.Errorf("%s of one %s: %+v", kind, who, got)
			}
		}
		for kind, r := range s.requests(s.channel, s.mal.person) {
			if got := e.ask(s.victim, r[0], r[1]); got.status != http.StatusForbidden || got.code != who {
				t.Errorf("%s of one %s: %+v", kind, who, got)
			}
		}
		if got := e.pushRaw(s.victim, frames(s.mal.draft(s.kinds()[threads.TypeMessagePosted]))); got.status != http.StatusForbidden {
			t.Errorf("push of one %s: %+v", who, got)
		}
	}
	s.unchanged("blocked and unknown servers", before)
	s.others(t)
}

// T18: an erased text is given to nobody, found nowhere, and not taken back from those who kept it.
func TestAnErasedTextDoesNotComeBack(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		const canary = "canarybird"
		said := s.mal.post(s.thread, "My "+canary+" sings.")
		edit := s.mal.write(threads.Draft{Type: threads.TypeMessageEdited, Content: threads.AppendEdit(nil, said.ID, "My "+canary+" sang.", salt())})
		erasure := s.mal.write(threads.Draft{Type: threads.TypeMessageErased, Content: threads.AppendTombstone(nil, threads.Tombstone{Thread: s.thread}, salt()), Erases: said.ID})
		later := s.mal.write(threads.Draft{Type: threads.TypeMessageEdited, Content: threads.AppendEdit(nil, said.ID, "My "+canary+" still sings.", salt())})
		if got := s.mal.push(s.victim, said, edit); len(got.Refusals) > 0 || !s.shows("My "+canary+" sang.") {
			t.Fatalf("%+v", got)
		}
		for _, batch := range [][]*threads.Event{{erasure}, {said, edit, erasure}, {later}, {said, edit}, {said, edit, erasure, later}} {
			if got := s.mal.push(s.victim, batch...); got.status != http.StatusOK || len(got.Refusals) > 0 {
				t.Errorf("%+v", got)
			}
		}
		for name, got := range s.carol.snoop(s.victim, s.channel, said.ID, edit.ID, later.ID) {
			if strings.Contains(got.body, canary) {
				t.Errorf("%s gives it: %s", name, got.body)
			}
		}
		for _, path := range []string{"/threads/" + s.thread + "/messages", "/messages/" + said.ID, "/messages/" + said.ID + "/history", "/search?q=" + canary, "/events?after=&wait=0"} {
			if _, body := s.call(s.ana, http.MethodGet, path, nil); strings.Contains(string(body), canary) {
				t.Errorf("%s shows it: %s", path, body)
			}
		}
	})
}

// What is void is kept as a header alone: its text is given to nobody.
func TestTheTextOfAVoidEventIsGivenToNobody(t *testing.T) {
	s := newScene(t, "")
	const canary = "canarybird"
	before := s.mal.post(s.thread, "Good.")
	s.mal.push(s.victim, before)
	s.must(s.ana, http.MethodPatch, "/channels/"+s.channel+"/members/somebody@"+s.mal.name, map[string]string{"role": "reader"}, nil)
	s.mal.catchUp(s.victim)
	beyond := s.mal.post(s.thread, "A "+canary+" sings.")
	got := s.mal.push(s.victim, beyond)
	if got.status != http.StatusOK || len(got.Refusals) > 0 {
		t.Fatalf("its header stays in the log: %+v", got)
	}
	s.mal.push(s.victim, beyond) // nor is it taken a second time
	for name, got := range s.carol.snoop(s.victim, s.channel, beyond.ID) {
		if strings.Contains(got.body, canary) {
			t.Errorf("%s gives it: %s", name, got.body)
		}
	}
	if _, body := s.call(s.ana, http.MethodGet, "/search?q="+canary, nil); strings.Contains(string(body), canary) || s.shows("A "+canary+" sings.") || !s.shows("Good.") {
		t.Errorf("search finds %s", body)
	}
}

// Profiles are told of people in shared channels, and while they are shared.
func TestAProfileIsToldOfPeopleInSharedChannelsAlone(t *testing.T) {
	s := newScene(t, "")
	zoe, _ := s.person("zoe")
	ask := func(e *enemy, people ...string) string {
		return e.ask(s.victim, toProfiles, fmt.Sprintf(`{"people":%s}`, asJSON(people))).body
	}
	if got := ask(s.mal, s.anaID, zoe, s.carol.person); !strings.Contains(got, "ana@") || strings.Contains(got, "zoe") || strings.Contains(got, s.carol.name) {
		t.Errorf("a member is told %s", got)
	}
	if got := s.mal.ask(s.victim, toProfiles, fmt.Sprintf(`{"people":%s}`, asJSON(make([]string, 500)))); got.status != http.StatusRequestEntityTooLarge || !got.refusedWhole() {
		t.Errorf("500 people: %+v", got)
	}
}

// T25: offers are bounded for each person; others' offers go on.
func TestInvitationsAreBounded(t *testing.T) {
	s := newScene(t, "")
	offer := func(e *enemy, i int, name string) said {
		return e.ask(s.victim, toRequest, fmt.Sprintf(`{"id":"offer-%d","kind":"invite","channel":%q,"invite":{"address":"ana@%s","inviter":%q,"name":%q,"purpose":"","role":"member"}}`,
			i, threads.HashOf(fmt.Append(nil, i)), s.name, e.person, name))
	}
	taken := 0
	for i := range 150 {
		got := offer(s.mal, i, "<b>Come in</b>")
		switch {
		case got.status == http.StatusOK:
			taken++
		case got.status != http.StatusTooManyRequests || !got.refusedWhole():
			t.Fatalf("offer %d: %+v", i, got)
		}
	}
	if taken > 100 || s.rows()["invitation"] > 102 {
		t.Errorf("%d offers were taken", taken)
	}
	before := s.rows()
	for range 3 {
		offer(s.mal, 7, "Another name")
	}
	if s.unchanged("repeated offers", before); strings.Contains(string(second(s.call(s.ana, http.MethodGet, "/invitations?limit=200", nil))), "Another name") {
		t.Error("a repeated offer changed the first")
	}
	if got := offer(s.carol, 7, "Honest"); got.status != http.StatusOK {
		t.Errorf("another server's offer: %+v", got)
	}
	for name, bad := range map[string]string{
		"too long": strings.Repeat("x", 1<<20), "empty": "", "a NUL": "a\x00b", "not UTF-8": "a\xff",
	} {
		if got := offer(s.carol, 8, bad); got.status < 400 || got.status >= 500 || !got.refusedWhole() {
			t.Errorf("a name that is %s: %+v", name, got)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }
