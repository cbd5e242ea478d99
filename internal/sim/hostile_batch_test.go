package sim_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"meridian/threads"
)

// spoil makes a bad frame of a good event: either of its bytes, or of another header, sealed anew.
type spoil struct {
	name   string
	bytes  func(line string) string
	header func(h *threads.Header)
}

// swap replaces the first occurrence of a text in a line.
func swap(old, fresh string) func(string) string {
	return func(line string) string { return strings.Replace(line, old, fresh, 1) }
}

func (s *scene) spoils() []spoil {
	long := strings.Repeat("x", threads.MaxHeader)
	broken := map[string]func(string) string{
		"no JSON":                   func(string) string { return "what\n" },
		"an empty line":             func(string) string { return "\n" },
		"an array":                  func(l string) string { return "[" + strings.TrimSuffix(l, "\n") + "]\n" },
		"cut short":                 func(l string) string { return l[:len(l)/2] + "\n" },
		"two values":                func(l string) string { return strings.TrimSuffix(l, "\n") + "{}\n" },
		"a space before":            func(l string) string { return " " + l },
		"a carriage return":         func(l string) string { return strings.TrimSuffix(l, "\n") + "\r\n" },
		"a byte order mark":         func(l string) string { return "\ufeff" + l },
		"a further member":          func(l string) string { return strings.TrimSuffix(l, "}\n") + `,"x":1}` + "\n" },
		"a space in the header":     swap(`{"header":{`, `{"header":{ `),
		"no header":                 swap(`"header":`, `"head":`),
		"a member twice":            swap(`"v":1}`, `"v":1,"v":1}`),
		"a folded member":           swap(`"v":1}`, `"V":1,"v":1}`),
		"a float":                   swap(`"v":1}`, `"v":1.0}`),
		"an exponent":               swap(`"v":1}`, `"v":1e0}`),
		"minus zero":                swap(`"epoch":`, `"epoc":-0,"epoch":`),
		"a number beyond 2^53":      swap(`"v":1}`, `"v":1,"x":9007199254740993}`),
		"an unsorted member":        swap(`"v":1}`, `"v":1,"a":1}`),
		"an escaped letter":         swap(`"type":"message`, `"type":"\u006dessage`),
		"an escaped slash":          swap(`https://`, `https:\/\/`),
		"a NUL":                     swap(`"v":1}`, `"v":1,"x":"\u0000"}`),
		"a lone surrogate":          swap(`"v":1}`, `"v":1,"x":"\ud800"}`),
		"no UTF-8":                  swap(`"v":1}`, "\"v\":1,\"x\":\"\xff\"}"),
		"too deep":                  swap(`"v":1}`, `"v":1,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`),
		"a header too long":         swap(`"v":1}`, `"v":1,"x":"`+long+`"}`),
		"a null field":              swap(`"log":"data"`, `"log":null`),
		"no time":                   swap(`"time":`, `"tim":`),
		"no signature":              swap(`,"sig":"`, `,"sin":"`),
		"a number as signature":     func(l string) string { return l[:strings.Index(l, `"sig":`)] + `"sig":1}` + "\n" },
		"a short signature":         func(l string) string { i := strings.Index(l, `"sig":"`) + 7; return l[:i] + l[i+4:] },
		"a padded signature":        func(l string) string { i := strings.Index(l, `"sig":"`) + 91; return l[:i] + "==" + l[i+2:] },
		"an empty content":          func(l string) string { return l[:strings.Index(l, `"content":{`)] + `"content":{}}` + "\n" },
		"a content of another":      swap(`"content":{"content":"`, `"content":{"content":"x`),
		"a content of null":         func(l string) string { return l[:strings.Index(l, `"content":{`)] + `"content":null}` + "\n" },
		"a content with a space":    swap(`"content":{"content"`, `"content":{ "content"`),
		"a flipped signature":       flip(`"sig":"`),
		"a changed time":            swap(`"time":3`, `"time":2`),
		"a changed actor":           flip(`/people/`),
		"a content that is endless": func(l string) string { return strings.TrimSuffix(l, "}\n") + strings.Repeat("x", 80<<10) + "\n" },
	}
	var all []spoil
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		all = append(all, spoil{name: name, bytes: broken[name]})
	}
	forged := map[string]func(h *threads.Header){
		"another's origin":            func(h *threads.Header) { h.Origin, h.Actor = s.name, s.anaID },
		"another's person":            func(h *threads.Header) { h.Actor = s.anaID },
		"no person":                   func(h *threads.Header) { h.Actor = "ana" },
		"another's key":               func(h *threads.Header) { h.Key = strings.Replace(s.mal.keyID(), s.mal.name, s.name, 1) },
		"an unknown key":              func(h *threads.Header) { h.Key += "0" },
		"an unknown kind of log":      func(h *threads.Header) { h.Log = "diary" },
		"a place below all":           func(h *threads.Header) { h.Seq = 0 },
		"a negative place":            func(h *threads.Header) { h.Seq = -h.Seq },
		"a prev that does not fit":    func(h *threads.Header) { h.Prev = threads.HashOf(nil) },
		"a prev that is no hash":      func(h *threads.Header) { h.Prev = "before" },
		"an unknown control event":    func(h *threads.Header) { h.Control.Hash = threads.HashOf(nil) },
		"a control event to come":     func(h *threads.Header) { h.Control.Number = 99 },
		"no control event":            func(h *threads.Header) { h.Control = threads.ControlRef{} },
		"the control event before":    func(h *threads.Header) { h.Control = threads.ControlRef{Number: 1, Hash: s.channel} },
		"another admission":           func(h *threads.Header) { h.Epoch = 77<<32 + 1 },
		"no admission":                func(h *threads.Header) { h.Epoch = 1 },
		"a time gone by":              func(h *threads.Header) { h.Time = 1_000_000_000_000 * 2048 },
		"a time before all":           func(h *threads.Header) { h.Time = 1 },
		"a time after all":            func(h *threads.Header) { h.Time = 1 << 53 },
		"an erasure that erases none": func(h *threads.Header) { h.Type = threads.TypeMessageErased },
		"a message that erases":       func(h *threads.Header) { h.Erases = s.message },
		"a control event": func(h *threads.Header) {
			h.Log, h.Epoch, h.Control, h.After = threads.LogControl, 0, threads.ControlRef{}, nil
		},
		"too many dependencies": func(h *threads.Header) {
			h.After = slices.Repeat([]threads.Ref{{LogID: threads.LogID{Origin: s.name, Epoch: 1 << 32}, Seq: 1}}, threads.MaxAfter+1)
		},
	}
	for _, name := range slices.Sorted(maps.Keys(forged)) {
		all = append(all, spoil{name: name, header: forged[name]})
	}
	return all
}

