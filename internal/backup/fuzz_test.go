package backup

import (
	"bytes"
	"io"
	"path"
	"testing"

	"github.com/klauspost/compress/zstd"

	"meridian/internal/cost"
	"meridian/internal/store"
)

// T75: backup files. One is read as what its own digest says or refused, and every name that is passed on stays
// below the directory that it is joined to. The archive is made up below its compression, where all is.
func FuzzRead(f *testing.F) {
	whole := archive(f)
	unpacker, err := zstd.NewReader(bytes.NewReader(whole))
	if err != nil {
		f.Fatal(err)
	}
	defer unpacker.Close()
	plain, err := io.ReadAll(unpacker)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(plain[:len(plain)/2])
	f.Add(bytes.Replace(plain, []byte("files/ab/abcd"), []byte("files/../abcd"), 1))
	f.Add(bytes.Replace(plain, []byte(`"bytea"`), []byte(`"bytes"`), 1))
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, tar []byte) {
		packed := packer.EncodeAll(tar, nil)
		rows, named := int64(0), 0
		name := func(name string) {
			named++
			if name == "" || path.IsAbs(name) || path.Join("below", name) != "below/"+name {
				t.Errorf("%q is passed on as a name", name)
			}
		}
		cost.Hold(t, func() {
			rows, named = 0, 0
			_, end, err := Read(bytes.NewReader(packed), Taker{
				Rows: func(r store.Rows) error { rows += int64(len(r.Rows)); return nil },
				Key:  func(n string, _ []byte) error { name(n); return nil },
				File: func(n string, _ int64, _ io.Reader) error { name(n); return nil },
			})
			if err == nil && (named != end.Keys+end.Files || end.Digest == "") {
				t.Errorf("%d names and %d rows are taken for %+v", named, rows, end)
			}
		})
	})
}
