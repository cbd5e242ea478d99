package sim_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// elsewhere brings the enemy into a second channel, of which its person becomes an owner, and
// returns its idea of that channel.
func (s *scene) elsewhere(name string) *threads.Channel {
	s.t.Helper()
	first := s.mal.state
	channel, _, _ := s.found(name, "Elsewhere.")
	s.admit(s.mal, channel)
	s.owner(s.mal, channel)
	s.mal.catchUp(s.victim)
	second := s.mal.state
	s.mal.state = first
	return second
}

// owner makes the enemy's person an owner of a channel.
func (s *scene) owner(e *enemy, channel string) {
	s.t.Helper()
	s.eventually("told who is at "+e.name, func() bool {
		status, _ := s.call(s.ana, http.MethodPatch, "/channels/"+channel+"/members/somebody@"+e.name, map[string]string{"role": "owner"})
		return status < 300
	})
}

// T08: what somebody writes in one channel about another one's objects changes nothing there.
func TestAChannelIsNotReachedThroughAnother(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		other := s.elsewhere("Other")
		before := s.stateHash(s.ana, s.channel)
		shared := s.mal.state
		s.mal.state = other
		for kind, d := range s.kinds() {
			if threads.TypeOf(kind).Log != threads.LogData {
				continue
			}
			if got := s.mal.push(s.victim, s.mal.write(d)); got.status != http.StatusOK {
				t.Errorf("%s: %+v", kind, got)
			}
		}
		s.mal.state = shared
		if after := s.stateHash(s.ana, s.channel); after != before {
			t.Error("the state of the channel changed")
		}
		messages := s.messages(s.ana, s.thread)
		if len(messages) != 1 || messages[0].Body != "It leaks again." || messages[0].State == "erased" {
			t.Errorf("the thread shows %+v", messages)
		}
		var thread shown
		if s.must(s.ana, http.MethodGet, "/threads/"+s.thread, nil, &thread); thread.Title != "Pumps" {
			t.Errorf("the thread is titled %q", thread.Title)
		}
		if got := s.mal.push(s.victim, s.mal.post(s.thread, "By the right way.")); len(got.Refusals) > 0 || !s.shows("By the right way.") {
			t.Errorf("the following valid event: %+v", got)
		}
	})
}

// T08: an event belongs to the channel that its header names, whatever the push says it is about.
func TestTheHeaderSaysWhichChannelAnEventIsIn(t *testing.T) {
	s := newScene(t, "")
	secret, _, _ := s.found("Secret", "Nobody else's.")
	before := s.rows()
	other := s.elsewhere("Other")
	good := s.mal.post(s.thread, "Mine.")
	moved := map[string]string{
		"into a channel that it is not in":     secret,
		"into another channel of the sender's": other.ID,
		"nowhere":                              threads.HashOf(nil),
	}
	for name, channel := range moved {
		e := s.mal.changed(good, func(h *threads.Header) { h.Channel = channel })
		if got := s.mal.push(s.victim, e); len(got.Refusals)+len(got.Channels) == 0 || s.shows("Mine.") {
			t.Errorf("moved %s: %+v", name, got)
		}
		line := strings.Replace(frames(good), s.channel, channel, 1) // the signature is over the other channel
		if got := s.mal.pushRaw(s.victim, line); len(got.Refusals)+len(got.Channels) == 0 {
			t.Errorf("rewritten %s: %+v", name, got)
		}
	}
	if rows := s.rows(); rows["event"]-before["event"] > 8 {
		t.Errorf("%d events came in", rows["event"]-before["event"])
	}
	first := fmt.Sprintf("{\"channels\":[{\"channel\":%q,\"control\":[99,%q]},{\"channel\":%q,\"control\":[99,%q]}]}\n", secret, threads.HashOf(nil), other.ID, threads.HashOf(nil))
	got := s.mal.ask(s.victim, toPush, first+frames(good))
	if got.status != http.StatusOK || strings.Contains(got.body, secret) || !s.shows("Mine.") {
		t.Errorf("a push that names other channels: %+v", got)
	}
}

