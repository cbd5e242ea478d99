package mbox

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// FuzzRead holds Read to its promises on any bytes at all.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.mbox")
	if err != nil || len(names) == 0 {
		f.Fatalf("no archives to begin with: %v", err)
	}
	for _, name := range names {
		archive, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for mail := range bytes.SplitSeq(archive, []byte("\n\nFrom ")) {
			f.Add(append([]byte("From "), mail...)) // small seeds are bent faster
		}
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		var mails []Mail
		last := 0
		err := Read(bytes.NewReader(archive), func(m Mail) error {
			checkMail(t, m, last)
			last = m.Line
			mails = append(mails, m)
			return nil
		}, func(o Oddity) {
			if o.Line < 1 || !isText(o.What) || strings.Contains(o.What, "\n") {
				t.Errorf("oddity %+v", o)
			}
		})
		if err != nil && (err != ErrNotArchive || len(mails) > 0) {
			t.Errorf("%d mails and error %v", len(mails), err)
		}
		Thread(mails)
	})
}

func checkMail(t *testing.T, m Mail, after int) {
	t.Helper()
	ids := append(append([]string{m.MessageID}, m.InReplyTo...), m.References...)
	for _, s := range append(ids, m.From.Name, m.From.Addr, m.Subject) {
		if !isText(s) || strings.ContainsAny(s, "\n\t\f") {
			t.Errorf("not a line of text: %q", s)
		}
	}
	for _, s := range append(ids, m.From.Name, m.From.Addr) {
		if len(s) > idLimit {
			t.Errorf("%d bytes: %q", len(s), s)
		}
	}
	if !isText(m.Body) || escaped(m.Body) > BodyLimit || len(m.Subject) > subjectLimit {
		t.Errorf("text of %d bytes, subject of %d: %q", escaped(m.Body), len(m.Subject), m.Body)
	}
	if m.Line <= after || len(m.Digest) != 64 || len(m.InReplyTo) > idsLimit || len(m.References) > idsLimit {
		t.Errorf("line %d after %d, digest %q, %d and %d ids", m.Line, after, m.Digest, len(m.InReplyTo), len(m.References))
	}
	if !m.Date.IsZero() && (m.Date.Year() < 1970 || m.Date.Year() >= 2100) {
		t.Errorf("date %v", m.Date)
	}
}

func isText(s string) bool {
	control := func(r rune) bool { return r < ' ' && !strings.ContainsRune("\n\t\f", r) || r == 0x7f }
	return utf8.ValidString(s) && !strings.ContainsFunc(s, control)
}

// TestWhatAWriterQuotesIsReadBack writes archives as a careful program would.
func TestWhatAWriterQuotesIsReadBack(t *testing.T) {
	line := rapid.OneOf(
		rapid.SampledFrom([]string{"", "From here", ">From there", ">>From", "From x Mon Mar  3 09:00:00 2025", "From: y", "--b", "> quote", "."}),
		rapid.StringOf(rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.P)),
	)
	rapid.Check(t, func(t *rapid.T) {
		bodies := rapid.SliceOfN(rapid.SliceOfN(line, 1, 8), 1, 5).Draw(t, "bodies")
		quoted := rapid.Bool().Draw(t, "quoted-printable")
		var archive strings.Builder
		var want []string
		for i, lines := range bodies {
			body := strings.Trim(strings.Join(lines, "\n"), "\n")
			want = append(want, body)
			encoding := "8bit"
			if quoted {
				encoding, body = "quoted-printable", encodeQuoted(t, body)
			}
			fmt.Fprintf(&archive, "From x Mon Mar  3 09:00:00 2025\nMessage-ID: <%d@x>\nContent-Transfer-Encoding: %s\n\n", i, encoding)
			for l := range strings.Lines(body + "\n") {
				if strings.HasPrefix(strings.TrimLeft(l, ">"), "From ") {
					l = ">" + l
				}
				archive.WriteString(l)
			}
			archive.WriteString("\n")
		}
		var got []string
		err := Read(strings.NewReader(archive.String()), func(m Mail) error { got = append(got, m.Body); return nil }, func(Oddity) {})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-written +read)\n%s", diff)
		}
	})
}

func encodeQuoted(t *rapid.T, s string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}
