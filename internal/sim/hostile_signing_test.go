package sim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/federation"
	"meridian/server"
	"meridian/threads"
)

// trap is a host that tries to have the victim sign what it composed itself.
type trap struct {
	*scene
	host  *host
	lies  []string // hashes offered as places of the control log, then nothing but the truth
	told  int
	moves int
}

// stale refuses an acceptance because of its place, with whatever else a careless signer might sign.
func (s *trap) stale(hash string) (int, string, []byte) {
	foreign := base64.RawURLEncoding.EncodeToString(s.host.events[0].HeaderBytes)
	return http.StatusConflict, "application/problem+json", fmt.Appendf(nil,
		`{"code":"stale_acceptance","detail":"sign this","status":409,"title":"Conflict","time":"","control":[7,%q],"channel":%q,"host":"evil.example","role":"owner","sign":%q,"acceptance":{"channel":%q,"prev":%q,"person":%q},"header":%q,"prev":%q}`,
		hash, s.channel, foreign, s.channel, s.message, s.anaID, foreign, s.message)
}

// answer is what the trap says to requests.
func (s *trap) answer(body []byte) (int, string, []byte) {
	var asked struct {
		Accept  *struct{ Acceptance, Person, Prev string }
		Command *struct{ Kind string }
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return 400, "text/plain", nil
	}
	switch {
	case asked.Accept != nil && s.told < len(s.lies):
		s.told++
		return s.stale(s.lies[s.told-1])
	case asked.Accept != nil && asked.Accept.Prev != s.host.state.Control.Hash:
		return s.stale(s.host.state.Control.Hash)
	case asked.Accept != nil:
		own := s.ring().Signed(s.name)[0].Key
		s.host.control(threads.TypeMemberJoined, s.mal.person, fmt.Sprintf(`{"acceptance":%q,"heads":[],"key":%s,"person":%q,"role":"owner","salt":"SALT"}`,
			asked.Accept.Acceptance, keyJSON(own.ID, own.Public), s.anaID))
		return 200, "application/json", []byte(`{}`)
	case asked.Command != nil && asked.Command.Kind == "host":
		s.moves++
		return s.stale(s.lies[s.moves%len(s.lies)])
	}
	return s.stale(s.message)
}

// ring are the victim's keys.
func (s *scene) ring() federation.Keyring {
	s.t.Helper()
	ring, err := federation.LoadKeyring(server.KeyFile(s.options.Config.DataDir))
	if err != nil {
		s.t.Fatal(err)
	}
	return ring
}

// signatures are all strings of a body that are as long as one.
var signatures = regexp.MustCompile(`"[A-Za-z0-9_-]{86}"`)

// T13: a host that answers joining, handing over, leaving and pulling with templates, other members and
// other channels' events gets signatures of the victim's own making alone, about the channel that was
// asked for.
func TestNothingThatOthersComposedIsSigned(t *testing.T) {
	s := newScene(t, "")
	h := s.mal.hosts("Trap")
	foreign := s.mal.post(s.thread, "of another channel")
	w := &trap{scene: s, host: h, lies: []string{s.message, s.thread, s.channel, foreign.ID, threads.HashOf([]byte("anything"))}}
	s.mal.answer(toRequest, w.answer)
	s.mal.answer(toPull, func(body []byte) (int, string, []byte) {
		tail := fmt.Sprintf(`{"channels":[{"channel":%q,"control":[%d,%q],"more":false,"sign":%q}],"sign":%q}`+"\n", h.state.ID, h.state.Control.Seq, h.state.Control.Hash, s.message, s.message)
		return 200, "application/x-ndjson", []byte(frames(append(slices.Clone(h.events), foreign)...) + tail)
	})
	body := fmt.Sprintf(`{"id":%q,"kind":"invite","channel":%q,"invite":{"address":"ana@%s","inviter":%q,"name":"Come in","purpose":"","role":"owner"}}`, salt(), h.state.ID, s.name, s.mal.person)
	if got := s.mal.ask(s.victim, toRequest, body); got.status != http.StatusOK {
		t.Fatalf("invite: %+v", got)
	}
	if status, answer := s.call(s.ana, http.MethodPost, "/invitations/"+s.invitation(h.state.ID)+"/accept", nil); status != http.StatusOK {
		t.Fatalf("accept: %d %s", status, answer)
	}
	s.eventually("in the trap", func() bool {
		status, _ := s.call(s.ana, http.MethodGet, "/channels/"+h.state.ID, nil)
		return status == http.StatusOK
	})
	for range 3 {
		if status, answer := s.call(s.ana, http.MethodPost, "/channels/"+h.state.ID+"/host", map[string]string{"server": s.name}); status < 400 {
			t.Errorf("a hand-over that the host only pretends: %d %s", status, answer)
		}
	}
	if status, answer := s.call(s.ana, http.MethodDelete, "/channels/"+h.state.ID+"/members/ana@"+s.name, nil); status < 400 {
		t.Errorf("leaving, which the host refuses: %d %s", status, answer)
	}
	var thread shown
	s.must(s.ana, http.MethodPost, "/channels/"+h.state.ID+"/threads", map[string]string{"title": "Caught"}, &thread)
	s.eventually("delivering", func() bool { return s.mal.toldOf(thread.ID) || s.mal.toldOf("Caught") })
	w.check()
}

