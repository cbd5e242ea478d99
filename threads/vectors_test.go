package threads

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const vectorFile = "../docs/vectors/events.json"

// vectors are what another implementation checks itself against.
type vectors struct {
	About   string         `json:"about"`
	Rules   int            `json:"rules"`
	Keys    []vectorKey    `json:"keys"`
	Events  []vectorEvent  `json:"events"`
	Signed  []vectorSigned `json:"signed"`
	Void    []vectorVoid   `json:"void"`
	Refused []vectorRefuse `json:"refused"`
	Forks   []vectorFork   `json:"forks"`
}

// vectorFork is a pair of events of one place, or what somebody gives out as one, as a member that
// applied all control events above judges it.
type vectorFork struct {
	Name   string       `json:"name"`
	Pair   [2]vectorEnd `json:"pair"`
	Proof  bool         `json:"proof"`
	Reason string       `json:"why"`
}

type vectorEnd struct {
	Header string `json:"header"`
	Sig    string `json:"sig"`
}

type vectorKey struct {
	Server string `json:"server"`
	ID     string `json:"id"`
	Public string `json:"public"`
}

type vectorEvent struct {
	Name    string `json:"name"`
	ID      Hash   `json:"id"`
	Header  string `json:"header"`
	Content string `json:"content"`
	Sig     string `json:"sig"`
}

// vectorSigned is what a server signs beside events: the bytes in full, where a
// NUL ends the prefix.
type vectorSigned struct {
	Name  string `json:"name"`
	Key   string `json:"key"`
	Bytes string `json:"bytes"`
	Sig   string `json:"sig"`
}

type vectorVoid struct {
	ID             Hash   `json:"id"`
	AtControl      int64  `json:"at_control"`
	Void           bool   `json:"void"`
	ControlMatters string `json:"why"`
}

type vectorRefuse struct {
	Name   string `json:"name"`
	Header string `json:"header"`
	Code   string `json:"code"`
}

func TestVectorsSayWhatTheCodeDoes(t *testing.T) {
	made := makeVectors(t)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorFile, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, text.Bytes()) {
		t.Error("docs/vectors/events.json is not what the code makes; if the rules changed on purpose, run go test ./threads -run Vectors -update")
	}
	checkVectors(t, written)
}

// checkVectors reads the file as another implementation would.
func checkVectors(t *testing.T, text []byte) {
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{}
	for _, k := range v.Keys {
		keys[k.ID] = unhex(t, k.Public)
	}
	c := NewChannel(v.Events[0].ID)
	byID := map[Hash]*Event{}
	for _, in := range v.Events {
		e, err := Decode([]byte(in.Header), unhex(t, in.Sig), []byte(in.Content))
		if err != nil {
			t.Fatalf("%s: %v", in.Name, err)
		}
		if e.ID != in.ID || !Verify(keys[e.Header.Key], SigningBytes(e.HeaderBytes), e.Sig) {
			t.Errorf("%s: the id or the signature is not the one given", in.Name)
		}
		byID[e.ID] = e
		if e.Header.Log == LogControl {
			if err := c.CheckControl(e); err != nil {
				t.Fatalf("%s: %v", in.Name, err)
			}
			if err := c.ApplyControl(e); err != nil {
				t.Fatalf("%s: %v", in.Name, err)
			}
		}
		for _, w := range v.Void {
			if w.AtControl == c.Control.Seq && e.Header.Log == LogControl && byID[w.ID] != nil && c.Void(&byID[w.ID].Header) != w.Void {
				t.Errorf("%s at control event %d: void = %v", w.ID, w.AtControl, !w.Void)
			}
		}
	}
	for _, s := range v.Signed {
		if !Verify(keys[s.Key], []byte(s.Bytes), unhex(t, s.Sig)) {
			t.Errorf("%s: the signature is not the key's", s.Name)
		}
	}
	for _, f := range v.Forks {
		if proof := c.proves(t, f.Pair); proof != f.Proof {
			t.Errorf("%s: proof = %v", f.Name, proof)
		}
	}
	for _, r := range v.Refused {
		var bad *DecodeError
		if _, err := DecodeHeader([]byte(r.Header)); !errors.As(err, &bad) || bad.Code != r.Code {
			t.Errorf("%s: %v, want code %s", r.Name, err, r.Code)
		}
	}
}