// flip changes one character of what follows a text.
func flip(after string) func(string) string {
	return func(line string) string {
		b := []byte(line)
		i := strings.Index(line, after) + len(after) + 9
		b[i] = "AB"[min(1, 'B'-min('B', b[i]))]
		return string(b)
	}
}

// hand is one log in which the test writes.
type hand struct {
	e       *enemy
	state   *threads.Channel
	thread  string
	pending []*threads.Event // not taken by the victim yet
}

func (h *hand) write(body string) *threads.Event {
	kept := h.e.state
	h.e.state = h.state
	defer func() { h.e.state = kept }()
	e := h.e.post(h.thread, body)
	h.pending = append(h.pending, e)
	return e
}

// hands are five logs: of two servers in one channel, of the enemy in three others.
func (s *scene) hands() []*hand {
	all := []*hand{{e: s.mal, state: s.mal.state, thread: s.thread}, {e: s.carol, state: s.carol.state, thread: s.thread}}
	for i := range 3 {
		all = append(all, &hand{e: s.mal, state: s.elsewhere(fmt.Sprint("Other ", i)), thread: s.thread})
	}
	for _, h := range all[:2] {
		h.e.catchUp(s.victim)
	}
	return all
}

// T27: one bad frame among fifty, of any kind and anywhere, costs the tail of its log and nothing
// else; the answer names it; the next good exchange brings the tail. ReadFrames alone is held against
// every position of every kind in package federation.
func TestABadFrameCostsTheTailOfItsLogAndNothingElse(t *testing.T) {
	s := newScene(t, "")
	hands, spoils := s.hands(), s.spoils()
	if len(spoils) < 40 {
		t.Fatalf("only %d kinds of bad", len(spoils))
	}
	turns := 4 * len(spoils)
	if testing.Short() {
		turns = len(spoils)
	}
	for turn := range turns {
		at, sp := (turn+turn/len(spoils)*17)%50, spoils[turn%len(spoils)]
		var lines []string
		var events []*threads.Event
		for i := range 50 {
			e := hands[i%len(hands)].write(fmt.Sprintf("turn %d frame %d", turn, i))
			events, lines = append(events, e), append(lines, frames(e))
		}
		owner := hands[at%len(hands)]
		if lines[at] = spoilt(owner.e, events[at], sp); lines[at] == frames(events[at]) {
			t.Fatalf("%s: nothing is bad about it", sp.name)
		}
		before := s.rows()["event"]
		got := s.mal.pushRaw(s.victim, strings.Join(lines, ""))
		kept := 40 + at/len(hands)
		if n := s.rows()["event"] - before; n != kept {
			t.Errorf("%s at %d: %d events were stored, want %d: %+v", sp.name, at, n, kept, got.Refusals)
		}
		if !names(got, at) {
			t.Errorf("%s at %d: %+v", sp.name, at, got)
		}
		if got := s.mal.push(s.victim, owner.pending[at/len(hands):]...); got.status != http.StatusOK || len(got.Refusals) > 0 {
			t.Errorf("%s at %d, then the good ones: %+v", sp.name, at, got)
		}
		if n := s.rows()["event"] - before; n != 50 {
			t.Fatalf("%s at %d: %d events are stored in the end", sp.name, at, n)
		}
		for _, h := range hands {
			h.pending = nil
		}
	}
}

