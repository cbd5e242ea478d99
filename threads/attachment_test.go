package threads

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var aDigest = strings.Repeat("A", 43)

func TestTheFilesOfAMessageAreReadAsTheyWereWritten(t *testing.T) {
	want := []Attachment{
		{Digest: aDigest, Size: 0, Type: "application/octet-stream", Name: "Plan \"Süd\" (2).pdf"},
		{Digest: aDigest, Size: 1<<53 - 1, Type: "image/svg+xml", Name: strings.Repeat("x", 255), Summary: "a\nb"},
	}
	m := Message{Thread: aDigest, Body: "see", Attachments: want}
	content := AppendMessage(nil, &m, strings.Repeat("A", 22))
	e := &Event{Header: Header{Type: TypeMessagePosted}, Content: content}
	got := EffectsOf(e).Message
	if got == nil {
		t.Fatalf("no message in %s", content)
	}
	if diff := cmp.Diff(want, got.Attachments); diff != "" {
		t.Error(diff)
	}
}

func TestAMessageWhoseFilesAreNotAsTheyMustHasNoEffect(t *testing.T) {
	file := `{"digest":"` + aDigest + `","mediaType":"image/png","name":"n","size":1,"type":"Document"}`
	effects := func(attachment string) *Message {
		content := `{"attachment":` + attachment + `,"content":"x","context":"` + aDigest + `","mediaType":"text/markdown","salt":"AAAAAAAAAAAAAAAAAAAAAA","type":"Note"}`
		return EffectsOf(&Event{Header: Header{Type: TypeMessagePosted}, Content: []byte(content)}).Message
	}
	if effects("["+file+"]") == nil {
		t.Fatal("what is well-formed has no effect")
	}
	with := func(from, to string) string { return "[" + strings.Replace(file, from, to, 1) + "]" }
	for name, attachment := range map[string]string{
		"none":               `[]`,
		"no list":            file,
		"no objects":         `["x"]`,
		"too many":           "[" + strings.Repeat(file+",", MaxAttachments) + file + "]",
		"another type":       with(`"Document"`, `"Link"`),
		"no digest":          with(`"digest":"`+aDigest+`",`, ``),
		"a short digest":     with(aDigest, "AAAA"),
		"a size below 0":     with(`"size":1`, `"size":-1`),
		"a size as text":     with(`"size":1`, `"size":"1"`),
		"no media type":      with(`image/png`, `png`),
		"parameters":         with(`image/png`, `text/plain; charset=utf-8`),
		"an upper-case type": with(`image/png`, `Image/PNG`),
		"a path":             with(`"n"`, `"../n"`),
		"an empty summary":   with(`"type"`, `"summary":"","type"`),
	} {
		if effects(attachment) != nil {
			t.Errorf("%s: %s", name, attachment)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, name := range []string{"a", "a.b.c", ".config", "日本語.pdf", "CONtract.pdf", "com10", "console", "LPT", "nul l", "a:b", strings.Repeat("x", 255)} {
		if err := FileName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "...", "a/b", `a\b`, "a\x00", "a\nb", "a\u0085", "a\u202eb", "a\u2069", "a\u200f", "\ufeffa", "a\u2029", " a", "a ", "a.",
		"con", "Con.txt", "PRN", "aux.c", "nul.", "COM1", "lpt0.x", "com²", "CONIN$", "clock$.sys", "nul .txt", strings.Repeat("x", 256), "\xff",
	} {
		if FileName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}
