package federation

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	eventVectors = "../docs/vectors/events.json"
	frameVectors = "../docs/vectors/frames.json"
)

// vectorEvents are the events of the published vectors.
func vectorEvents(t testing.TB) []*threads.Event {
	t.Helper()
	raw, err := os.ReadFile(eventVectors)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Events []struct{ Header, Content, Sig string }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var events []*threads.Event
	for _, v := range doc.Events {
		sig, err := base64.RawURLEncoding.DecodeString(v.Sig)
		if err != nil {
			t.Fatal(err)
		}
		e, err := threads.Decode([]byte(v.Header), sig, []byte(v.Content))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func framesOf(events ...*threads.Event) []byte {
	var b []byte
	for _, e := range events {
		b = AppendFrame(b, e)
	}
	return b
}

// badFrames are frames that must be refused, made of a good one: by what is wrong with them.
func badFrames(e *threads.Event) map[string]string {
	good := string(bytes.TrimSuffix(framesOf(e), []byte{'\n'}))
	header, content, sig := string(e.HeaderBytes), string(e.Content), base64.RawURLEncoding.EncodeToString(e.Sig)
	return map[string]string{
		"empty":                       "",
		"not an object":               `["header"]`,
		"white space before":          " " + good,
		"white space between":         strings.Replace(good, `,"sig"`, ` ,"sig"`, 1),
		"white space after":           good + " ",
		"carriage return":             good + "\r",
		"something after":             good + "{}",
		"byte order mark":             "\ufeff" + good,
		"header as text":              `{"header":"{}","sig":"` + sig + `"}`,
		"header missing":              `{"sig":"` + sig + `"}`,
		"header not ended":            `{"header":` + header[:len(header)-1],
		"members in another order":    `{"sig":"` + sig + `","header":` + header + `}`,
		"unknown member":              strings.TrimSuffix(good, "}") + `,"more":1}`,
		"member twice":                strings.TrimSuffix(good, "}") + `,"content":` + content + `}`,
		"content null":                `{"header":` + header + `,"sig":"` + sig + `","content":null}`,
		"content as text":             `{"header":` + header + `,"sig":"` + sig + `","content":"` + content[:4] + `"}`,
		"content of another event":    strings.Replace(good, content, `{"salt":"AAAAAAAAAAAAAAAAAAAAAA"}`, 1),
		"content not canonical":       strings.Replace(good, content, "{ "+content[1:], 1),
		"content cut off":             strings.TrimSuffix(good, "}}"),
		"content too large":           strings.Replace(good, content, `{"a":"`+strings.Repeat("a", threads.MaxContent)+`"}`, 1),
		"header not canonical":        strings.Replace(good, header, "{ "+header[1:], 1),
		"header changed in one place": strings.Replace(good, `"v":1`, `"v":2`, 1),
		"header with a float":         strings.Replace(good, `"v":1`, `"v":1.0`, 1),
		"header with a key twice":     strings.Replace(good, `"v":1`, `"v":1,"v":1`, 1),
		"header too large":            strings.Replace(good, `"v":1`, `"v":1,"x":"`+strings.Repeat("x", threads.MaxHeader)+`"`, 1),
		"no signature":                `{"header":` + header + `}`,
		"signature too short":         strings.Replace(good, sig, sig[1:], 1),
		"signature too long":          strings.Replace(good, sig, sig+"A", 1),
		"signature padded":            strings.Replace(good, sig, sig[:84]+"==", 1),
		"signature in plain base64":   strings.Replace(good, sig, "+/"+sig[2:], 1),
		"signature with stray bits":   strings.Replace(good, sig, sig[:85]+"B", 1),
		"signature as number":         `{"header":` + header + `,"sig":1}`,
		"a longer line than possible": strings.Replace(good, `"v":1`, `"v":1,"x":"`+strings.Repeat("x", maxFrame)+`"`, 1),
	}
}

func TestABadFrameEndsItsOwnLogAndTouchesNothingElse(t *testing.T) {
	events := vectorEvents(t)
	for name, bad := range badFrames(events[0]) {
		for at := range len(events) + 1 {
			body := framesOf(events[:at]...)
			body = append(body, bad+"\n"...)
			body = append(body, framesOf(events[at:]...)...)
			got, err := ReadFrames(body)
			if err != nil {
				t.Fatalf("%s at %d: %v", name, at, err)
			}
			if len(got.Bad) != 1 || got.Bad[0].Index != at || got.Bad[0].Code == "" || got.Bad[0].Detail == "" {
				t.Fatalf("%s at %d: refused %+v", name, at, got.Bad)
			}
			for _, e := range expectTaken(events, at, got.Bad[0]) {
				if !has(got, e) {
					t.Errorf("%s at %d: a good frame was not taken", name, at)
				}
			}
		}
	}
}

// expectTaken are the events that a bad frame before the one at that index leaves.
func expectTaken(events []*threads.Event, at int, bad BadFrame) []*threads.Event {
	var taken []*threads.Event
	for i, e := range events {
		if i < at || e.Channel() != bad.Channel || e.Header.LogID() != bad.Ref.LogID {
			taken = append(taken, e)
		}
	}
	return taken
}

func has(f Frames, e *threads.Event) bool {
	for _, got := range f.Events {
		if got.ID == e.ID {
			return true
		}
	}
	return false
}

func TestFramesBeyondTheBoundAreRefusedAsAWhole(t *testing.T) {
	e := vectorEvents(t)[0]
	full := bytes.Repeat(framesOf(e), MaxFrames)
	if got, err := ReadFrames(full); err != nil || len(got.Events) != MaxFrames {
		t.Errorf("%d frames of %d, %v", len(got.Events), MaxFrames, err)
	}
	if _, err := ReadFrames(append(full, framesOf(e)...)); err == nil {
		t.Error("one frame too many was taken")
	}
}

func TestALineWithoutItsEndIsNoFrame(t *testing.T) {
	body := framesOf(vectorEvents(t)...)
	got, err := ReadFrames(body[:len(body)-1])
	if err != nil || len(got.Bad) != 1 || got.Bad[0].Index != len(got.Events) {
		t.Errorf("%+v, %v", got.Bad, err)
	}
}

func TestEventsDoNotKeepTheBodyAlive(t *testing.T) {
	body := framesOf(vectorEvents(t)[0])
	got, err := ReadFrames(body)
	if err != nil || len(got.Events) != 1 {
		t.Fatal(err)
	}
	before := string(got.Events[0].HeaderBytes)
	for i := range body {
		body[i] = 'x'
	}
	if string(got.Events[0].HeaderBytes) != before {
		t.Error("the event shares memory with the body")
	}
}

// frameFile is what another implementation checks its reader of frames against.
type frameFile struct {
	About string       `json:"about"`
	Cases []frameCases `json:"cases"`
}

type frameCases struct {
	Name    string        `json:"name"`
	Lines   []string      `json:"lines"`
	Taken   []string      `json:"taken"`
	Refused []frameRefuse `json:"refused,omitempty"`
}

type frameRefuse struct {
	Index int    `json:"index"`
	Code  string `json:"code"`
}

func TestFrameVectorsSayWhatTheCodeDoes(t *testing.T) {
	made := frameFile{
		About: "Bodies of frames, a line each; the ids of the events taken from them, in order; the frames refused. Signatures and chains are not looked at here. The events are those of events.json.",
	}
	events := vectorEvents(t)
	bare := *events[len(events)-1]
	bare.Content = nil
	made.add(t, "events with their contents", framesOf(events...))
	made.add(t, "an event whose content is not held", framesOf(&bare))
	bad := badFrames(events[0])
	for _, name := range []string{
		"white space between", "members in another order", "unknown member", "content null", "content of another event",
		"content not canonical", "header with a key twice", "signature padded", "signature with stray bits", "carriage return",
	} {
		made.add(t, name+"; frames of other logs are taken", append([]byte(bad[name]+"\n"), framesOf(events[:3]...)...))
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(frameVectors, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(frameVectors)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(kept), text.String()); diff != "" {
		t.Errorf("%s says otherwise; run with -update if that is meant:\n%s", frameVectors, diff)
	}
}

func (f *frameFile) add(t *testing.T, name string, body []byte) {
	t.Helper()
	got, err := ReadFrames(body)
	if err != nil {
		t.Fatal(err)
	}
	c := frameCases{Name: name, Lines: strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), Taken: []string{}}
	for _, e := range got.Events {
		c.Taken = append(c.Taken, e.ID)
	}
	for _, b := range got.Bad {
		c.Refused = append(c.Refused, frameRefuse{b.Index, b.Code})
	}
	f.Cases = append(f.Cases, c)
}

func FuzzReadFrames(f *testing.F) {
	events := vectorEvents(f)
	f.Add(framesOf(events...))
	for _, bad := range badFrames(events[0]) {
		if len(bad) < 4096 {
			f.Add([]byte(bad + "\n"))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ReadFrames(body)
		if err != nil {
			return
		}
		lines := bytes.SplitAfter(body, []byte{'\n'})
		for i, e := range got.Events {
			if line := framesOf(e); !bytes.Equal(line, lines[got.Index[i]]) {
				t.Errorf("a frame was taken that has another spelling: %q", lines[got.Index[i]])
			}
		}
	})
}
