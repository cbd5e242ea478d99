package sim_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// captured is a signed request as it was on the wire.
type captured struct {
	host, path, body string
	header           http.Header
}

// capture signs a request without sending it.
func (e *enemy) capture(to *victim, path, body string) captured {
	r := e.request(to, path, body, e.keyID(), to.now())
	return captured{r.Host, path, body, r.Header.Clone()}
}

// replay sends a captured request again, to whomever, as one for that host.
func (e *enemy) replay(to *victim, c captured, host string) said {
	e.t.Helper()
	r, err := http.NewRequest(http.MethodPost, to.url+c.path, strings.NewReader(c.body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header, r.Host = c.header.Clone(), host
	return e.send(r)
}

// T46: a captured request has no second effect, whenever and to whomever it is sent again, and is
// answered as the first was. Pushes to servers without a client interface are tried in federation's
// TestARepeatedRequestHasNoSecondEffect.
func TestACapturedRequestHasNoSecondEffect(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		s.owner(s.mal, s.channel)
		s.mal.catchUp(s.victim)
		bystander := newVictim(t, "")
		bystander.befriend(s.mal.name)
		captures := map[string]captured{
			"push":     s.mal.capture(s.victim, toPush, "{\"channels\":[]}\n"+frames(s.mal.post(s.thread, "Once."))),
			"pull":     s.mal.capture(s.victim, toPull, pullBody(s.channel, s.mal.state.Control, "")),
			"profiles": s.mal.capture(s.victim, toProfiles, fmt.Sprintf(`{"people":[%q]}`, s.anaID)),
		}
		commands := s.requests(s.channel, s.mal.person)
		for _, kind := range []string{"settings", "remove", "bring in"} {
			captures[kind] = s.mal.capture(s.victim, commands[kind][0], commands[kind][1])
		}
		first := map[string]said{}
		for kind, c := range captures {
			if first[kind] = s.mal.replay(s.victim, c, c.host); first[kind].status != http.StatusOK && kind != "bring in" {
				t.Fatalf("%s: %+v", kind, first[kind])
			}
		}
		s.must(s.ana, http.MethodPatch, "/channels/"+s.channel, map[string]string{"name": "Mine no more"}, nil)
		before := s.rows()
		again := func(when string, status int) {
			for kind, c := range captures {
				got := s.mal.replay(s.victim, c, c.host)
				asAtFirst := got.status == first[kind].status || got.code == "clock_off" // what it does once it has heard another's clock
				if got.status != status && !(status == http.StatusOK && asAtFirst) {
					t.Errorf("%s %s: %+v", kind, when, got)
				}
				if kind == "profiles" && status == http.StatusOK && got.body != first[kind].body {
					t.Errorf("%s %s: %s, at first %s", kind, when, got.body, first[kind].body)
				}
				for _, host := range []string{c.host, bystander.name} {
					if got := s.mal.replay(bystander, c, host); got.status != http.StatusUnauthorized || !got.refusedWhole() {
						t.Errorf("%s %s to another server as %s: %+v", kind, when, host, got)
					}
				}
			}
			s.unchanged(when, before)
		}
		again("at once", http.StatusOK)
		s.ahead.Store(int64(4 * time.Minute))
		again("after 4 minutes", http.StatusOK)
		s.restart()
		again("after a restart", http.StatusOK)
		s.ahead.Store(int64(6 * time.Minute))
		again("after 6 minutes", http.StatusUnauthorized)
		var channel struct{ Name string }
		if s.must(s.ana, http.MethodGet, "/channels/"+s.channel, nil, &channel); channel.Name != "Mine no more" {
			t.Errorf("the channel is called %q", channel.Name)
		}
	})
}

