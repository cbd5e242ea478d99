package federation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"meridian/federation"
	"meridian/threads"
)

// accepted reports whether a line is taken as an event that its server signed, and which.
func (s *stage) accepted(line []byte) (*threads.Event, bool) {
	read, err := federation.ReadFrames(line)
	if err != nil || len(read.Events) != 1 || len(read.Bad) > 0 {
		return nil, false
	}
	e := read.Events[0]
	key, ok := s.state.KeyAt(e.Header.Origin, e.Header.Key, e.Header.Control.Number)
	return e, ok && e.Channel() == s.channel && threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig)
}

// T09: of all single changes of a signed event none is taken for another event: every bit of every byte
// flipped, every byte left out, doubled or followed by another, every pair of neighbours swapped.
func TestNoMutantOfASignedEventMeansAnything(t *testing.T) {
	s := newStage(t)
	good := s.next("It leaks “again”, 5 bar.")
	line := federation.AppendFrame(nil, good)
	if e, ok := s.accepted(line); !ok || e.ID != good.ID {
		t.Fatal("the event itself is not accepted")
	}
	mutants := 0
	try := func(what string, at int, mutant []byte) {
		mutants++
		e, ok := s.accepted(mutant)
		if ok && (!bytes.Equal(e.HeaderBytes, good.HeaderBytes) || e.Content != nil && !bytes.Equal(e.Content, good.Content)) {
			t.Errorf("%s at %d is accepted: %s", what, at, mutant)
		}
	}
	for i := range line {
		for bit := range 8 {
			mutant := bytes.Clone(line)
			mutant[i] ^= 1 << bit
			try("flipped", i, mutant)
		}
		try("left out", i, append(bytes.Clone(line[:i]), line[i+1:]...))
		for _, more := range []byte("\x00\n \",.-0:\\[]a{}\xff" + string(line[i:i+1])) {
			try("inserted", i, append(append(bytes.Clone(line[:i]), more), line[i:]...))
		}
		if i > 0 && line[i] != line[i-1] {
			mutant := bytes.Clone(line)
			mutant[i], mutant[i-1] = mutant[i-1], mutant[i]
			try("swapped", i, mutant)
		}
	}
	if mutants < 19_000 {
		t.Errorf("only %d mutants", mutants)
	}
	t.Log(mutants, "mutants")
}

// T09: JSON that means the same and is written otherwise is not the event: only the bytes that were signed are.
func TestAReserialisedEventIsNotTheEvent(t *testing.T) {
	s := newStage(t)
	good := s.next("It leaks.")
	line := string(federation.AppendFrame(nil, good))
	header, content := string(good.HeaderBytes), string(good.Content)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(good.HeaderBytes, &fields); err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{}
	for part, text := range map[string]string{"header": header, "content": content} {
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(text), "", " "); err != nil {
			t.Fatal(err)
		}
		forms[part+" indented"] = strings.ReplaceAll(indented.String(), "\n", "")
		forms[part+" with a space before its end"] = strings.TrimSuffix(text, "}") + " }"
		forms[part+" with its first member twice"] = "{" + text[1:strings.Index(text, ",")+1] + text[1:]
		forms[part+" with a slash escaped"] = strings.Replace(text, "/", `\/`, 1)
		forms[part+" with a letter escaped"] = strings.Replace(text, `":"`, fmt.Sprintf(`":"\u%04x`, text[strings.Index(text, `":"`)+3]), 1)
		forms[part+" with its members turned round"] = turned(t, text)
		for name, form := range forms {
			if form == text || !strings.HasPrefix(name, part) {
				continue
			}
			mutant := strings.Replace(line, text, form, 1)
			if e, ok := s.accepted([]byte(mutant)); ok && (part == "header" || e.Content != nil) {
				t.Errorf("%s is accepted: %s", name, mutant)
			}
		}
	}
	for name, value := range fields {
		if value[0] < '0' || value[0] > '9' {
			continue
		}
		for _, form := range []string{string(value) + ".0", string(value) + "e0", "0" + string(value), "+" + string(value), `"` + string(value) + `"`} {
			mutant := strings.Replace(line, fmt.Sprintf("%q:%s", name, value), fmt.Sprintf("%q:%s", name, form), 1)
			if _, ok := s.accepted([]byte(mutant)); ok || mutant == line {
				t.Errorf("%s as %s is accepted", name, form)
			}
		}
	}
}

// turned is a JSON object with its members in the opposite order.
func turned(t *testing.T, text string) string {
	dec := json.NewDecoder(strings.NewReader(text))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var members []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		members = append([]string{fmt.Sprintf("%q:%s", key, value)}, members...)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// T09: whoever sends a chain in which one event was changed, or is missing, hears at which one it breaks.
func TestABrokenChainIsReportedWhereItBreaks(t *testing.T) {
	for broken := range 5 {
		s := newStage(t)
		var chain []*threads.Event
		for i := range 5 {
			e := s.next(fmt.Sprint("Message ", i))
			s.state.Advance(e)
			if i == broken {
				forged := *e
				forged.Sig = bytes.Clone(e.Sig)
				forged.Sig[9] ^= 4
				e = &forged
			}
			chain = append(chain, e)
		}
		var body struct {
			Refusals []struct {
				Index int
				Code  string
			}
		}
		got := s.liar.push(s.a, chain...)
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body.Refusals) != 1 || body.Refusals[0].Index != broken || body.Refusals[0].Code != threads.RefusedSignature {
			t.Errorf("event %d was forged: %s", broken, got.body)
		}
		for i, e := range chain {
			if held := s.holds(e.ID) == 1; held != (i < broken) {
				t.Errorf("event %d was forged: event %d held: %v", broken, i, held)
			}
		}
	}
}
