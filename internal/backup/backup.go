// Package backup writes and reads the one file in which an installation is
// kept: a tar archive under zstd, of the rows of every table, the keys and the
// files, closed by a digest of it all. It knows no kind of database, so what one
// wrote another takes. It never decides what belongs into a backup, and passes
// nothing on as whole that it has not read to its end: see Read.
package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"meridian/internal/store"
)

// Format is the version of the archive that this program writes.
const Format = 1

// Head is the first entry of an archive.
type Head struct {
	Format   int       `json:"format"`
	Server   string    `json:"server"`
	Made     time.Time `json:"made"`
	Software string    `json:"software"`
	Schema   int64     `json:"schema"` // the newest migration of the database
}

// End is the last entry. Without it, or with another digest than that of what
// stands before it, an archive is none.
type End struct {
	Rows   map[string]int64  `json:"rows"`   // by table
	States map[string]string `json:"states"` // state hash by channel
	Keys   int               `json:"keys"`
	Files  int               `json:"files"`
	Digest string            `json:"digest"` // hexadecimal SHA-256, see tally
}

// Names of entries.
const (
	headName = "meridian-backup.json"
	endName  = "end.json"
	tableDir = "tables/"
	keyDir   = "keys/"
	fileDir  = "files/"
)

// tally digests what an archive holds: the name, the size and the SHA-256 of
// each entry in turn, but of the last.
type tally struct{ sum hash.Hash }

func (t tally) add(name string, size int64, content hash.Hash) {
	fmt.Fprintf(t.sum, "%s %d %x\n", name, size, content.Sum(nil))
}

func (t tally) digest() string { return hex.EncodeToString(t.sum.Sum(nil)) }

// Writer writes an archive. Nothing of it counts before Close returns nil.
type Writer struct {
	compressed *zstd.Encoder
	tar        *tar.Writer
	made       time.Time
	tally      tally
	end        End
	parts      int
}

// NewWriter begins an archive.
func NewWriter(w io.Writer, h Head) (*Writer, error) {
	compressed, err := zstd.NewWriter(w)
	if err != nil {
		return nil, err
	}
	h.Format = Format
	out := &Writer{
		compressed: compressed, tar: tar.NewWriter(compressed), made: h.Made,
		tally: tally{sha256.New()}, end: End{Rows: map[string]int64{}},
	}
	return out, out.document(headName, h)
}

func (w *Writer) document(name string, v any) error {
	content, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return w.entry(name, int64(len(content)), bytes.NewReader(content))
}

func (w *Writer) entry(name string, size int64, content io.Reader) error {
	err := w.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: w.made, Format: tar.FormatPAX})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.tar, sum), content)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if n != size {
		return fmt.Errorf("write %s: it has %d bytes instead of %d", name, n, size)
	}
	w.tally.add(name, size, sum)
	return nil
}

// Rows adds rows of one table.
func (w *Writer) Rows(rows store.Rows) error {
	content, err := encodeRows(rows)
	if err != nil {
		return fmt.Errorf("write rows of %s: %w", rows.Table, err)
	}
	w.parts++
	w.end.Rows[rows.Table] += int64(len(rows.Rows))
	return w.entry(fmt.Sprintf("%s%06d.jsonl", tableDir, w.parts), int64(len(content)), bytes.NewReader(content))
}

// Key adds a key by the name of its file.
func (w *Writer) Key(name string, content []byte) error {
	w.end.Keys++
	return w.entry(keyDir+name, int64(len(content)), bytes.NewReader(content))
}

// File adds a file of size bytes by its path below the directory of files.
func (w *Writer) File(name string, size int64, content io.Reader) error {
	w.end.Files++
	return w.entry(fileDir+name, size, content)
}

// Close ends the archive with the state hash of every channel.
func (w *Writer) Close(states map[string]string) error {
	w.end.States, w.end.Digest = states, w.tally.digest()
	return errors.Join(w.document(endName, w.end), w.tar.Close(), w.compressed.Close())
}

// Taker is given what an archive holds, in its order; each of its functions may
// be nil. Names are such as Key and File were given, and stay below a directory
// to which they are joined.
type Taker struct {
	Rows func(store.Rows) error
	Key  func(name string, content []byte) error
	File func(name string, size int64, content io.Reader) error
}