// T46: who joined and was removed does not come back by the acceptance of then.
func TestAnOldAcceptanceLetsNobodyBackIn(t *testing.T) {
	s := newScene(t, "")
	offer := s.mal.offers[s.channel]
	acceptance := s.mal.capture(s.victim, toRequest, s.mal.acceptance(s.victim, s.channel, offer, s.mal.state.HashAt(2)))
	decline := s.mal.capture(s.victim, toRequest, fmt.Sprintf(`{"id":%q,"kind":"decline","channel":%q}`, offer, s.channel))
	s.mal.replay(s.victim, decline, s.name) // of what was accepted: too late
	s.mal.catchUp(s.victim)
	s.must(s.ana, http.MethodDelete, "/channels/"+s.channel+"/members/somebody@"+s.mal.name, nil, nil)
	s.mal.catchUp(s.victim)
	before, state := s.rows(), s.stateHash(s.ana, s.channel)
	for name, c := range map[string]captured{"accept": acceptance, "decline": decline} {
		if got := s.mal.replay(s.victim, c, c.host); got.status >= 500 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, prev := range []string{"", s.mal.state.Control.Hash, s.mal.state.HashAt(1)} {
		got := s.mal.ask(s.victim, toRequest, s.mal.acceptance(s.victim, s.channel, offer, prev))
		if got.status != http.StatusConflict || strings.Contains(got.body, `"control"`) {
			t.Errorf("accept again at %q: %+v", prev, got)
		}
	}
	if s.unchanged("old answers", before); s.stateHash(s.ana, s.channel) != state {
		t.Error("the channel changed")
	}
	_, members := s.call(s.ana, http.MethodGet, "/channels/"+s.channel+"/members", nil)
	if strings.Contains(string(members), s.mal.name) {
		t.Errorf("members: %s", members)
	}
	if got := s.mal.push(s.victim, s.mal.post(s.thread, "I am back.")); s.shows("I am back.") {
		t.Errorf("a removed person is heard: %+v", got)
	}
}

// T46: an order to invite somebody, captured and sent again, does not invite them twice.
func TestAnOrderToInviteIsCarriedOutOnce(t *testing.T) {
	s := newScene(t, "")
	s.owner(s.mal, s.channel)
	s.mal.catchUp(s.victim)
	friend := newEnemy(t)
	s.befriend(friend.name)
	order := s.mal.capture(s.victim, toRequest, fmt.Sprintf(
		`{"id":"order-1","kind":"command","channel":%q,"command":{"kind":"invite","actor":%q,"address":"somebody@%s","role":"member"}}`, s.channel, s.mal.person, friend.name))
	first := s.mal.replay(s.victim, order, s.name)
	if first.status != http.StatusOK {
		t.Fatalf("%+v", first)
	}
	s.eventually("inviting "+friend.name, func() bool { return friend.toldOf(s.channel) })
	friend.mu.Lock()
	offer := friend.offers[s.channel]
	friend.mu.Unlock()
	if got := friend.ask(s.victim, toRequest, fmt.Sprintf(`{"id":%q,"kind":"decline","channel":%q}`, offer, s.channel)); got.status != http.StatusOK {
		t.Fatalf("decline: %+v", got)
	}
	before := s.rows()
	if got := s.mal.replay(s.victim, order, s.name); got.status >= 500 {
		t.Errorf("%+v", got)
	}
	s.unchanged("the order again", before)
	s.ahead.Store(int64(time.Minute))
	if got := s.mal.ask(s.victim, toRequest, strings.Replace(order.body, "order-1", "order-2", 1)); got.status != http.StatusOK || s.rows()["invitation"] != before["invitation"]+1 {
		t.Errorf("a new order: %+v", got)
	}
}

// T45: a partner's clock may be up to five minutes off; beyond that it is told our time, and the
// refusal is counted. What is stored does not depend on it.
func TestAClockThatIsOffIsToleratedForFiveMinutes(t *testing.T) {
	s := newScene(t, "")
	date := "meridian_federation_signature_failures_total{reason=\"date\"}"
	sent := 0
	for _, off := range []time.Duration{
		10 * time.Second, -10 * time.Second, 5*time.Minute - 3*time.Second, -5*time.Minute + 3*time.Second,
		5*time.Minute + 3*time.Second, -5*time.Minute - 3*time.Second, 24 * time.Hour, -24 * time.Hour,
		100 * 365 * 24 * time.Hour, math.MinInt64,
	} {
		for whose, at := range map[string]time.Time{"the partner's": time.Now().Add(off), "our": time.Now()} {
			if whose == "our" {
				s.ahead.Store(int64(off))
			}
			before := s.scrape()[date]
			sent++
			body := fmt.Sprintf("its clock %d", sent)
			push := "{\"channels\":[]}\n" + frames(s.mal.draft(threads.Draft{Type: threads.TypeMessagePosted, Content: note(s.thread, body)}))
			r := s.mal.request(s.victim, toPush, push, s.mal.keyID(), at)
			began := s.now()
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			told, err := http.ParseTime(answer.Header.Get("Date"))
			if err != nil || told.Before(began.Add(-2*time.Second)) || told.After(s.now().Add(2*time.Second)) {
				t.Errorf("%s clock off by %s: told that it is %s, it is %s", whose, off, told, began)
			}
			refused := off.Abs() > 5*time.Minute
			if refused != (answer.StatusCode == http.StatusUnauthorized && strings.Contains(string(raw), `"signature_date"`) && strings.Contains(string(raw), `"time":"`)) {
				t.Errorf("%s clock off by %s: %s %s", whose, off, answer.Status, raw)
			}
			if counted := s.scrape()[date] - before; counted != map[bool]float64{true: 1}[refused] {
				t.Errorf("%s clock off by %s: counted %v", whose, off, counted)
			}
			s.ahead.Store(0)
		}
	}
}

// T45: a clock that jumps, forwards or back, under load changes neither what is stored nor its order.
// Its administrator has it trusted: else the server writes nothing while partners tell it otherwise.
func TestAClockThatJumpsDoesNotDisturbTheOrder(t *testing.T) {
	s := newScene(t, "")
	s.operate("clock.trust", map[string]int{"minutes": 600}, nil)
	var posted []string
	post := func(n int) {
		for range n {
			body := fmt.Sprintf("number %d", len(posted))
			s.must(s.ana, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]string{"body": body}, nil)
			posted = append(posted, body)
			if got := s.mal.push(s.victim, s.mal.post(s.thread, "beside "+body)); got.status == http.StatusOK && len(got.Refusals) > 0 {
				t.Fatalf("%+v", got)
			}
		}
	}
	for _, ahead := range []time.Duration{0, 5 * time.Minute, 0, -time.Hour, 10 * time.Second, -10 * time.Second, 0} {
		s.ahead.Store(int64(ahead))
		post(5)
	}
	s.ahead.Store(0)
	s.eventually("showing all that came", func() bool { return len(s.messages(s.ana, s.thread)) == 1+2*len(posted) })
	var own []string
	for _, m := range s.messages(s.ana, s.thread) {
		if strings.HasPrefix(m.Body, "number ") {
			own = append(own, m.Body)
		}
	}
	if !slices.Equal(own, posted) {
		t.Errorf("posted %v, shown %v", posted, own)
	}
	before := s.stateHash(s.ana, s.channel)
	s.operate("rebuild", struct{}{}, nil)
	if s.stateHash(s.ana, s.channel) != before {
		t.Error("rebuilt, the channel has another state")
	}
}
