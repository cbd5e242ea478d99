package mbox

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readAll reads an archive given as text.
func readAll(t testing.TB, archive string) (mails []Mail, odd []Oddity) {
	t.Helper()
	err := Read(strings.NewReader(archive),
		func(m Mail) error { mails = append(mails, m); return nil },
		func(o Oddity) { odd = append(odd, o) })
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return mails, odd
}

// TestArchivesReadAsTheirGoldenFilesSay reads each archive of testdata, mails
// and oddities in the order they came.
func TestArchivesReadAsTheirGoldenFilesSay(t *testing.T) {
	names, err := filepath.Glob("testdata/*.mbox")
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer archive.Close()
			var got strings.Builder
			err = Read(archive,
				func(m Mail) error { show(&got, m); return nil },
				func(o Oddity) { fmt.Fprintf(&got, "! %s\n", o) })
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(name, ".mbox") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func show(w *strings.Builder, m Mail) {
	fmt.Fprintf(w, "line %d: <%s> %s\n", m.Line, m.MessageID, m.Date.Format(time.RFC3339))
	fmt.Fprintf(w, "from %q <%s>, subject %q\n", m.From.Name, m.From.Addr, m.Subject)
	if len(m.InReplyTo)+len(m.References) > 0 {
		fmt.Fprintf(w, "in reply to %q, references %q\n", m.InReplyTo, m.References)
	}
	for line := range strings.Lines(m.Body) {
		fmt.Fprintf(w, "    %s\n", strings.TrimSuffix(line, "\n"))
	}
	w.WriteString("\n")
}

func mailText(n int, body string) string {
	return fmt.Sprintf("From x Mon Mar  3 09:00:00 2025\nMessage-ID: <%d@x>\nFrom: a@x\nDate: Mon, 3 Mar 2025 09:00:00 +0900\nSubject: s\n\n%s\n\n", n, body)
}

func TestLongTextIsCutAtALineAndSaysByHowMuch(t *testing.T) {
	line := `a line with "quotes" and a \ in it` + "\n"
	attached := "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + strings.Repeat(line, 3000) +
		"\n--b\nContent-Type: image/png; name=chart.png\n\nx\n--b--"
	archive := strings.Replace(mailText(1, attached), "\n\nContent-Type", "\nContent-Type", 1)
	mails, odd := readAll(t, archive)
	body := mails[0].Body
	if n := escaped(body); n > BodyLimit || n < BodyLimit-200 {
		t.Errorf("body takes %d bytes, limit %d", n, BodyLimit)
	}
	kept := strings.Count(body, line)
	left := 3000*len(line) - kept*len(line) - len("\n")
	tail := fmt.Sprintf("%s\n[%d bytes of this mail were left out here: it was too long]\n\n[attachment: chart.png, image/png, 1 bytes]", line, left)
	if !strings.HasSuffix(body, tail) {
		t.Errorf("body ends in %q, want %q", body[len(body)-300:], tail)
	}
	want := []Oddity{{1, fmt.Sprintf("a long text was cut: %d bytes left out", left)}}
	if diff := cmp.Diff(want, odd); diff != "" {
		t.Errorf("oddities (-want +got)\n%s", diff)
	}
}

func TestLongLineIsCutBetweenLetters(t *testing.T) {
	mails, odd := readAll(t, mailText(1, strings.Repeat("ü", BodyLimit)))
	text, _, _ := strings.Cut(mails[0].Body, "\n")
	if strings.Trim(text, "ü") != "" || len(odd) != 1 || escaped(mails[0].Body) > BodyLimit {
		t.Errorf("cut to %d bytes ending %q, oddities %v", len(text), text[len(text)-8:], odd)
	}
}

func TestMailOverTheLimitIsLeftOutAndTheNextIsRead(t *testing.T) {
	archive := mailText(1, "before") + mailText(2, strings.Repeat("x", mailLimit)) + mailText(3, "after")
	mails, odd := readAll(t, archive)
	if len(mails) != 2 || mails[0].Body != "before" || mails[1].Body != "after" {
		t.Fatalf("read %d mails", len(mails))
	}
	if len(odd) != 1 || odd[0].Line != 9 || !strings.Contains(odd[0].What, "left out") {
		t.Errorf("oddities %v", odd)
	}
}

func TestMailOverTheLimitIsNotHeld(t *testing.T) {
	s := splitter{begin: 1}
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for range 4 * mailLimit / len(chunk) {
		s.add(chunk, false)
	}
	if cap(s.data) > 2*mailLimit {
		t.Errorf("%d bytes held", cap(s.data))
	}
}

func TestLineEndsDoNotMatter(t *testing.T) {
	archive := mailText(1, "one\n>From two") + mailText(2, "three")
	want, _ := readAll(t, archive)
	got, odd := readAll(t, "\xef\xbb\xbf"+strings.ReplaceAll(archive, "\n", "\r\n"))
	if diff := cmp.Diff(want, got); diff != "" || len(odd) > 0 {
		t.Errorf("oddities %v (-unix +dos)\n%s", odd, diff)
	}
}

func TestReadStopsAtTheFirstErrorOfItsCaller(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := Read(strings.NewReader(mailText(1, "a")+mailText(2, "b")+mailText(3, "c")),
		func(Mail) error { calls++; return stop }, func(Oddity) {})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func TestReadErrorNamesTheLine(t *testing.T) {
	broken := errors.New("disk gone")
	archive := mailText(1, "a")
	read := func(r *strings.Reader) error {
		return Read(iotest.TimeoutReader(r), func(Mail) error { return nil }, func(Oddity) {})
	}
	if err := read(strings.NewReader(archive + strings.Repeat("text\n", 40_000))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error %v, want %v", err, iotest.ErrTimeout)
	}
	err := Read(iotest.ErrReader(broken), func(Mail) error { return nil }, func(Oddity) {})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "read archive at line 0") {
		t.Errorf("error %v", err)
	}
}

func TestTextWithoutMailsIsNoArchive(t *testing.T) {
	each := func(Mail) error { t.Error("a mail"); return nil }
	if err := Read(strings.NewReader("Dear diary,\nFrom now on I write.\n"), each, func(Oddity) {}); !errors.Is(err, ErrNotArchive) {
		t.Errorf("text: %v", err)
	}
	if err := Read(bytes.NewReader(nil), each, func(Oddity) {}); err != nil {
		t.Errorf("empty: %v", err)
	}
}

func TestKeyTellsMailsWithoutAnIDApart(t *testing.T) {
	strip := strings.NewReplacer("Message-ID: <1@x>\n", "", "Message-ID: <2@x>\n", "")
	mails, _ := readAll(t, strip.Replace(mailText(1, "same")+mailText(2, "same")+mailText(2, "other")))
	if mails[0].Key() != mails[1].Key() || mails[0].Key() == mails[2].Key() {
		t.Errorf("keys %q, %q, %q", mails[0].Key(), mails[1].Key(), mails[2].Key())
	}
}

func TestHugeHeaderIsCutAndItsMailRead(t *testing.T) {
	mails, odd := readAll(t, strings.Replace(mailText(1, "text"), "Date:", strings.Repeat("X-Pad: 0123456789\n", 80_000)+"Date:", 1))
	if len(mails) != 1 || mails[0].Body != "text" || mails[0].MessageID != "1@x" {
		t.Fatalf("read %+v", mails)
	}
	want := []Oddity{{1, "a header over 1048576 bytes, the rest of it was left out"}, {1, "no Date"}}
	if diff := cmp.Diff(want, odd); diff != "" {
		t.Errorf("oddities (-want +got)\n%s", diff)
	}
}
