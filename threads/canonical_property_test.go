package threads

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

// meaning spells a parsed object so that two texts have the same meaning exactly if they have the
// same spelling here: strings in hex, members ordered by the bytes of their keys.
func meaning(t testing.TB, o Object) string {
	members := map[string]string{}
	for i := range o.Len() {
		key := o.Key(i)
		raw, _ := o.Raw(key)
		var found string
		var err error
		switch raw[0] {
		case '"':
			found, _, err = o.String(key)
			found = fmt.Sprintf("S%x", found)
		case '{':
			var inner Object
			inner, _, err = o.Object(key)
			found = meaning(t, inner)
		case '[':
			var list Array
			list, _, err = o.Array(key)
			found = meaningOfList(t, list)
		case 't', 'f':
			var yes bool
			yes, _, err = o.Bool(key)
			found = strconv.FormatBool(yes)
		case 'n':
			found = string(raw)
		default:
			var n int64
			n, _, err = o.Int(key)
			found = fmt.Sprintf("I%d", n)
		}
		if err != nil {
			t.Fatalf("read %q of %q: %v", key, raw, err)
		}
		members[key] = found
	}
	return spellMembers(members)
}

func meaningOfList(t testing.TB, list Array) string {
	var items strings.Builder
	for i := range list.Len() {
		raw := list.Raw(i)
		found := string(raw)
		var err error
		switch raw[0] {
		case '"':
			found, err = list.String(i)
			found = fmt.Sprintf("S%x", found)
		case '{':
			var inner Object
			inner, err = list.Object(i)
			found = meaning(t, inner)
		case '[':
			var inner Array
			inner, err = list.Array(i)
			found = meaningOfList(t, inner)
		case 't', 'f', 'n':
		default:
			var n int64
			n, err = list.Int(i)
			found = fmt.Sprintf("I%d", n)
		}
		if err != nil {
			t.Fatalf("read element %d, %q: %v", i, raw, err)
		}
		items.WriteString(found + ",")
	}
	return "[" + items.String() + "]"
}

func spellMembers(members map[string]string) string {
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var out strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&out, "%x:%s,", key, members[key])
	}
	return "{" + out.String() + "}"
}

// spelling is a value written in some way that JSON allows, beside its meaning.
type spelling struct{ text, meaning string }

var spaces = rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t \r\n"})

func genString(t *rapid.T) spelling {
	runes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rune {
		r := rapid.OneOf(
			rapid.Rune(),
			rapid.RuneFrom([]rune{1, '\b', '\t', '\n', '\f', '\r', 0x1f, '"', '\\', '/', 0x7f, 0x80, 0x2028, 0xE000, 0xFB33, 0xFFFD, 0x10000, 0x1F600}),
			rapid.RuneFrom([]rune("abcABC019")),
		).Draw(t, "rune")
		if badRune(r, utf8.RuneLen(r)) != "" {
			return '?'
		}
		return r
	}), 0, 8).Draw(t, "runes")
	var text strings.Builder
	for _, r := range runes {
		text.WriteString(spellRune(t, r))
	}
	return spelling{`"` + text.String() + `"`, fmt.Sprintf("S%x", string(runes))}
}

func spellRune(t *rapid.T, r rune) string {
	plain := r >= 0x20 && r != '"' && r != '\\'
	ways := []string{}
	if plain {
		ways = append(ways, string(r))
	}
	if i := strings.IndexRune("\"\\/\b\f\n\r\t", r); i >= 0 {
		ways = append(ways, `\`+`"\/bfnrt`[i:i+1])
	}
	if r < 0x10000 {
		ways = append(ways, fmt.Sprintf(`\u%04x`, r), fmt.Sprintf(`\u%04X`, r))
	} else {
		ways = append(ways, fmt.Sprintf(`\u%04x\u%04x`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF))
	}
	return rapid.SampledFrom(ways).Draw(t, "way")
}

func genObject(t *rapid.T, depth int) spelling {
	members := map[string]string{}
	var keys, texts []string
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		key := genString(t)
		bare, err := hex.DecodeString(key.meaning[1:])
		if err != nil || slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, string(bare)) }) {
			continue
		}
		keys = append(keys, string(bare))
		value := genValue(t, depth+1)
		members[string(bare)] = value.meaning
		space := func() string { return spaces.Draw(t, "space") }
		texts = append(texts, space()+key.text+space()+":"+space()+value.text+space())
	}
	return spelling{"{" + strings.Join(texts, ",") + spaces.Draw(t, "space") + "}", spellMembers(members)}
}

