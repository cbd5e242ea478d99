package threads

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"
)

const sampleHeader = `{"actor":"https://acme.example/people/Zm9vYmFyYmF6cXV4cXV1eA","after":[["beta.example",3435973836,17],["gamma.example",4294967299,4]],"channel":"mCq1xK0m8r2oEw6cFq2Zq1v8S0wq7yJw0m5tX9c4bAo","content":"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg","control":[7,"Xr4ilOzQ4PCOq3aQ0qbuaQ5NnC0rJ1K1T7m1gVb6yVY"],"epoch":30064771072,"key":"k1","log":"data","origin":"acme.example","prev":"","seq":1,"time":3700000000000000,"type":"message.posted","v":1}`

func TestParsedObjectGivesItsValues(t *testing.T) {
	text := `{"\n":"first","after":[["a.example",1,2],[]],"flag":true,"inner":{"n":-5,"s":"a\"\\\u001f\n€😀"},"least":-9007199254740991,"most":9007199254740991,"none":null,"zero":0}`
	o, err := ParseCanonical([]byte(text), MaxContent)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range o.Len() {
		keys = append(keys, o.Key(i))
		if !o.Has(o.Key(i)) {
			t.Errorf("Has(%q) is false for a key of the object", o.Key(i))
		}
	}
	wantKeys := []string{"\n", "after", "flag", "inner", "least", "most", "none", "zero"}
	if diff := cmp.Diff(wantKeys, keys); diff != "" {
		t.Error(diff)
	}
	inner, _, innerErr := o.Object("inner")
	after, _, afterErr := o.Array("after")
	pair, pairErr := after.Array(0)
	empty, emptyErr := after.Array(1)
	if err := errors.Join(innerErr, afterErr, pairErr, emptyErr); err != nil {
		t.Fatal(err)
	}
	first, _, _ := o.String("\n")
	s, _, _ := inner.String("s")
	n, _, _ := inner.Int("n")
	least, _, _ := o.Int("least")
	most, _, _ := o.Int("most")
	flag, _, _ := o.Bool("flag")
	server, _ := pair.String(0)
	seq, _ := pair.Int(2)
	none, _ := o.Raw("none")
	got := []any{first, s, n, least, most, flag, server, seq, string(none), pair.Len(), empty.Len(), string(after.Raw(0))}
	want := []any{
		"first", "a\"\\\x1f\n€😀", int64(-5), int64(-1<<53 + 1), int64(1<<53 - 1), true,
		"a.example", int64(2), "null", 3, 0, `["a.example",1,2]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, absent := range []string{"", "a", "Flag", "zzz", `\n`} {
		if _, present, err := o.String(absent); present || err != nil {
			t.Errorf("String(%q) says present=%v, err=%v; the object has no such key", absent, present, err)
		}
	}
}

func TestObjectsInArraysAreRead(t *testing.T) {
	o, err := ParseCanonical([]byte(`{"l":[{},{"a":[{"b":"}"}],"c":"]"}]}`), MaxContent)
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := o.Array("l")
	second, err := list.Object(1)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := second.String("c")
	if c != "]" || err != nil || second.Len() != 2 {
		t.Errorf("got %q, %v, %d members; want \"]\" and 2 members", c, err, second.Len())
	}
}

func TestWrongTypesAreNamedWithTheirPlace(t *testing.T) {
	o, err := ParseCanonical([]byte(`{"a":{"x/~y":[1,"s",null,{}]},"b":false,"f":1}`), MaxContent)
	if err != nil {
		t.Fatal(err)
	}
	a, _, _ := o.Object("a")
	list, _, err := a.Array("x/~y")
	if err != nil {
		t.Fatal(err)
	}
	third := func(_ any, _ bool, err error) error { return err }
	second := func(_ any, err error) error { return err }
	for _, row := range []struct {
		err        error
		code, path string
	}{
		{third(o.String("a")), DecodeType, "/a"},
		{third(o.Int("b")), DecodeType, "/b"},
		{third(o.Bool("f")), DecodeType, "/f"},
		{third(o.Object("b")), DecodeType, "/b"},
		{third(o.Array("a")), DecodeType, "/a"},
		{third(a.String("x/~y")), DecodeType, "/a/x~1~0y"},
		{second(list.String(0)), DecodeType, "/a/x~1~0y/0"},
		{second(list.Int(1)), DecodeType, "/a/x~1~0y/1"},
		{second(list.Int(2)), DecodeType, "/a/x~1~0y/2"},
		{second(list.Array(3)), DecodeType, "/a/x~1~0y/3"},
		{second(list.Object(2)), DecodeType, "/a/x~1~0y/2"},
		{second(list.Int(4)), DecodeMissing, "/a/x~1~0y/4"},
		{second(list.String(-1)), DecodeMissing, "/a/x~1~0y/-1"},
	} {
		var bad *DecodeError
		if !errors.As(row.err, &bad) || bad.Code != row.code || bad.Path != row.path {
			t.Errorf("got %v; want code %s at %s", row.err, row.code, row.path)
		}
	}
	if raw := list.Raw(4); raw != nil {
		t.Errorf("Raw beyond the end gave %q; want nil", raw)
	}
}

// refusals are texts that no event may hold, however they are spelled, with the code that both
// ParseCanonical and Canonicalize give.
func refusals() map[string]struct{ text, code string } {
	nested := func(n int) string {
		return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
	}
	return map[string]struct{ text, code string }{
		"nothing":               {"", DecodeSyntax},
		"an array":              {"[]", DecodeSyntax},
		"a string":              {`"a"`, DecodeSyntax},
		"byte order mark":       {"\uFEFF{}", DecodeSyntax},
		"cut object":            {`{"a":1`, DecodeSyntax},
		"cut key":               {`{"`, DecodeSyntax},
		"cut key after another": {`{"a":1,"b`, DecodeSyntax},
		"cut string":            {`{"a":"b`, DecodeSyntax},
		"cut escape":            {`{"a":"\`, DecodeSyntax},
		"cut unicode escape":    {`{"a":"\u00`, DecodeSyntax},
		"comma at end":          {`{"a":1,}`, DecodeSyntax},
		"comma at end of array": {`{"a":[1,]}`, DecodeSyntax},
		"comma at start":        {`{,"a":1}`, DecodeSyntax},
		"missing comma":         {`{"a":[1"b"]}`, DecodeSyntax},
		"missing colon":         {`{"a"1}`, DecodeSyntax},
		"missing value":         {`{"a":}`, DecodeSyntax},
		"wrong bracket":         {`{"a":[1}}`, DecodeSyntax},
		"bare key":              {`{a:1}`, DecodeSyntax},
		"single quotes":         {`{'a':1}`, DecodeSyntax},
		"comment":               {`{"a":1/**/}`, DecodeSyntax},
		"capital literal":       {`{"a":True}`, DecodeSyntax},
		"long literal":          {`{"a":truely}`, DecodeSyntax},
		"NaN":                   {`{"a":NaN}`, DecodeSyntax},
		"plus":                  {`{"a":+1}`, DecodeSyntax},
		"raw control":           {"{\"a\":\"\x1f\"}", DecodeSyntax},
		"raw newline":           {"{\"a\":\"\n\"}", DecodeSyntax},
		"raw NUL":               {"{\"a\":\"\x00\"}", DecodeSyntax},
		"NUL between":           {"{\x00\"a\":1}", DecodeSyntax},
		"unknown escape":        {`{"a":"\x41"}`, DecodeSyntax},
		"bad hex":               {`{"a":"\u00g0"}`, DecodeSyntax},
		"trailing object":       {`{}{}`, DecodeTrailing},
		"trailing bracket":      {`{}}`, DecodeTrailing},
		"trailing NUL":          {"{}\x00", DecodeTrailing},
		"escaped NUL":           {`{"a":"\u0000"}`, DecodeText},
		"escaped NUL in key":    {`{"\u0000":1}`, DecodeText},
		"invalid UTF-8":         {"{\"a\":\"\xff\"}", DecodeText},
		"overlong UTF-8":        {"{\"a\":\"\xc0\xaf\"}", DecodeText},
		"cut UTF-8":             {"{\"a\":\"\xe2\x82\"}", DecodeText},
		"surrogate as UTF-8":    {"{\"a\":\"\xed\xa0\x80\"}", DecodeText},
		"beyond Unicode":        {"{\"a\":\"\xf4\x90\x80\x80\"}", DecodeText},
		"high half":             {`{"a":"\ud800"}`, DecodeText},
		"high half and text":    {`{"a":"\ud800\u0041"}`, DecodeText},
		"low half":              {`{"a":"\udc00"}`, DecodeText},
		"halves reversed":       {`{"a":"\udc00\ud800"}`, DecodeText},
		"half in key":           {`{"\ud83d":1}`, DecodeText},
		"noncharacter":          {"{\"a\":\"\uFFFE\"}", DecodeText},
		"noncharacter FDD0":     {"{\"a\":\"\uFDD0\"}", DecodeText},
		"last noncharacter":     {"{\"a\":\"\U0010FFFF\"}", DecodeText},
		"fraction":              {`{"a":1.0}`, DecodeNumber},
		"exponent":              {`{"a":1e3}`, DecodeNumber},
		"capital exponent":      {`{"a":1E3}`, DecodeNumber},
		"minus zero":            {`{"a":-0}`, DecodeNumber},
		"leading zero":          {`{"a":01}`, DecodeNumber},
		"negative leading zero": {`{"a":-01}`, DecodeNumber},
		"minus alone":           {`{"a":-}`, DecodeNumber},
		"2^53":                  {`{"a":9007199254740992}`, DecodeNumber},
		"2^53+1":                {`{"a":9007199254740993}`, DecodeNumber},
		"-2^53":                 {`{"a":-9007199254740992}`, DecodeNumber},
		"2^64+1":                {`{"a":18446744073709551617}`, DecodeNumber},
		"1000 digits":           {`{"a":1` + strings.Repeat("0", 999) + `}`, DecodeNumber},
		"duplicate key":         {`{"a":1,"a":1}`, DecodeDuplicateKey},
		"duplicate escaped key": {`{"\n":1,"\n":2}`, DecodeDuplicateKey},
		"duplicate inner key":   {`{"a":[{"b":1,"b":2}]}`, DecodeDuplicateKey},
		"case variant":          {`{"A":1,"a":1}`, DecodeDuplicateKey},
		"distant case variant":  {`{"A":1,"Z":1,"a":1}`, DecodeDuplicateKey},
		"inner case variant":    {`{"x":{"Seq":1,"b":2,"seq":1}}`, DecodeDuplicateKey},
		"long s":                {`{"s":1,"ſ":1}`, DecodeDuplicateKey},
		"long s, capital":       {`{"S":1,"ſ":1}`, DecodeDuplicateKey},
		"Kelvin sign":           {"{\"k\":1,\"\u212a\":1}", DecodeDuplicateKey},
		"Greek sigmas":          {`{"ς":1,"σ":1}`, DecodeDuplicateKey},
		"sharp s":               {`{"ß":1,"ẞ":1}`, DecodeDuplicateKey},
		"depth 17":              {nested(17), DecodeTooDeep},
		"depth 10001":           {nested(10_001), DecodeTooDeep},
		"unclosed 10001":        {`{"a":` + strings.Repeat("[", 10_000), DecodeTooDeep},
		"objects 10001":         {strings.Repeat(`{"a":`, 10_001), DecodeTooDeep},
		"too large":             {`{"a":"` + strings.Repeat("x", MaxContent) + `"}`, DecodeTooLarge},
	}
}

func TestWhatNoEventMayHoldIsRefused(t *testing.T) {
	for name, row := range refusals() {
		var bad *DecodeError
		if _, err := ParseCanonical([]byte(row.text), MaxContent); !errors.As(err, &bad) || bad.Code != row.code {
			t.Errorf("%s: ParseCanonical says %v; want code %s", name, err, row.code)
		}
		if _, err := Canonicalize([]byte(row.text), MaxContent); !errors.As(err, &bad) || bad.Code != row.code {
			t.Errorf("%s: Canonicalize says %v; want code %s", name, err, row.code)
		}
	}
}

func TestOtherSpellingsAreRefusedOnTheWireAndCanonicalized(t *testing.T) {
	for _, row := range []struct{ text, code, want string }{
		{`{ }`, DecodeSpacing, `{}`},
		{`{"a": 1}`, DecodeSpacing, `{"a":1}`},
		{`{"a" :1}`, DecodeSpacing, `{"a":1}`},
		{"{\"a\":[1,\r\n\t2 , {\n}]}", DecodeSpacing, `{"a":[1,2,{}]}`},
		{" {}", DecodeSpacing, `{}`},
		{"{}\n", DecodeTrailing, `{}`},
		{`{"b":1,"a":2}`, DecodeOrder, `{"a":2,"b":1}`},
		{`{"aa":1,"a":{"d":[],"c":0}}`, DecodeOrder, `{"a":{"c":0,"d":[]},"aa":1}`},
		{"{\"\uFB33\":1,\"😀\":2}", DecodeOrder, "{\"😀\":2,\"\uFB33\":1}"},
		{`{"!":1,"\n":2}`, DecodeOrder, `{"\n":2,"!":1}`},
		{`{"a":"\u0041"}`, DecodeEscape, `{"a":"A"}`},
		{`{"a":"\/"}`, DecodeEscape, `{"a":"/"}`},
		{`{"a":"\u000a"}`, DecodeEscape, `{"a":"\n"}`},
		{`{"a":"\u001F"}`, DecodeEscape, `{"a":"\u001f"}`},
		{`{"a":"\u000B"}`, DecodeEscape, `{"a":"\u000b"}`},
		{`{"a":"\u0022\u005c"}`, DecodeEscape, `{"a":"\"\\"}`},
		{`{"a":"\ud83d\ude00"}`, DecodeEscape, `{"a":"😀"}`},
		{`{"a":"\uFFFD"}`, DecodeEscape, "{\"a\":\"\uFFFD\"}"},
		{`{"\u0061":1}`, DecodeEscape, `{"a":1}`},
		{`{"a":"\u007f\u2028"}`, DecodeEscape, "{\"a\":\"\x7f\u2028\"}"},
	} {
		var bad *DecodeError
		if _, err := ParseCanonical([]byte(row.text), MaxContent); !errors.As(err, &bad) || bad.Code != row.code {
			t.Errorf("%q: ParseCanonical says %v; want code %s", row.text, err, row.code)
		}
		got, err := Canonicalize([]byte(row.text), MaxContent)
		if err != nil || string(got) != row.want {
			t.Errorf("%q: Canonicalize gives %q, %v; want %q", row.text, got, err, row.want)
		}
		if oracle, err := jcs.Transform([]byte(row.text)); err != nil || !bytes.Equal(oracle, got) {
			t.Errorf("%q: the oracle gives %q, %v; we give %q", row.text, oracle, err, got)
		}
	}
}

func TestErrorsPointToTheirPlace(t *testing.T) {
	for _, row := range []struct {
		text, path string
		offset     int
	}{
		{`{"after":[["a",1,2],["b",1.5,2]]}`, "/after/1/1", 25},
		{`{"a":{"b":1,"b":2}}`, "/a/b", 15},
		{`{"a":{"b/c":1,"b~":"\ud800"}}`, "/a/b~0", 20},
		{`{"a":1,"A":2}`, "/A", 10},
		{`{"A":1,"a":2}`, "/a", 10},
		{`{"x":[],"` + strings.Repeat("€", 30) + `":-0}`, "/" + strings.Repeat("€", 21) + "…", 101},
		{`{"a":[{},{}]]`, "/a", 12},
	} {
		_, err := ParseCanonical([]byte(row.text), MaxContent)
		var bad *DecodeError
		if !errors.As(err, &bad) {
			t.Errorf("%s is accepted", row.text)
			continue
		}
		if row.path != bad.Path || row.offset != bad.Offset {
			t.Errorf("%s: got path %s, offset %d; want %s, %d", row.text, bad.Path, bad.Offset, row.path, row.offset)
		}
	}
}

func TestDepthSixteenAndFullSizeAreAccepted(t *testing.T) {
	deep := `{"a":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`
	full := `{"a":"` + strings.Repeat("x", MaxHeader-8) + `"}`
	for _, text := range []string{deep, full, sampleHeader} {
		o, err := ParseCanonical([]byte(text), MaxHeader)
		if err != nil || o.Len() == 0 {
			t.Errorf("%.40s… is refused: %v", text, err)
		}
	}
}

func TestTextAndIdentifierLimits(t *testing.T) {
	for _, row := range []struct{ text, textCode, identifierCode string }{
		{"alice@acme.example", "", ""},
		{"\uFFFD é 😀\n", "", ""},
		{strings.Repeat("x", MaxIdentifier), "", ""},
		{"", "", DecodeIdentifier},
		{strings.Repeat("x", MaxIdentifier+1), "", DecodeIdentifier},
		{"e\u0301", "", DecodeIdentifier},
		{"\u212a", "", DecodeIdentifier},
		{"a\x00", DecodeText, DecodeText},
		{"a\xff", DecodeText, DecodeText},
		{"\xed\xa0\x80", DecodeText, DecodeText},
		{"\uFFFF", DecodeText, DecodeText},
	} {
		for _, check := range []struct {
			err  error
			want string
		}{{CheckText(row.text), row.textCode}, {CheckIdentifier(row.text), row.identifierCode}} {
			var bad *DecodeError
			if errors.As(check.err, &bad); (bad == nil) != (check.want == "") || bad != nil && bad.Code != check.want {
				t.Errorf("%.20q: got %v; want code %q", row.text, check.err, check.want)
			}
		}
	}
}

func BenchmarkParseCanonicalHeader(b *testing.B) {
	text := []byte(sampleHeader)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCanonical(text, MaxHeader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteCanonicalHeader(b *testing.B) {
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		text = writeSampleHeader(text[:0])
	}
	b.SetBytes(int64(len(text)))
}

// writeSampleHeader writes sampleHeader as an encoder of one event type does.
func writeSampleHeader(dst []byte) []byte {
	dst = append(dst, `{"actor":`...)
	dst = AppendString(dst, "https://acme.example/people/Zm9vYmFyYmF6cXV4cXV1eA")
	dst = append(dst, `,"after":[[`...)
	dst = AppendString(dst, "beta.example")
	dst = append(dst, ',')
	dst = AppendInt(dst, 3435973836)
	dst = append(dst, ',')
	dst = AppendInt(dst, 17)
	dst = append(dst, `],[`...)
	dst = AppendString(dst, "gamma.example")
	dst = append(dst, ',')
	dst = AppendInt(dst, 4294967299)
	dst = append(dst, ',')
	dst = AppendInt(dst, 4)
	dst = append(dst, `]],"channel":`...)
	dst = AppendString(dst, "mCq1xK0m8r2oEw6cFq2Zq1v8S0wq7yJw0m5tX9c4bAo")
	dst = append(dst, `,"content":`...)
	dst = AppendString(dst, "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")
	dst = append(dst, `,"control":[`...)
	dst = AppendInt(dst, 7)
	dst = append(dst, ',')
	dst = AppendString(dst, "Xr4ilOzQ4PCOq3aQ0qbuaQ5NnC0rJ1K1T7m1gVb6yVY")
	dst = append(dst, `],"epoch":`...)
	dst = AppendInt(dst, 30064771072)
	dst = append(dst, `,"key":`...)
	dst = AppendString(dst, "k1")
	dst = append(dst, `,"log":"data","origin":`...)
	dst = AppendString(dst, "acme.example")
	dst = append(dst, `,"prev":`...)
	dst = AppendString(dst, "")
	dst = append(dst, `,"seq":`...)
	dst = AppendInt(dst, 1)
	dst = append(dst, `,"time":`...)
	dst = AppendInt(dst, 3700000000000000)
	dst = append(dst, `,"type":`...)
	dst = AppendString(dst, "message.posted")
	return append(dst, `,"v":1}`...)
}

func TestWrittenHeaderIsCanonical(t *testing.T) {
	if diff := cmp.Diff(sampleHeader, string(writeSampleHeader(nil))); diff != "" {
		t.Error(diff)
	}
}