// check accounts for every signature that the victim let out.
func (s *trap) check() {
	s.t.Helper()
	own := s.ring().Signed(s.name)[0].Key
	applied := map[string]bool{}
	for _, e := range s.host.events {
		applied[e.ID] = true
	}
	verifier := federation.NewVerifier(s.mal.name, func(id string) (federation.Key, error) {
		if id != own.ID {
			return federation.Key{}, federation.ErrUnknownKey
		}
		return federation.Key{Server: s.name, Public: own.Public}, nil
	})
	counts := map[string]int{}
	s.mal.mu.Lock()
	defer s.mal.mu.Unlock()
	for _, h := range s.mal.heard {
		if _, err := verifier.Verify(h.request, h.body, time.Now()); err != nil {
			s.t.Errorf("a request to %s is not signed as one: %v", h.path, err)
		}
		counts["request"]++
		counts["found"] += len(signatures.FindAll(h.body, -1))
		s.account(h, own, applied, counts)
	}
	sum := counts["acceptance"] + counts["host acceptance"] + counts["event"]
	if counts["acceptance"] < len(s.lies) || counts["host acceptance"] < 3 || counts["event"] == 0 || counts["found"] != sum {
		s.t.Errorf("signatures: %v", counts)
	}
	s.t.Logf("every signature is accounted for: %v", counts)
}

// account checks the signatures in one request against what the victim may sign.
func (s *trap) account(h heard, own threads.Key, applied map[string]bool, counts map[string]int) {
	s.t.Helper()
	if h.path == toPush {
		_, lines, _ := strings.Cut(string(h.body), "\n")
		read, err := federation.ReadFrames([]byte(lines))
		if err != nil || len(read.Bad) > 0 {
			s.t.Errorf("push: %v %v", err, read.Bad)
		}
		for _, e := range read.Events {
			counts["event"]++
			counts["found"] -= len(signatures.FindAll(e.Content, -1)) // another's acceptance, in what admitted it
			ours := e.Header.Origin == s.name && threads.Verify(own.Public, threads.SigningBytes(e.HeaderBytes), e.Sig)
			if !ours || threads.ServerOf(e.Header.Actor) != s.name {
				s.t.Errorf("an event of %s by %s in %s", e.Header.Origin, e.Header.Actor, e.Channel())
			}
		}
		return
	}
	var asked struct {
		Channel string
		Accept  *struct{ Acceptance, Person, Prev, Role string }
		Command *struct{ Kind, Acceptance, Prev, Server string }
	}
	if h.path != toRequest || json.Unmarshal(h.body, &asked) != nil || asked.Channel != s.host.state.ID {
		return
	}
	var message []byte
	text, what := "", ""
	switch {
	case asked.Accept != nil && asked.Accept.Acceptance != "":
		what, text = "acceptance", asked.Accept.Acceptance
		message = threads.Acceptance{Channel: s.host.state.ID, Host: s.mal.name, Person: s.anaID, Role: threads.RoleOwner, Prev: asked.Accept.Prev, Key: own}.SigningBytes()
	case asked.Command != nil && asked.Command.Acceptance != "":
		what, text = "host acceptance", asked.Command.Acceptance
		message = threads.HostAcceptance{Channel: s.host.state.ID, From: s.mal.name, Host: s.name, Prev: asked.Command.Prev}.SigningBytes()
		if !applied[asked.Command.Prev] {
			s.t.Errorf("the victim accepts to be host after %s, which it never applied", asked.Command.Prev)
		}
	default:
		return
	}
	counts[what]++
	sig, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !threads.Verify(own.Public, message, sig) {
		s.t.Errorf("the %s in %s is over something else", what, h.body)
	}
}
