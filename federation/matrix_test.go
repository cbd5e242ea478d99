package federation_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// States in which another server can be to a channel.
var peerStates = []string{"host", "member", "invited", "declined", "removed", "unknown", "blocked", "paused"}

// peer is another server in one such state, in the hands of a liar with its key.
type peer struct {
	liar
	victim  *site
	person  threads.PersonRecord
	state   *threads.Channel // of the channel, as it knows it
	channel threads.Hash
	thread  threads.Hash
	erased  threads.Hash // a message that the victim's person erased there
	ana     threads.PersonRecord
}

// newPeer brings a server of its own into the state.
func newPeer(t *testing.T, victim *site, state string, archived bool) *peer {
	t.Helper()
	ctx := context.Background()
	s := newSite(t)
	p := &peer{liar: liar{t, s.name, s.key}, victim: victim, person: s.person("mal"), ana: victim.person("ana-" + state)}
	if state != "unknown" {
		befriend(t, victim, s)
	}
	host, owner, guest, invitee := victim, p.ana, s, p.person
	if state == "host" {
		host, owner, guest, invitee = s, p.person, victim, p.ana
	}
	p.channel, p.thread, _ = found(host, owner.ID, "full")
	switch state {
	case "host", "member", "removed", "blocked", "paused":
		join(t, host, owner.ID, p.channel, guest, invitee)
		same(t, p.channel, victim, s)
	case "invited":
		invite(t, host, owner.ID, p.channel, guest, invitee)
	case "declined":
		offer := invite(t, host, owner.ID, p.channel, guest, invitee)
		if _, err := guest.exchange.Answer(ctx, invitee.ID, offer, false); err != nil {
			t.Fatal(err)
		}
	}
	p.erased = post(victim, p.ana.ID, p.channel, p.thread, "to be erased")
	victim.do(p.ana.ID, threads.Erase{Channel: p.channel, Target: p.erased})
	host.do(owner.ID, threads.ChangeSettings{Channel: p.channel, Archived: &archived})
	if p.state = s.channel(p.channel); p.state != nil {
		same(t, p.channel, victim, s)
		p.state = s.channel(p.channel)
	}
	s.close()
	switch state {
	case "removed":
		victim.do(p.ana.ID, threads.RemoveServer{Channel: p.channel, Server: s.name})
	case "blocked":
		if _, err := victim.exchange.BlockPartner(ctx, threads.ByAdmin, s.name); err != nil {
			t.Fatal(err)
		}
	}
	if state == "paused" {
		if _, err := victim.exchange.PausePartner(ctx, threads.ByAdmin, s.name); err != nil {
			t.Fatal(err)
		}
	}
	if p.state == nil {
		p.state = victim.channel(p.channel)
	}
	p.state = p.state.Clone()
	return p
}

func (p *peer) ask(path, body string) said {
	return p.send(p.request(p.victim, "/federation/v1/"+path, "application/json", body, time.Now()))
}

// outcome is the code of a refusal as a whole, else what tells of an answer.
func outcome(s said, tells func(body string) string) string {
	if s.status != http.StatusOK {
		return s.code
	}
	return tells(s.body)
}

