package backup

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"meridian/internal/store"
)

var testHead = Head{Format: Format, Server: "kobo.example", Made: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), Software: "test", Schema: 12}

var testRows = store.Rows{
	Table:   "event",
	Columns: []store.Column{{Name: "pos", Kind: "bigint"}, {Name: "header", Kind: "bytea"}, {Name: "note", Kind: "text"}},
	Rows: [][]any{
		{int64(1), []byte{0, 255, '\n'}, "a\nb \u2028 <é>"},
		{int64(-9007199254740993), []byte{}, ""},
		{int64(3), nil, nil},
	},
}

// archive is a whole backup.
func archive(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, testHead)
	if err == nil {
		err = w.Rows(testRows)
	}
	if err == nil {
		err = w.Key("server.key", []byte("secret"))
	}
	if err == nil {
		err = w.File("ab/abcd", 5, strings.NewReader("bytes"))
	}
	if err == nil {
		err = w.Close(map[string]string{"c": "h"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	var rows []store.Rows
	var keys, files string
	head, end, err := Read(bytes.NewReader(archive(t)), Taker{
		Rows: func(r store.Rows) error { rows = append(rows, r); return nil },
		Key:  func(name string, content []byte) error { keys += name + "=" + string(content); return nil },
		File: func(name string, size int64, content io.Reader) error {
			raw, err := io.ReadAll(content)
			files += name + "=" + string(raw)
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Rows{testRows}, rows); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(testHead, head); diff != "" {
		t.Error(diff)
	}
	if keys != "server.key=secret" || files != "ab/abcd=bytes" || end.Rows["event"] != 3 || end.States["c"] != "h" {
		t.Errorf("%q, %q, %+v", keys, files, end)
	}
}

func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	whole := archive(t)
	for n := range whole {
		if _, _, err := Read(bytes.NewReader(whole[:n]), Taker{}); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a backup", n, len(whole))
		}
	}
}

// A flipped bit is found, unless it changes nothing of what is read.
func TestAFlippedBitIsFound(t *testing.T) {
	whole := archive(t)
	taken := 0
	for n := range len(whole) * 8 {
		flipped := bytes.Clone(whole)
		flipped[n/8] ^= 1 << (n % 8)
		var rows []store.Rows
		head, _, err := Read(bytes.NewReader(flipped), Taker{Rows: func(r store.Rows) error { rows = append(rows, r); return nil }})
		if err != nil {
			continue
		}
		if taken++; !cmp.Equal(head, testHead) || !cmp.Equal(rows, []store.Rows{testRows}) {
			t.Fatalf("bit %d changed what is read", n)
		}
	}
	if taken > len(whole)*8/20 {
		t.Errorf("%d of %d flipped bits were not seen", taken, len(whole)*8)
	}
}

// forge is an archive of these entries, as somebody else would write it.
func forge(t *testing.T, entries ...[2]string) io.Reader {
	t.Helper()
	var out bytes.Buffer
	compressed, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(compressed)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e[0], Size: int64(len(e[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestAForeignArchiveIsRefused(t *testing.T) {
	head := [2]string{headName, `{"format":1}`}
	for what, entries := range map[string][][2]string{
		"another program's":     {{"README", "hello"}},
		"a later format":        {{headName, `{"format":2}`}},
		"a key outside":         {head, {keyDir + "../../etc/passwd", "x"}},
		"a file outside":        {head, {fileDir + "../x", "x"}},
		"an absolute file":      {head, {fileDir + "/etc/passwd", "x"}},
		"something else":        {head, {"etc/passwd", "x"}},
		"no end":                {head},
		"a false digest":        {head, {endName, `{"digest":"00"}`}},
		"a row too short":       {head, {tableDir + "1", "{\"table\":\"t\",\"columns\":[[\"a\",\"bigint\"],[\"b\",\"text\"]]}\n[1]\n"}},
		"a number that is none": {head, {tableDir + "1", "{\"table\":\"t\",\"columns\":[[\"a\",\"bigint\"]]}\n[1.5]\n"}},
		"a value that is none":  {head, {tableDir + "1", "{\"table\":\"t\",\"columns\":[[\"a\",\"bigint\"]]}\n[{}]\n"}},
	} {
		t.Run(what, func(t *testing.T) {
			_, _, err := Read(forge(t, entries...), Taker{Key: func(name string, _ []byte) error { t.Errorf("took key %q", name); return nil }})
			if err == nil {
				t.Error("was taken for a backup")
			}
		})
	}
}