// ReadHead is the head of an archive, of which nothing else is read.
func ReadHead(r io.Reader) (Head, error) {
	compressed, err := zstd.NewReader(r)
	if err != nil {
		return Head{}, err
	}
	defer compressed.Close()
	in := &reader{tar: tar.NewReader(compressed), tally: tally{sha256.New()}}
	if err := in.next(); err != nil {
		return in.head, fmt.Errorf("read the backup: %w", err)
	}
	return in.head, nil
}

// maxPart bounds an entry that is read as a whole, in bytes.
const maxPart = 64 << 20

// Read passes on what an archive holds. What it passed counts only once it
// returns nil: who cannot take it back reads the archive twice.
func Read(r io.Reader, take Taker) (Head, End, error) {
	compressed, err := zstd.NewReader(r)
	if err != nil {
		return Head{}, End{}, err
	}
	defer compressed.Close()
	in := &reader{tar: tar.NewReader(compressed), take: take, tally: tally{sha256.New()}}
	for in.end.Digest == "" && err == nil {
		err = in.next()
	}
	if err == nil {
		err = in.whole(compressed)
	}
	if err != nil {
		return in.head, in.end, fmt.Errorf("read the backup: %w", err)
	}
	return in.head, in.end, nil
}

type reader struct {
	tar   *tar.Reader
	take  Taker
	tally tally
	head  Head
	end   End
	seen  End
}

func (r *reader) next() error {
	h, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		return errors.New("it ends too early")
	}
	if err != nil {
		return err
	}
	if r.head.Format == 0 && h.Name != headName {
		return errors.New("it is no backup of this program")
	}
	digest := r.tally.digest()
	sum := sha256.New()
	if err := r.entry(h, io.TeeReader(r.tar, sum)); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	r.tally.add(h.Name, h.Size, sum)
	if h.Name == endName && r.end.Digest != digest {
		return errors.New("its digest is not that of what it holds")
	}
	return nil
}

func (r *reader) entry(h *tar.Header, content io.Reader) error {
	if name, ok := strings.CutPrefix(h.Name, fileDir); ok {
		if !local(name) {
			return errors.New("is no name of a file")
		}
		r.seen.Files++
		return r.file(name, h.Size, content)
	}
	if h.Size > maxPart {
		return fmt.Errorf("has %d bytes; at most %d are possible", h.Size, maxPart)
	}
	raw, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	name, isKey := strings.CutPrefix(h.Name, keyDir)
	switch {
	case h.Name == headName:
		return r.begin(raw)
	case h.Name == endName:
		return json.Unmarshal(raw, &r.end)
	case strings.HasPrefix(h.Name, tableDir):
		return r.rows(raw)
	case isKey && local(name):
		r.seen.Keys++
		if r.take.Key == nil {
			return nil
		}
		return r.take.Key(name, raw)
	}
	return errors.New("is nothing that belongs into a backup")
}

// file has the content read to its end, whoever takes it.
func (r *reader) file(name string, size int64, content io.Reader) error {
	if r.take.File != nil {
		if err := r.take.File(name, size, content); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, content)
	return err
}

func (r *reader) begin(raw []byte) error {
	if err := json.Unmarshal(raw, &r.head); err != nil {
		return err
	}
	if r.head.Format != Format {
		return fmt.Errorf("has the format %d; this program reads %d", r.head.Format, Format)
	}
	return nil
}

func (r *reader) rows(raw []byte) error {
	rows, err := decodeRows(raw)
	if err != nil {
		return err
	}
	if r.seen.Rows == nil {
		r.seen.Rows = map[string]int64{}
	}
	r.seen.Rows[rows.Table] += int64(len(rows.Rows))
	if r.take.Rows == nil {
		return nil
	}
	return r.take.Rows(rows)
}

// whole compares what was read with what the archive says it holds, and reads
// the compressed stream to its end, where its own checksum stands.
func (r *reader) whole(compressed io.Reader) error {
	for name, rows := range r.end.Rows {
		if r.seen.Rows[name] != rows {
			return fmt.Errorf("it holds %d rows of %s instead of %d", r.seen.Rows[name], name, rows)
		}
	}
	if r.seen.Keys != r.end.Keys || r.seen.Files != r.end.Files {
		return fmt.Errorf("it holds %d keys and %d files instead of %d and %d", r.seen.Keys, r.seen.Files, r.end.Keys, r.end.Files)
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("something follows its end"), err)
	}
	_, err := io.Copy(io.Discard, compressed)
	return err
}

// local reports whether a name stays below the directory that it is joined to.
func local(name string) bool {
	return name != "" && path.Clean("/"+name) == "/"+name && !strings.ContainsAny(name, "\\\x00")
}