func genValue(t *rapid.T, depth int) spelling {
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	switch {
	case kind == 0:
		word := rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		return spelling{word, word}
	case kind == 1:
		n := rapid.Int64Range(-1<<53+1, 1<<53-1).Draw(t, "n")
		return spelling{strconv.FormatInt(n, 10), fmt.Sprintf("I%d", n)}
	case kind == 2 && depth < 6:
		return genObject(t, depth)
	case kind == 3 && depth < 6:
		var texts []string
		var meant strings.Builder
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			item := genValue(t, depth+1)
			texts = append(texts, spaces.Draw(t, "space")+item.text+spaces.Draw(t, "space"))
			meant.WriteString(item.meaning + ",")
		}
		return spelling{"[" + strings.Join(texts, ",") + "]", "[" + meant.String() + "]"}
	}
	return genString(t)
}

func TestCanonicalFormIsTheOraclesAndKeepsTheMeaning(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		given := genObject(rt, 1)
		got, err := Canonicalize([]byte(given.text), MaxContent)
		if err != nil {
			rt.Fatalf("%s is refused: %v", given.text, err)
		}
		if oracle, err := jcs.Transform([]byte(given.text)); err != nil || !bytes.Equal(oracle, got) {
			rt.Fatalf("%s becomes %s; the oracle says %s, %v", given.text, got, oracle, err)
		}
		o, err := ParseCanonical(got, MaxContent)
		if err != nil {
			rt.Fatalf("canonical form %s is refused: %v", got, err)
		}
		if meant := meaning(t, o); meant != given.meaning {
			rt.Fatalf("%s means %s; want %s", given.text, meant, given.meaning)
		}
		mutant := slices.Clone(got)
		mutant[rapid.IntRange(0, len(got)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		requireOtherMeaning(t, got, mutant, given.meaning)
	})
}

// requireOtherMeaning fails if two different texts are both accepted as the same value.
func requireOtherMeaning(t testing.TB, text, mutant []byte, meant string) {
	o, err := ParseCanonical(mutant, MaxContent)
	if err == nil && !bytes.Equal(mutant, text) && meaning(t, o) == meant {
		t.Fatalf("%q and %q are both accepted and mean the same", text, mutant)
	}
}

func TestEverySmallChangeIsRefusedOrMeansSomethingElse(t *testing.T) {
	const content = `{"\n":"é€😀\"\\\u001f\r\n","F":[true,null,-1,9007199254740991],"a":{"":{},"b":[[]]}}`
	for _, text := range []string{content, sampleHeader} {
		o, err := ParseCanonical([]byte(text), MaxContent)
		if err != nil {
			t.Fatal(err)
		}
		meant := meaning(t, o)
		accepted := 0
		for _, mutant := range smallChanges(text) {
			if _, err := ParseCanonical(mutant, MaxContent); err == nil {
				accepted++
			}
			requireOtherMeaning(t, []byte(text), mutant, meant)
		}
		if accepted == 0 {
			t.Error("no change was accepted: changed letters should be")
		}
	}
}

