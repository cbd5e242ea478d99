package threads

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each program reads one text in hex a line, decodes it as a careless reader would (bad UTF-8
// replaced) and prints what it means in the spelling of meaning, or ! if it refuses it.
const (
	nodeReader = `
const meaning = v => {
  if (v === null || v === true || v === false) return String(v);
  if (typeof v === 'string') return 'S' + Buffer.from(v, 'utf8').toString('hex');
  if (typeof v === 'number') return Number.isSafeInteger(v) ? 'I' + v : 'X' + v;
  if (Array.isArray(v)) return '[' + v.map(x => meaning(x) + ',').join('') + ']';
  const hex = k => Buffer.from(k, 'utf8').toString('hex');
  const keys = Object.keys(v).map(k => [hex(k), k]).sort((a, b) => a[0] < b[0] ? -1 : 1);
  return '{' + keys.map(([h, k]) => h + ':' + meaning(v[k]) + ',').join('') + '}';
};
const out = [];
for (const line of require('fs').readFileSync(0, 'latin1').trimEnd().split('\n')) {
  try { out.push(meaning(JSON.parse(Buffer.from(line, 'hex').toString('utf8')))); }
  catch { out.push('!'); }
}
process.stdout.write(out.join('\n') + '\n');
`
	pythonReader = `
import json, sys
def enc(s): return s.encode('utf-8', 'replace').hex()
def meaning(v):
    if v is None: return 'null'
    if v is True: return 'true'
    if v is False: return 'false'
    if isinstance(v, str): return 'S' + enc(v)
    if isinstance(v, int): return 'I%d' % v
    if isinstance(v, float): return 'X%r' % v
    if isinstance(v, list): return '[' + ''.join(meaning(x) + ',' for x in v) + ']'
    return '{' + ''.join('%s:%s,' % p for p in sorted((enc(k), meaning(x)) for k, x in v.items())) + '}'
for line in sys.stdin:
    try: print(meaning(json.loads(bytes.fromhex(line.strip()).decode('utf-8', 'replace'))))
    except (ValueError, RecursionError): print('!')
`
)

// TestAcceptedTextsMeanTheSameToNodeAndPython is row T10 of the acceptance table: two readers that
// understand a signed text differently would let one signature stand for two messages.
func TestAcceptedTextsMeanTheSameToNodeAndPython(t *testing.T) {
	cases := agreementCases()
	ours, accepted := make([]string, len(cases)), 0
	for i, text := range cases {
		ours[i] = "!"
		formed, err := Canonicalize([]byte(text), MaxContent)
		if err != nil {
			if _, err := ParseCanonical([]byte(text), MaxContent); err == nil {
				t.Errorf("%.80q is accepted as canonical and has no canonical form", text)
			}
			continue
		}
		o, err := ParseCanonical(formed, MaxContent)
		if err != nil {
			t.Fatalf("canonical form of %.80q is refused: %v", text, err)
		}
		ours[i] = meaning(t, o)
		accepted++
		given := strings.Count(text, "\uFFFD") + strings.Count(strings.ToLower(text), `\ufffd`)
		if got := strings.Count(string(formed), "\uFFFD"); got != given {
			t.Errorf("%.80q: %d × U+FFFD given, %d found after reading", text, given, got)
		}
	}
	if accepted < 100 || len(cases)-accepted < 100 {
		t.Fatalf("%d of %d cases accepted; both kinds should be many", accepted, len(cases))
	}
	for _, program := range []struct{ name, flag, source string }{
		{"node", "-e", nodeReader},
		{"python3", "-c", pythonReader},
	} {
		t.Run(program.name, func(t *testing.T) {
			theirs := readElsewhere(t, cases, program.name, program.flag, program.source)
			for i, text := range cases {
				if ours[i] != "!" && ours[i] != theirs[i] {
					t.Errorf("%.80q means\n%s here and\n%s to %s", text, ours[i], theirs[i], program.name)
				}
			}
		})
	}
	t.Logf("%d cases, %d accepted", len(cases), accepted)
}

// readElsewhere gives all texts to one run of another program.
func readElsewhere(t *testing.T, cases []string, name string, args ...string) []string {
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed and not on PATH", name)
		}
		t.Skipf("%s is not on PATH", name)
	}
	var input bytes.Buffer
	for _, text := range cases {
		fmt.Fprintf(&input, "%x\n", text)
	}
	run := exec.CommandContext(t.Context(), path, args...)
	run.Stdin, run.Stderr = &input, os.Stderr
	output, err := run.Output()
	if err != nil {
		t.Fatalf("run %s: %v", name, err)
	}
	var answers []string
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, len(output)+1)
	for lines.Scan() {
		answers = append(answers, lines.Text())
	}
	if len(answers) != len(cases) {
		t.Fatalf("%s gave %d answers to %d texts", name, len(answers), len(cases))
	}
	return answers
}