func makeVectors(t *testing.T) vectors {
	g := newGuestbook(t)
	v := vectors{
		About: "Events of one channel in the order given, with their exact bytes; what else servers sign; what becomes void by later control events; headers that are refused, with the code. See docs/protocol.md.",
		Rules: RulesVersion,
	}
	for _, a := range []*actor{g.kobo, g.havel} {
		v.Keys = append(v.Keys, vectorKey{a.name, a.key().ID, base64.RawURLEncoding.EncodeToString(a.key().Public)})
	}
	add := func(name string, events ...*Event) {
		for _, e := range events {
			v.Events = append(v.Events, vectorEvent{name, e.ID, string(e.HeaderBytes), string(e.Content), base64.RawURLEncoding.EncodeToString(e.Sig)})
		}
	}
	add("the host creates the channel", g.control[0])
	add("a person of another server joins, with its acceptance", g.control[1])
	thread := g.write("Grüße aus Berlin — 東京 \" \\ \u0001")
	add("a thread, with text that needs escaping", thread)
	message := g.sealed(Draft{Type: TypeMessagePosted, Content: AppendMessage(nil, &Message{Thread: thread.ID, Body: "When does the crane arrive?"}, g.havel.pen().Salt())})
	add("a message", message)
	g.arrive(thread, message)
	edit := g.sealed(Draft{Type: TypeMessageEdited, Content: AppendEdit(nil, message.ID, "When does the second crane arrive?", g.havel.pen().Salt())})
	add("an edit that the host has not received when it removes the person", edit)
	erased := g.sealed(Draft{Type: TypeMessageErased, Erases: message.ID, Content: AppendTombstone(nil, Tombstone{Thread: thread.ID}, g.havel.pen().Salt())})
	add("an erasure", erased)
	reaction := g.sealed(Draft{Type: TypeReactionSet, Content: AppendReaction(nil, message.ID, "👍", true, g.havel.pen().Salt())})
	add("a reaction", reaction)
	g.command(RemoveMember{Channel: g.host.ID, Person: g.mia})
	add("the person is removed, with cuts, and with her the server whose last person she was", g.control[2:]...)
	for _, w := range []struct {
		e    *Event
		void bool
		why  string
	}{{thread, false, "below the cut"}, {message, false, "at the cut"}, {edit, true, "beyond the cut"}, {reaction, true, "beyond the cut"}} {
		v.Void = append(v.Void, vectorVoid{w.e.ID, 3, w.void, w.why})
	}
	v.Refused = refusedHeaders(string(message.HeaderBytes))
	v.Signed = signedVectors(g)
	v.Forks = forkVectors(g)
	return v
}

// proves reads a pair as it crosses the wire and judges it.
func (c *Channel) proves(t *testing.T, pair [2]vectorEnd) bool {
	var events [2]*Event
	for i, end := range pair {
		e, err := Decode([]byte(end.Header), unhex(t, end.Sig), nil)
		if err != nil {
			t.Fatal(err)
		}
		events[i] = e
	}
	f, ok := NewFork(events[0], events[1])
	return ok && c.CheckFork(f)
}

