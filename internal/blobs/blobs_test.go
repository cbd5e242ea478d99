package blobs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"meridian/internal/blobs"
)

func open(t *testing.T) (*blobs.Dir, string) {
	t.Helper()
	root := t.TempDir()
	d, err := blobs.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return d, root
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// files are all regular files below a directory.
func files(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func holds(t *testing.T, d *blobs.Dir, want []byte) bool {
	t.Helper()
	f, err := d.Open(digest(want))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	return true
}

func TestBytesAreVisibleOnceTheyAreKeptAndNotBefore(t *testing.T) {
	d, root := open(t)
	want := bytes.Repeat([]byte("kaze"), 1000)
	in, err := d.Receive(bytes.NewReader(want), 4000)
	if err != nil {
		t.Fatal(err)
	}
	if in.Digest != digest(want) || in.Size != 4000 || !bytes.Equal(in.Head, want[:512]) {
		t.Errorf("received %s, %d bytes, head of %d", in.Digest, in.Size, len(in.Head))
	}
	if holds(t, d, want) {
		t.Error("visible before it is kept")
	}
	for range 2 { // the second time it replaces its like
		if in, err = d.Receive(bytes.NewReader(want), 4000); err != nil {
			t.Fatal(err)
		}
		if err := in.Keep(); err != nil {
			t.Fatal(err)
		}
	}
	if size, err := d.Check(in.Digest); !holds(t, d, want) || size != 4000 || err != nil {
		t.Errorf("not kept: %d bytes, %v", size, err)
	}
	if err := errors.Join(d.Remove(in.Digest), d.Remove(in.Digest)); err != nil {
		t.Error(err)
	}
	if left := files(t, root); len(left) != 1 || filepath.Base(filepath.Dir(left[0])) != "tmp" {
		t.Errorf("left: %v; want the one that was not kept", left)
	}
}

func TestWhatIsTooLargeOrBreaksOffLeavesNothing(t *testing.T) {
	d, root := open(t)
	if _, err := d.Receive(strings.NewReader("12345"), 4); !errors.Is(err, blobs.ErrTooLarge) {
		t.Errorf("5 of 4 bytes: %v", err)
	}
	if _, err := d.Receive(iotest.TimeoutReader(strings.NewReader(strings.Repeat("x", 10_000))), 1<<20); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("broken off: %v", err)
	}
	if left := files(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestATransferGoesOnWhereItStopped(t *testing.T) {
	d, root := open(t)
	want := []byte("first half, second half")
	for i, piece := range [][]byte{want[:11], want[11:]} {
		p, err := d.Resume("channel/file")
		if err != nil {
			t.Fatal(err)
		}
		if p.Size() != int64(i*11) {
			t.Errorf("resumed at %d", p.Size())
		}
		if _, err := p.Write(piece); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := p.Keep(digest(want)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !holds(t, d, want) || len(files(t, root)) != 1 {
		t.Errorf("files: %v", files(t, root))
	}
}

func TestWrongBytesAreDroppedAndOtherTransfersAreAnothers(t *testing.T) {
	d, _ := open(t)
	want := []byte("what was promised")
	p, err := d.Resume("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("what was not here")); err != nil {
		t.Fatal(err)
	}
	other, err := d.Resume("b")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Size() != 0 {
		t.Error("one transfer's bytes are another's")
	}
	if err := p.Keep(digest(want)); !errors.Is(err, blobs.ErrWrong) || p.Size() != 0 {
		t.Errorf("wrong bytes: %v, %d left", err, p.Size())
	}
	if holds(t, d, want) {
		t.Error("wrong bytes are visible")
	}
	if _, err := p.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Keep(digest(want)), p.Drop()); err != nil {
		t.Fatal(err)
	}
	if !holds(t, d, want) {
		t.Error("the right ones are not")
	}
}

func TestFlippedBitsAreFound(t *testing.T) {
	d, root := open(t)
	in, err := d.Receive(strings.NewReader("as it was"), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Keep(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files(t, root)[0], []byte("as it vas"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Check(in.Digest); !errors.Is(err, blobs.ErrWrong) {
		t.Errorf("flipped: %v", err)
	}
}

func TestNoDigestLeadsOutOfTheDirectory(t *testing.T) {
	d, _ := open(t)
	for _, bad := range []string{"", "../../etc/passwd", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("../", 15), "tmp"} {
		_, err := d.Open(bad)
		_, checked := d.Check(bad)
		if !errors.Is(err, fs.ErrNotExist) || !errors.Is(d.Remove(bad), fs.ErrNotExist) || !errors.Is(checked, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAbandonedTemporariesAreSweptAndOthersAreNot(t *testing.T) {
	d, root := open(t)
	if _, err := d.Receive(strings.NewReader("abandoned"), 100); err != nil {
		t.Fatal(err)
	}
	in, err := d.Receive(strings.NewReader("kept"), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Keep(); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Sweep(time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("swept %d of an hour ago, %v", n, err)
	}
	if n, err := d.Sweep(time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if left := files(t, root); len(left) != 1 || !holds(t, d, []byte("kept")) {
		t.Errorf("left: %v", left)
	}
}

func TestEveryFileIsListedButNewOnesAlsoThroughALink(t *testing.T) {
	_, root := open(t)
	link := filepath.Join(t.TempDir(), "files")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	d, err := blobs.Open(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "two"} {
		in, err := d.Receive(strings.NewReader(content), 100)
		if err != nil {
			t.Fatal(err)
		}
		if content == "two" { // stays on its way in
			break
		}
		if err := in.Keep(); err != nil {
			t.Fatal(err)
		}
	}
	listed := func(since time.Time) (all []string) {
		if err := d.Each(since, func(digest string) error { all = append(all, digest); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := listed(time.Now().Add(time.Hour)); len(all) != 1 || all[0] != digest([]byte("one")) {
		t.Errorf("listed: %v", all)
	}
	if all := listed(time.Now().Add(-time.Hour)); len(all) != 0 {
		t.Errorf("new ones are listed: %v", all)
	}
	if n, err := d.Pending(); n != 3 || err != nil {
		t.Errorf("%d bytes on their way in, %v", n, err)
	}
}