// exchanges are what a server can ask, by the name of the endpoint and, of
// requests, the kind.
func (p *peer) exchanges() map[string]func() string {
	ok := func(string) string { return "done" }
	request := func(kind, with string) func() string {
		return func() string {
			return outcome(p.ask("request", fmt.Sprintf(`{"id":"id of %s","kind":%q,"channel":%q%s}`, kind, strings.Split(kind, " ")[0], p.channel, with)), ok)
		}
	}
	command := func(kind, with string) func() string {
		return request("command "+kind, fmt.Sprintf(`,"command":{"kind":%q,"actor":%q%s}`, kind, p.person.ID, with))
	}
	return map[string]func() string{
		"pull": func() string {
			return outcome(p.ask("pull", fmt.Sprintf(`{"channels":[{"channel":%q,"control":[0,""]}]}`, p.channel)), pulled)
		},
		"digest": func() string {
			return outcome(p.ask("digest", `{"buckets":{}}`), p.compared)
		},
		"profiles": func() string {
			return outcome(p.ask("profiles", fmt.Sprintf(`{"people":[%q]}`, p.ana.ID)), func(b string) string { return word(strings.Contains(b, "ana-"), "told", "silent") })
		},
		"erased": func() string {
			return outcome(p.ask("erased", fmt.Sprintf(`{"events":[%q]}`, p.erased)), func(b string) string {
				return word(strings.Contains(b, threads.AnswerErased+`"}`), "told", "silent")
			})
		},
		"file": func() string {
			return outcome(p.ask("file", fmt.Sprintf(`{"channel":%q,"digest":%q,"from":0}`, p.channel, threads.HashOf(nil))), ok)
		},
		"check": func() string { return outcome(p.ask("check", `{}`), ok) },
		"push":  func() string { return p.pushed(p.data(threads.TypeMessagePosted)) },
		"request invite": request("invite", fmt.Sprintf(`,"invite":{"address":%q,"inviter":%q,"name":"x","purpose":"","role":"member"}`,
			p.ana.Address, p.person.ID)),
		"request accept":                request("accept", fmt.Sprintf(`,"accept":{"acceptance":"","person":%q,"prev":"","role":"owner"}`, p.person.ID)),
		"request decline":               request("decline", ""),
		"request command settings":      command("settings", `,"settings":{"name":"Mine"}`),
		"request command role":          command("role", fmt.Sprintf(`,"person":%q,"role":"owner"`, p.person.ID)),
		"request command remove_member": command("remove_member", fmt.Sprintf(`,"person":%q`, p.ana.ID)),
		"request command remove_server": command("remove_server", fmt.Sprintf(`,"server":%q`, p.victim.name)),
		"request command invite":        command("invite", `,"address":"eve@`+p.name+`","role":"member"`),
		"request command host":          command("host", fmt.Sprintf(`,"server":%q`, p.name)),
	}
}

func word(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}

// compared tells whether the channel is among those to compare. That something of it is under way,
// as a removal is to a server that does not answer, may stand beside.
func (p *peer) compared(body string) string {
	var answer struct {
		Buckets map[string]map[string]string
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return "?"
	}
	for _, channels := range answer.Buckets {
		if channels[p.channel] != "" {
			return "named"
		}
	}
	return "silent"
}

// pulled tells what kinds of frames came, and why not all.
func pulled(body string) string {
	var last struct{ Channels []struct{ Code string } }
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if json.Unmarshal([]byte(lines[len(lines)-1]), &last) != nil || len(last.Channels) != 1 {
		return "?"
	}
	kinds := ""
	for _, log := range []string{threads.LogControl, threads.LogData} {
		if strings.Contains(body, `"log":"`+log+`"`) {
			kinds += log + " "
		}
	}
	return kinds + last.Channels[0].Code
}

// pushed tells what became of one event.
func (p *peer) pushed(e *threads.Event) string {
	got := p.push(p.victim, e)
	return outcome(got, func(body string) string {
		var answer struct{ Refusals []struct{ Code string } }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return "?"
		}
		events, err := p.victim.store.EventsByID(context.Background(), p.channel, []threads.Hash{e.ID})
		if err != nil {
			p.t.Fatal(err)
		}
		if len(answer.Refusals) > 0 {
			return word(len(events) == 0, answer.Refusals[0].Code, "refused and kept")
		}
		return word(len(events) == 1, "taken", "passed over")
	})
}

func (p *peer) pen() *threads.Pen {
	public := p.key.Public().(ed25519.PublicKey)
	return &threads.Pen{
		Server: p.name, Key: threads.Key{ID: federation.KeyID(p.name, public), Public: public}, Sign: p.sign, Now: time.Now(),
		Random: func() (b [16]byte) { return b },
	}
}