// A frame for a place that is taken, under the good signature of the server that writes the log, proves
// that it shows two histories: its log ends right below, and nothing else of the batch is touched.
func TestAFrameForATakenPlaceCostsItsLogFromThereAndNothingElse(t *testing.T) {
	for name, header := range map[string]func(h *threads.Header){
		"the first place":  func(h *threads.Header) { h.Seq, h.Prev = 1, "" },
		"the place before": func(h *threads.Header) { h.Seq-- },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			hands := s.hands()
			s.mal.push(s.victim, hands[2].write("It is well."), hands[2].write("It is better."))
			before := s.rows()["event"]
			var lines []string
			var forged *threads.Event
			for i := range 50 {
				e := hands[i%len(hands)].write(fmt.Sprint("frame ", i))
				if i == 22 {
					e = s.mal.changed(e, header)
					forged = e
				}
				lines = append(lines, frames(e))
			}
			got := s.mal.pushRaw(s.victim, strings.Join(lines, ""))
			if len(got.Refusals) == 0 || !slices.ContainsFunc(got.Refusals, func(r refusal) bool { return r.Index == 22 && r.Code == "fork" }) {
				t.Errorf("the answer does not tell of the fork: %+v", got)
			}
			// Two of the forked log came earlier; of what it holds only what lies below the fork stays.
			if n, want := s.rows()["event"]-before, 40+int(forged.Header.Seq)-1-2; n != want {
				t.Errorf("%d events are stored more, want %d: %+v", n, want, got.Refusals)
			}
		})
	}
}

// spoilt is the bad frame that a spoil makes of an event of a server.
func spoilt(e *enemy, event *threads.Event, sp spoil) string {
	if sp.header != nil {
		return frames(e.changed(event, sp.header))
	}
	return sp.bytes(frames(event))
}

// names reports whether an answer tells of the frame at that index: that it is refused, and why, or
// what it waits for.
func names(got pushed, at int) bool {
	for _, r := range got.Refusals {
		if r.Index == at {
			return r.Code != "" && r.Detail != "" && len(got.Refusals) == 1
		}
	}
	waiting := 0
	for _, c := range got.Channels {
		waiting += len(c.Waiting)
	}
	return waiting > 0 && len(got.Refusals) == 0
}

// A refused frame is not held against what follows it in another exchange, and what it said is not
// kept: the forged text is found nowhere.
func TestNothingOfARefusedFrameIsKept(t *testing.T) {
	s := newScene(t, "")
	s.mal.push(s.victim, s.mal.post(s.thread, "A first."), s.mal.post(s.thread, "And a second."))
	before := s.rows()
	for i, sp := range s.spoils() {
		canary := fmt.Sprintf("canary-%d-%s", i, base64.RawURLEncoding.EncodeToString([]byte(sp.name)))
		e := s.mal.draft(threads.Draft{Type: threads.TypeMessagePosted, Content: note(s.thread, canary)})
		s.mal.pushRaw(s.victim, spoilt(s.mal, e, sp))
		if s.shows(canary) {
			t.Errorf("%s: it is shown", sp.name)
		}
	}
	s.unchanged("refused frames", before)
	var found list
	if s.must(s.ana, http.MethodGet, "/search?q=canary", nil, &found); len(found.Items) > 0 {
		t.Errorf("search finds %+v", found.Items)
	}
}