// smallChanges drops each byte of text, flips each of its bits, puts telling bytes in its place
// and before it, and swaps it with the byte before it.
func smallChanges(text string) [][]byte {
	const telling = "\x00\x1f \"\\/{}[]:,019-+.eEnuAKk\x7f\x80\xe2\xff"
	var mutants [][]byte
	add := func(parts ...string) { mutants = append(mutants, []byte(strings.Join(parts, ""))) }
	for i := range len(text) {
		add(text[:i], text[i+1:])
		for bit := range 8 {
			add(text[:i], string([]byte{text[i] ^ 1<<bit}), text[i+1:])
		}
		for j := range len(telling) {
			add(text[:i], telling[j:j+1], text[i+1:])
			add(text[:i], telling[j:j+1], text[i:])
		}
		if i > 0 {
			add(text[:i-1], text[i:i+1], text[i-1:i], text[i+1:])
		}
	}
	return mutants
}

func TestPublishedVectors(t *testing.T) {
	refused := map[string]string{"structures.json": DecodeDuplicateKey, "values.json": DecodeNumber}
	inputs, err := filepath.Glob("testdata/jcs/input/*.json")
	if err != nil || len(inputs) != 6 {
		t.Fatalf("found %d vectors, %v; want 6", len(inputs), err)
	}
	for _, input := range inputs {
		name := filepath.Base(input)
		given := readVector(t, "input", name)
		want := readVector(t, "output", name)
		spelled := strings.Join(strings.Fields(string(readVector(t, "outhex", strings.TrimSuffix(name, ".json")+".txt"))), "")
		if spelled != hex.EncodeToString(want) {
			t.Errorf("%s: output and outhex differ", name)
		}
		if oracle, err := jcs.Transform(given); err != nil || !bytes.Equal(oracle, want) {
			t.Errorf("%s: the oracle gives %s, %v; want %s", name, oracle, err, want)
		}
		if given[0] == '[' {
			given, want = slices.Concat([]byte(`{"in":`), given, []byte(`}`)), slices.Concat([]byte(`{"in":`), want, []byte(`}`))
		}
		got, err := Canonicalize(given, MaxContent)
		if code, unfit := refused[name]; unfit {
			var bad *DecodeError
			if !errors.As(err, &bad) || bad.Code != code {
				t.Errorf("%s: got %v; want code %s", name, err, code)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
		if _, err := ParseCanonical(want, MaxContent); err != nil {
			t.Errorf("%s: the published output is refused: %v", name, err)
		}
	}
}

func readVector(t *testing.T, folder, name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata/jcs", folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func FuzzParseCanonical(f *testing.F) {
	f.Add([]byte(sampleHeader))
	f.Add([]byte("{\"\\n\":\"é\\u001f😀\",\"A\":[null,true,-1,{}],\"\uFB33\":{\"b\":[[]]}}"))
	f.Add([]byte(" { \"b\" : \"\\ud83d\\ude00\\/\" , \"a\" : [ 1 , 2 ] }\n"))
	for _, row := range refusals() {
		if len(row.text) < 100 {
			f.Add([]byte(row.text))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseCanonical(b, MaxContent)
		formed, formErr := Canonicalize(b, MaxContent)
		for _, err := range []error{err, formErr} {
			var bad *DecodeError
			if errors.As(err, &bad) && (bad.Offset < 0 || bad.Offset > len(b) || bad.Detail == "") {
				t.Fatalf("%q: error %+v points outside the text or says nothing", b, bad)
			}
		}
		if err == nil {
			meaning(t, o)
			if formErr != nil || !bytes.Equal(formed, b) {
				t.Fatalf("%q is accepted as canonical; its canonical form is %q, %v", b, formed, formErr)
			}
		}
		if formErr != nil {
			return
		}
		if _, err := ParseCanonical(formed, MaxContent); err != nil {
			t.Fatalf("canonical form %q of %q is refused: %v", formed, b, err)
		}
		if oracle, err := jcs.Transform(b); err != nil || !bytes.Equal(oracle, formed) {
			t.Fatalf("%q becomes %q; the oracle says %q, %v", b, formed, oracle, err)
		}
	})
}