func forkVectors(g *guestbook) []vectorFork {
	message := func(c *Channel, body string) *Event {
		content := AppendMessage(nil, &Message{Thread: g.control[0].ID, Body: body}, g.havel.pen().Salt())
		e, err := c.SealData(Draft{Actor: g.mia, Type: TypeMessagePosted, Content: content}, g.havel.pen())
		if err != nil {
			g.kobo.t.Fatal(err)
		}
		return e
	}
	left, right := g.away.Clone(), g.away.Clone()
	one, other := message(left, "By crane."), message(right, "By barge.")
	next := message(left, "And by crane again.")
	forged := *other
	forged.Sig = g.kobo.pen().Sign(SigningBytes(other.HeaderBytes))
	rename := func(name string) *Event {
		c := g.host.Clone()
		return g.kobo.must(c, g.ana, ChangeSettings{Channel: c.ID, Settings: Settings{Name: name}})[0]
	}
	first, second := rename("Left bank"), rename("Right bank")
	pair := func(name string, a, b *Event, proof bool, why string) vectorFork {
		end := func(e *Event) vectorEnd {
			return vectorEnd{string(e.HeaderBytes), base64.RawURLEncoding.EncodeToString(e.Sig)}
		}
		return vectorFork{name, [2]vectorEnd{end(a), end(b)}, proof, why}
	}
	return []vectorFork{
		pair("a data log with two events at one place", one, other, true, "both are signed by the server that writes the log"),
		pair("the same the other way round", other, one, true, "the order does not matter"),
		pair("a control log with two events at one place", first, second, true, "both are signed by the host"),
		pair("an event and itself", one, one, false, "one event is no fork"),
		pair("two places of one log", one, next, false, "the places differ"),
		pair("an event that its server did not sign", one, &forged, false, "the second is signed by another server"),
		pair("two logs", one, first, false, "a data log and the control log"),
	}
}

// signedVectors are one of each thing that a server signs beside events.
func signedVectors(g *guestbook) []vectorSigned {
	next, _ := g.havel.successor(true)
	place := g.control[0]
	all := []struct {
		name  string
		by    *actor
		bytes []byte
	}{
		{"a server accepts that a person of its joins", g.havel, Acceptance{
			Channel: place.ID, Host: "kobo.example", Person: g.mia, Role: RoleMember, Prev: place.ID, Key: g.havel.key(),
		}.SigningBytes()},
		{"a server accepts to be the host", g.havel, HostAcceptance{
			Channel: place.ID, From: "kobo.example", Host: "havel.example", Prev: place.ID,
		}.SigningBytes()},
		{"a key takes the place of one that may be in wrong hands, signed by the old one", g.havel, Succession{
			Server: "havel.example", Previous: g.havel.key(), Key: next.key(), Revoked: true,
		}.SigningBytes()},
	}
	var out []vectorSigned
	for _, s := range all {
		out = append(out, vectorSigned{s.name, s.by.key().ID, string(s.bytes), base64.RawURLEncoding.EncodeToString(s.by.pen().Sign(s.bytes))})
	}
	return out
}

// sealed is a data event of mia's at havel.
func (g *guestbook) sealed(d Draft) *Event {
	g.kobo.t.Helper()
	d.Actor = g.mia
	e, err := g.away.SealData(d, g.havel.pen())
	if err != nil {
		g.kobo.t.Fatal(err)
	}
	return e
}

func refusedHeaders(good string) []vectorRefuse {
	change := func(name, old, with, code string) vectorRefuse {
		return vectorRefuse{name, strings.Replace(good, old, with, 1), code}
	}
	return []vectorRefuse{
		change("a space between members", `,"channel"`, `, "channel"`, DecodeSpacing),
		change("members out of order", `{"actor"`, `{"z":1,"actor"`, DecodeOrder),
		change("a number that is not an integer", `"seq":2`, `"seq":2.0`, DecodeNumber),
		change("a key twice", `"v":1`, `"v":1,"v":1`, DecodeDuplicateKey),
		change("a key again in another case", `"v":1}`, `"v":1,"ſeq":1}`, DecodeDuplicateKey),
		change("something after the value", `"v":1}`, `"v":1}{}`, DecodeTrailing),
		change("an unknown version", `"v":1`, `"v":2`, "version"),
		change("a person of another server", `people/`, `people/x`, "shape"),
		change("another origin than the person's", `"origin":"havel.example"`, `"origin":"kobo.example"`, "origin"),
		{"no admission in the epoch", regexp.MustCompile(`"epoch":\d+`).ReplaceAllString(good, `"epoch":1`), "shape"},
		{"a time before the year 2000", regexp.MustCompile(`"time":\d+`).ReplaceAllString(good, `"time":1`), "time"},
	}
}