// data is the next event of the peer's log, of that type, by its person.
func (p *peer) data(kind string) *threads.Event {
	p.t.Helper()
	salt, title, target := p.pen().Salt(), "x", p.erased
	d := threads.Draft{Type: kind, Actor: p.person.ID}
	switch kind {
	case threads.TypeThreadCreated:
		d.Content = threads.AppendThread(nil, threads.ThreadContent{Title: &title}, salt)
	case threads.TypeThreadChanged:
		d.Content = threads.AppendThread(nil, threads.ThreadContent{Object: p.thread, Title: &title}, salt)
	case threads.TypeMessagePosted:
		d.Content = threads.AppendMessage(nil, &threads.Message{Thread: p.thread, Body: "x"}, salt)
	case threads.TypeMessageEdited:
		d.Content = threads.AppendEdit(nil, target, "x", salt)
	case threads.TypeMessageErased:
		d.Erases, d.Content = target, threads.AppendTombstone(nil, threads.Tombstone{Thread: p.thread}, salt)
	case threads.TypePersonErased:
		d.Content = threads.AppendErasedPerson(nil, salt)
	case threads.TypeReactionSet:
		d.Content = threads.AppendReaction(nil, target, "👍", true, salt)
	case threads.TypeAskDeclined, threads.TypeAskWithdrawn:
		d.Content = threads.AppendAboutAsk(nil, target, salt)
	default:
		p.t.Fatalf("%s is a new type: say here how one is made", kind)
	}
	if !p.state.IsMember(p.name) { // it makes up an admission
		h := threads.Header{
			Channel: p.channel, Log: threads.LogData, Origin: p.name, Epoch: 1<<32 + 1, Seq: 1,
			Control: threads.ControlRef{Number: p.state.Control.Seq, Hash: p.state.Control.Hash}, Erases: d.Erases,
			Time: threads.Next(time.Now(), p.state.Control.Time), Actor: d.Actor, Type: d.Type, Key: p.pen().Key.ID,
		}
		return threads.Seal(h, d.Content, p.sign)
	}
	e, err := p.state.SealData(d, p.pen())
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

// control is the next event of the control log, as the peer would have it.
func (p *peer) control(kind string) *threads.Event {
	h := threads.Header{
		Channel: p.channel, Log: threads.LogControl, Origin: p.name, Seq: p.state.Control.Seq + 1, Prev: p.state.Control.Hash,
		Time: threads.Next(time.Now(), p.state.Control.Time), Actor: p.person.ID, Type: kind, Key: p.pen().Key.ID,
	}
	if kind == threads.TypeChannelCreated {
		h.Seq, h.Prev, h.Channel = 1, "", ""
	}
	return threads.Seal(h, []byte(`{"salt":"AAAAAAAAAAAAAAAAAAAAAA"}`), p.sign)
}

// expected is what each exchange and each kind of request comes to, in the order
// of peerStates: invited, declined and strangers to the channel learn the same.
var expected = map[string][]string{
	"pull":     {"control data ", "control data ", "unknown_channel", "unknown_channel", "control removed", "unknown_server", "blocked", "paused"},
	"push":     {"taken", "taken", "unknown_channel", "unknown_channel", "removed", "unknown_server", "blocked", "paused"},
	"digest":   {"named", "named", "silent", "silent", "silent", "unknown_server", "blocked", "paused"},
	"profiles": {"told", "told", "silent", "silent", "silent", "unknown_server", "blocked", "paused"},
	"erased":   {"told", "told", "silent", "silent", "told", "unknown_server", "blocked", "paused"},
	"file":     {"not_found", "not_found", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"check":    {"done", "done", "done", "done", "done", "unknown_server", "blocked", "paused"},

	"request invite":                {"done", "done", "done", "done", "done", "unknown_server", "blocked", "paused"},
	"request accept":                {"not_found", "not_found", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request decline":               {"not_found", "not_found", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request command settings":      {"host_moved", "role", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request command role":          {"host_moved", "role", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request command remove_member": {"host_moved", "role", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request command remove_server": {"host_moved", "role", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request command invite":        {"host_moved", "role", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
	"request command host":          {"done", "role", "not_found", "not_found", "not_found", "unknown_server", "blocked", "paused"},
}

// What comes of an event: of any that a member's own person writes, of one that
// the host alone writes and whose content allows the empty one sent here, of one
// whose content has to say something, and of a second beginning.
var (
	byMembers = []string{"taken", "taken", "unknown_channel", "unknown_channel", "removed", "unknown_server", "blocked", "paused"}
	byHost    = []string{"taken", "origin", "unknown_channel", "unknown_channel", "removed", "unknown_server", "blocked", "paused"}
	byHostIf  = []string{"shape", "origin", "unknown_channel", "unknown_channel", "removed", "unknown_server", "blocked", "paused"}
	again     = []string{"unknown_channel", "unknown_channel", "unknown_channel", "unknown_channel", "unknown_channel", "unknown_server", "blocked", "paused"}
)

var expectedEvents = map[string][]string{
	threads.TypeChannelCreated: again, threads.TypeChannelSettings: byHost, threads.TypeMemberJoined: byHostIf,
	threads.TypeMemberRole: byHostIf, threads.TypeMemberRemoved: byHostIf, threads.TypeServerRemoved: byHostIf,
	threads.TypeServerKey: byHostIf, threads.TypeHeadsNamed: byHost, threads.TypeChannelArchived: byHostIf, threads.TypeChannelHost: byHostIf, threads.TypeLogFrozen: byHostIf,
	threads.TypeThreadCreated: byMembers, threads.TypeThreadChanged: byMembers, threads.TypeMessagePosted: byMembers,
	threads.TypeMessageEdited: byMembers, threads.TypeMessageErased: byMembers, threads.TypePersonErased: byMembers, threads.TypeReactionSet: byMembers,
	threads.TypeAskDeclined: byMembers, threads.TypeAskWithdrawn: byMembers,
}

// T20: whatever another server sends comes to what the table says for its
// standing in the channel, which may be archived. A new exchange, kind of request
// or type of event fails here until it has a row.
func TestWhoMayDoWhatIsAsTheTableSays(t *testing.T) {
	for _, archived := range []bool{false, true} {
		victim := newSite(t)
		for i, state := range peerStates {
			p := newPeer(t, victim, state, archived)
			exchanges := p.exchanges()
			for name := range expected {
				if got := exchanges[name](); got != expected[name][i] {
					t.Errorf("%s by %s, archived %t: %q, want %q", name, state, archived, got, expected[name][i])
				}
			}
			for _, row := range threads.Types() {
				want := expectedEvents[row.Name]
				if want == nil {
					t.Fatalf("%s is a new type: say here who may send it", row.Name)
				}
				if got := p.brought(row); got != want[i] {
					t.Errorf("%s by %s, archived %t: %q, want %q", row.Name, state, archived, got, want[i])
				}
			}
		}
	}
}

// brought is what comes of an event of the type.
func (p *peer) brought(row threads.Type) string {
	if row.Log == threads.LogData {
		return p.pushed(p.data(row.Name))
	}
	e := p.control(row.Name)
	got := p.pushed(e)
	if got == "taken" {
		if err := p.state.ApplyControl(e); err != nil {
			p.t.Fatal(err)
		}
	}
	return got
}

func TestEveryExchangeAndKindOfRequestIsInTheTable(t *testing.T) {
	s := newSite(t)
	answer, err := http.Get("http://" + s.name + "/.well-known/meridian")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var document struct{ Endpoints map[string]string }
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	names := slices.Collect(maps.Keys(document.Endpoints))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "request" })
	for file, kind := range map[string]string{"request.go": "kind", "command.go": "command"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\t`+kind+`[A-Z]\w* += "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
			names = append(names, map[string]string{"kind": "request ", "command": "request command "}[kind]+m[1])
		}
	}
	if len(names) < 16 {
		t.Fatalf("only %v are found", names)
	}
	for _, name := range names {
		if expected[name] == nil && name != "request command" {
			t.Errorf("%s has no row", name)
		}
	}
}