// T08: a pull gives the events of the channel asked about and of no other.
func TestAPullGivesNothingOfAnotherChannel(t *testing.T) {
	s := newScene(t, "")
	secret, hiddenThread, hidden := s.found("Secret", "A canary sings here.")
	s.elsewhere("Other")
	log := fmt.Sprintf("[%q,%d,1]", s.name, int64(1)<<32)
	for name, body := range map[string]string{
		"contents": pullBody(s.channel, threads.Head{}, fmt.Sprintf(`,"contents":[%q,%q]`, hidden, hiddenThread)),
		"probe":    pullBody(secret, threads.Head{}, `,"probe":[["",0,1],`+log+`]`),
		"heads":    pullBody(secret, threads.Head{Seq: 1, Hash: secret}, ""),
		"below":    pullBody(secret, threads.Head{}, fmt.Sprintf(`,"below":[[%q,%d,9,9,%q]]`, s.name, int64(1)<<32, hidden)),
		"twice":    fmt.Sprintf(`{"channels":[{"channel":%q,"control":[0,""]},{"channel":%q,"control":[0,""]}]}`, s.channel, secret),
	} {
		got := s.mal.ask(s.victim, toPull, body)
		if strings.Contains(got.body, "canary") || strings.Contains(got.body, hidden) || strings.Contains(got.body, hiddenThread) || strings.Contains(got.body, `"Secret"`) {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	absent := threads.HashOf([]byte("no such channel"))
	if a, b := s.mal.pull(s.victim, secret, "").body, s.mal.pull(s.victim, absent, "").body; a != strings.ReplaceAll(b, absent, secret) {
		t.Errorf("a secret channel answers %s, one that does not exist %s", a, b)
	}
}

// Whether a channel exists is told to its members alone, by pushes of any kind too.
func TestAPushDoesNotTellWhetherAChannelExists(t *testing.T) {
	s := newScene(t, "")
	secret, _, _ := s.found("Secret", "Nobody else's.")
	absent := threads.HashOf([]byte("no such channel"))
	for kind, d := range s.kinds() {
		if kind == threads.TypeChannelCreated {
			continue
		}
		for _, seq := range []int64{1, 2, 3, 9} {
			e := s.next(d)
			if e.Header.Log == threads.LogControl && seq == 1 {
				continue // has no channel
			}
			in := func(channel string) string {
				forged := s.mal.changed(e, func(h *threads.Header) {
					h.Channel, h.Seq, h.Prev = channel, seq, threads.HashOf([]byte("before"))
					if seq == 1 {
						h.Prev = ""
					}
				})
				return strings.ReplaceAll(s.mal.push(s.victim, forged).body, channel, "CHANNEL")
			}
			if a, b := in(secret), in(absent); a != b {
				t.Errorf("%s at %d: a secret channel answers %s, one that does not exist %s", kind, seq, a, b)
			}
		}
	}
}

// T12: a channel is its first event: nobody makes a second one under its id.
func TestNobodyMakesAChannelAnewUnderItsID(t *testing.T) {
	s := newScene(t, "")
	before := s.rows()
	hash := s.stateHash(s.ana, s.channel)
	genesis := s.next(s.kinds()[threads.TypeChannelCreated])
	as := func(f func(h *threads.Header)) *threads.Event {
		return s.mal.changed(genesis, func(h *threads.Header) {
			h.Seq, h.Prev, h.Channel = 1, "", ""
			f(h)
		})
	}
	real := s.mal.pull(s.victim, s.channel, "").body
	first := strings.SplitAfter(real, "\n")[0]
	for name, line := range map[string]string{
		"another first event":                  frames(as(func(*threads.Header) {})),
		"another first event of the true host": frames(as(func(h *threads.Header) { h.Origin, h.Actor = s.name, s.anaID })),
		"a first event that names the channel": frames(as(func(h *threads.Header) { h.Channel = s.channel })),
		"a second event that creates":          frames(as(func(h *threads.Header) { h.Channel, h.Seq, h.Prev = s.channel, 2, s.channel })),
		"the next event, creating":             frames(genesis),
		"the true first event, altered":        strings.Replace(first, `"time":`, `"time":1`, 1),
		"the true first event, other content":  strings.Replace(first, `"Pumps"`, `"Mine"`, 1),
		"the true first event, another sig":    strings.Replace(first, `"sig":"`, `"sig":"A`, 1),
		"a guessed id": frames(as(func(h *threads.Header) {
			h.Channel, h.Seq, h.Prev = threads.HashOf([]byte("guess")), 2, threads.HashOf([]byte("guess"))
		})),
		"a data event as the first of a channel": frames(s.mal.changed(s.mal.draft(s.kinds()[threads.TypeMessagePosted]), func(h *threads.Header) { h.Channel = threads.HashOf([]byte("guess")) })),
	} {
		if line == first {
			t.Fatalf("%s: not altered", name)
		}
		if got := s.mal.pushRaw(s.victim, line); got.status != http.StatusOK || len(got.Refusals) != 1 || got.Refusals[0].Code == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if s.unchanged("channels made anew", before); s.stateHash(s.ana, s.channel) != hash {
		t.Error("the channel changed")
	}
}

// invitation finds the invitation of ana's into a channel.
func (s *scene) invitation(channel string) string {
	s.t.Helper()
	var all struct {
		Items []struct{ ID, Channel string }
	}
	s.must(s.ana, http.MethodGet, "/invitations", nil, &all)
	for _, i := range all.Items {
		if i.Channel == channel {
			return i.ID
		}
	}
	s.t.Fatalf("no invitation to %s in %+v", channel, all)
	return ""
}

// lure has ana accept an invitation of the enemy's into a channel of its own; served are the frames
// that the enemy gives when asked for it.
func (s *scene) lure(channel string, served func(prev string) []*threads.Event) (status int) {
	s.t.Helper()
	body := fmt.Sprintf(`{"id":%q,"kind":"invite","channel":%q,"invite":{"address":"ana@%s","inviter":%q,"name":"Come in","purpose":"","role":"member"}}`, salt(), channel, s.name, s.mal.person)
	if got := s.mal.ask(s.victim, toRequest, body); got.status != http.StatusOK {
		s.t.Fatalf("invite: %+v", got)
	}
	s.mal.answer(toRequest, func([]byte) (int, string, []byte) { return 200, "application/json", []byte("{}") })
	s.mal.answer(toPull, func(body []byte) (int, string, []byte) {
		var asked struct {
			Channels []struct {
				Channel string
				Control []any
			}
		}
		if json.Unmarshal(body, &asked) != nil || len(asked.Channels) == 0 {
			return 400, "text/plain", nil
		}
		tail := fmt.Sprintf("{\"channels\":[{\"channel\":%q,\"control\":[0,\"\"],\"more\":false}]}\n", asked.Channels[0].Channel)
		return 200, "application/x-ndjson", []byte(frames(served(asked.Channels[0].Channel)...) + tail)
	})
	status, _ = s.call(s.ana, http.MethodPost, "/invitations/"+s.invitation(channel)+"/accept", nil)
	return status
}

// host is a channel that the enemy hosts, made by real control events.
type host struct {
	*enemy
	state  *threads.Channel
	events []*threads.Event
}

// control appends a control event.
func (h *host) control(kind, actor, content string) *threads.Event {
	h.t.Helper()
	e, err := h.state.SealControl(threads.Draft{Type: kind, Actor: actor, Content: []byte(strings.ReplaceAll(content, "SALT", salt()))}, h.pen(time.Now()))
	if err != nil {
		h.t.Fatal(err)
	}
	h.events = append(h.events, e)
	return e
}

func keyJSON(id string, public ed25519.PublicKey) string {
	return fmt.Sprintf(`{"id":%q,"public":%q}`, id, base64.RawURLEncoding.EncodeToString(public))
}

func (e *enemy) hosts(name string) *host {
	h := &host{enemy: e, state: threads.NewChannel("")}
	h.control(threads.TypeChannelCreated, e.person, fmt.Sprintf(`{"history":"full","key":%s,"kind":"work","name":%q,"salt":"SALT"}`, keyJSON(e.keyID(), e.public()), name))
	return h
}

// joined lets a person in under a key, whose holder is another enemy.
func (h *host) joined(person string, holder *enemy, keyID string) *threads.Event {
	a := threads.Acceptance{
		Channel: h.state.ID, Host: h.name, Person: person, Role: threads.RoleMember, Prev: h.state.Control.Hash,
		Key: threads.Key{ID: keyID, Public: holder.public()},
	}
	return h.control(threads.TypeMemberJoined, h.person, fmt.Sprintf(`{"acceptance":%q,"heads":[],"key":%s,"person":%q,"role":"member","salt":"SALT"}`,
		base64.RawURLEncoding.EncodeToString(holder.sign(a.SigningBytes())), keyJSON(keyID, holder.public()), person))
}

// T12: an invitation promises a channel by its id; another one is not taken for it.
func TestAnInvitedChannelIsTheOnePromised(t *testing.T) {
	s := newScene(t, "")
	other := s.mal.hosts("Other")
	before := s.rows()
	promised := threads.HashOf([]byte("promised"))
	s.lure(promised, func(string) []*threads.Event { return other.events })
	s.lure(s.channel, func(string) []*threads.Event { return other.events }) // ana's own, under the enemy's name
	after := s.rows()
	for _, table := range []string{"event", "evidence", "channel"} {
		if after[table] != before[table] {
			t.Errorf("%d rows in %s, there were %d", after[table], table, before[table])
		}
	}
	if got := s.mal.push(s.victim, s.mal.post(s.thread, "Still here.")); len(got.Refusals) > 0 || !s.shows("Still here.") {
		t.Errorf("the channel that was impersonated: %+v", got)
	}
}

// Authenticity: whoever hosts a channel cannot make people of other servers speak in it: a key that
// contradicts the pinned one ends the channel here.
func TestAHostCannotLetOthersSpeakUnderItsOwnKey(t *testing.T) {
	for name, posing := range map[string]func(s *scene) (person, server string){
		"a partner's person":       func(s *scene) (string, string) { return s.carol.person, s.carol.name },
		"a person of the victim's": func(s *scene) (string, string) { return s.anaID, s.name },
		"a nobody of the victim's": func(s *scene) (string, string) {
			return strings.Replace(s.mal.somebody(), s.mal.name, s.name, 1), s.name
		},
		"a nobody of the partner's": func(s *scene) (string, string) { return s.carol.somebody(), s.carol.name },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			puppet := newEnemy(t)
			h := s.mal.hosts("Puppets")
			person, as := posing(s)
			forged := federation.KeyID(as, puppet.public())
			h.joined(person, puppet, forged)
			puppet.name, puppet.person, puppet.state = as, person, h.state.Clone()
			speech, err := puppet.state.SealData(threads.Draft{
				Type: threads.TypeThreadCreated, Actor: person,
				Content: []byte(`{"labels":[],"salt":"` + salt() + `","title":"Send money","type":"Thread"}`),
			}, &threads.Pen{Server: as, Key: threads.Key{ID: forged, Public: puppet.public()}, Sign: puppet.sign, Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			before := s.rows()
			all := append(slices.Clone(h.events), speech)
			s.lure(h.state.ID, func(string) []*threads.Event { return all })
			got := s.mal.push(s.victim, all...)
			if n := s.rows()["event"] - before["event"]; n != 1 || !strings.Contains(got.body, `"key"`) {
				t.Errorf("%d events were taken, only the first was the host's to write: %+v", n, got)
			}
		})
	}
}