// agreementCases puts every doubtful spelling in every place, then changes good texts at random.
func agreementCases() []string {
	var cases []string
	for _, value := range doubtfulValues() {
		for _, frame := range []string{`{"a":%s}`, `{"a":[%s]}`, `{"a":[1,%s,2]}`, `{"b":{"c":%s}, "a":[]}`, ` {"a" : %s }`, `%s`, `[%s]`} {
			cases = append(cases, fmt.Sprintf(frame, value))
		}
	}
	for _, a := range doubtfulKeys() {
		for _, b := range doubtfulKeys() {
			cases = append(cases, fmt.Sprintf(`{%s:1,%s:2}`, a, b), fmt.Sprintf(`{"x":[{%s:1,"m":0,%s:2}]}`, a, b))
		}
	}
	for _, good := range []string{`{}`, `{"a":1}`, sampleHeader} {
		for _, extra := range []string{"\uFEFF", "\x00", " ", "\n", "\t", "\v", "\u00a0", "\u2028", "x", "{}", "1", ",", "}", "]", "//", "\xff", "\x1e"} {
			cases = append(cases, extra+good, good+extra, good[:1]+extra+good[1:], good[:len(good)-1]+extra+good[len(good)-1:])
		}
	}
	for _, depth := range []int{1, 2, 14, 15, 16, 17, 10_000, 10_001} {
		cases = append(cases,
			`{"a":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`,
			strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat(`}`, depth),
			strings.Repeat(`{"a":[`, depth/2)+strings.Repeat(`]}`, depth/2))
	}
	for _, row := range refusals() {
		cases = append(cases, row.text)
	}
	return append(cases, randomMutants()...)
}

func doubtfulValues() []string {
	values := []string{
		"9007199254740991", "-9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993",
		"18446744073709551616", "1e3", "1E3", "1e-1", "1.0", "1.", ".5", "0.1", "-0", "0", "-1", "00", "01", "0x10", "+1", "1_000",
		"NaN", "Infinity", "-Infinity", "undefined", "None", "True", "null", "true", "false", "nul", "truefalse", "",
		`""`, `''`, `"a"b`, `"\u0000"`, "\"\x00\"", `"\x00"`, `"\0"`, `"\a"`, `"\v"`, `"\'"`, `"\/"`, `"\u00"`, `"\u{41}"`, `"\U0041"`, `"\u+041"`, `"\u 041"`,
		`"\ud800"`, `"\udfff"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ufffd"`, `"\uFEFF"`,
		"\"\uFFFD\"", "\"\uFEFF\"", "\"\uFFFE\"", "\"\uFDD0\"", "\"\U0001FFFF\"", "\"😀\"", "\"\u2028\u2029\x7f\u0080\u200d\"", "\"e\u0301\"",
		"[1,]", "[,1]", "[1 2]", "[[[]]]", "{}", "{\"a\":1,}", "{\"__proto__\":{\"x\":1}}", "{\"constructor\":[]}", "{\"1\":1,\"0\":0,\"-1\":2}",
	}
	for c := range 0x20 {
		values = append(values, fmt.Sprintf(`"%c"`, c), fmt.Sprintf(`"\u%04x"`, c), fmt.Sprintf(`"\u%04X"`, c))
	}
	for _, bad := range []string{"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\xaf", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff"} {
		values = append(values, `"`+bad+`"`, `"a`+bad+`b"`)
	}
	return values
}

func doubtfulKeys() []string {
	return []string{
		`"k"`, `"K"`, "\"\u212a\"", `"s"`, `"S"`, `"ſ"`, `"\u017f"`, `"\u006b"`, `"key"`, `"Key"`, "\"\u212aey\"", `"ß"`, `"ẞ"`, `"ss"`,
		`"i"`, `"I"`, `"ı"`, `"İ"`, `"é"`, "\"e\u0301\"", `"É"`, `"σ"`, `"ς"`, `""`, `"\u0000"`, `"\n"`, `"10"`, `"9"`, `"__proto__"`, "\"\uFB33\"", "\"😀\"", `"\ud83d"`, "\"\xff\"",
	}
}

// randomMutants changes, drops, inserts or swaps bytes of good texts, the same ones in every run.
func randomMutants() []string {
	random := rand.New(rand.NewPCG(8785, 7493))
	const interesting = "\x00\x1f \"\\{}[]:,0129-+.eEuntfS\x7f\x80\xbf\xc3\xe2\xed\xef\xf0\xff"
	texts := []string{sampleHeader, "{\"a\":\"\\n\\\"é€😀\uFFFD\",\"b\":[0,-1,null,true],\"c\":{\"d\":{}}}", `{"u":"\u00e9\ud83d\ude00","k":1}`}
	var mutants []string
	for range 4000 {
		text := []byte(texts[random.IntN(len(texts))])
		for range 1 + random.IntN(2) {
			i, c := random.IntN(len(text)-1), interesting[random.IntN(len(interesting))]
			switch random.IntN(4) {
			case 0:
				text[i] = c
			case 1:
				text = append(text[:i], text[i+1:]...)
			case 2:
				text = append(text[:i], append([]byte{c}, text[i:]...)...)
			case 3:
				text[i], text[i+1] = text[i+1], text[i]
			}
		}
		mutants = append(mutants, string(text))
	}
	return mutants
}
