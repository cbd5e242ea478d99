// Package blobs keeps the bytes of files in a directory, each under the SHA-256
// of its content. What is visible there is whole, durable and has been checked:
// bytes arrive in a temporary file and are renamed once they are. It never knows
// whose a file is, who may read it or where it comes from, never decodes what it
// holds, and makes paths of digests alone, never of names.
package blobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Refusals of a file's bytes; errors.Is tells them.
var (
	ErrTooLarge = errors.New("the file is larger than allowed")
	ErrWrong    = errors.New("the bytes are not those of the digest")
)

// Dir is a directory of files: NN/DIGEST in hexadecimal, NN being its first two
// digits, and tmp/ for what is not whole yet. It is safe for concurrent use, also
// by several processes on one file system.
type Dir struct{ root string }

const (
	incoming = "tmp"
	headSize = 512 // enough for http.DetectContentType
)

// Open opens a directory of files, making it where there is none.
func Open(root string) (*Dir, error) {
	if err := os.MkdirAll(filepath.Join(root, incoming), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of files: %w", err)
	}
	root, err := filepath.EvalSymlinks(root) // a link cannot be walked through
	if err != nil {
		return nil, fmt.Errorf("find the directory of files: %w", err)
	}
	return &Dir{root}, nil
}

// path is where the file of a digest, the base64url of a SHA-256, lies.
func (d *Dir) path(digest string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(digest)
	if err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%.60q is no digest: %w", digest, fs.ErrNotExist)
	}
	name := hex.EncodeToString(raw)
	return filepath.Join(d.root, name[:2], name), nil
}

// Open opens the file with that digest for reading; fs.ErrNotExist where there
// is none.
func (d *Dir) Open(digest string) (*os.File, error) {
	path, err := d.path(digest)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Check reads the file with that digest and compares it: ErrWrong where bits
// have changed, fs.ErrNotExist where there is none. It returns how many bytes it
// has.
func (d *Dir) Check(digest string) (size int64, err error) {
	f, err := d.Open(digest)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return size, fmt.Errorf("read file %s: %w", digest, err)
	}
	if digestOf(h) != digest {
		return size, ErrWrong
	}
	return size, nil
}

// Remove removes the file with that digest; having none is no error.
func (d *Dir) Remove(digest string) error {
	path, err := d.path(digest)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove file %s: %w", digest, err)
	}
	return nil
}

// Sweep removes what has been on its way in without a byte since the instant:
// nobody goes on with it. It returns how many files went.
func (d *Dir) Sweep(since time.Time) (swept int, err error) {
	entries, err := os.ReadDir(filepath.Join(d.root, incoming))
	if err != nil {
		return 0, fmt.Errorf("list temporary files: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.ModTime().Before(since) {
			continue // renamed meanwhile, or in use
		}
		if err == nil {
			err = os.Remove(filepath.Join(d.root, incoming, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return swept, fmt.Errorf("remove a temporary file: %w", err)
		}
		swept++
	}
	return swept, nil
}

// Pending is how many bytes are on their way in, or were.
func (d *Dir) Pending() (bytes int64, err error) {
	entries, err := os.ReadDir(filepath.Join(d.root, incoming))
	if err != nil {
		return 0, fmt.Errorf("list temporary files: %w", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it is gone
			bytes += info.Size()
		}
	}
	return bytes, nil
}

// Each calls f for every file that has been here since before the instant, until
// f returns an error, which Each returns.
func (d *Dir) Each(since time.Time, f func(digest string) error) error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if e.IsDir() && e.Name() == incoming {
			return fs.SkipDir
		}
		raw, err := hex.DecodeString(e.Name())
		if e.IsDir() || err != nil || len(raw) != sha256.Size {
			return nil
		}
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(since) {
			return nil // gone, or new
		}
		return f(base64.RawURLEncoding.EncodeToString(raw))
	})
}

// publish makes a whole, checked temporary file the one of the digest. One that
// is there already is replaced by its like, so that it takes as long as ever and
// tells nobody that it was there.
func (d *Dir) publish(temporary, digest string) error {
	path, err := d.path(digest)
	if err != nil {
		return err
	}
	shard := filepath.Dir(path)
	if err := os.MkdirAll(shard, 0o700); err != nil {
		return fmt.Errorf("make a directory of files: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("keep file %s: %w", digest, err)
	}
	return errors.Join(syncDir(shard), syncDir(d.root))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Received are bytes that have come in whole and wait, unseen, to be kept.
type Received struct {
	Digest string // base64url of the SHA-256
	Size   int64  // in bytes
	Head   []byte // the first bytes, at most 512
	dir    *Dir
	path   string
}

// Receive takes in what r yields to its end, at most limit bytes: ErrTooLarge
// beyond. The bytes are durable when it returns, and visible once they are kept;
// the caller calls Keep or Drop.
func (d *Dir) Receive(r io.Reader, limit int64) (_ *Received, err error) {
	f, err := os.CreateTemp(filepath.Join(d.root, incoming), "upload-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	in := &Received{dir: d, path: f.Name()}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, in.Drop())
		}
	}()
	var head prefix
	h := sha256.New()
	in.Size, err = io.Copy(io.MultiWriter(f, h, &head), io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("take in a file: %w", err)
	}
	if in.Size > limit {
		return nil, ErrTooLarge
	}
	in.Digest, in.Head = digestOf(h), head.Bytes()
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("write a file: %w", err)
	}
	return in, nil
}

// Keep makes the bytes visible under their digest.
func (in *Received) Keep() error { return in.dir.publish(in.path, in.Digest) }

// Drop removes the bytes, unless they were kept.
func (in *Received) Drop() error {
	if err := os.Remove(in.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a temporary file: %w", err)
	}
	return nil
}

func digestOf(h hash.Hash) string { return base64.RawURLEncoding.EncodeToString(h.Sum(nil)) }

// prefix keeps the first bytes that are written to it.
type prefix struct{ bytes.Buffer }

// Write takes all of p, and keeps what still fits.
func (p *prefix) Write(b []byte) (int, error) {
	p.Buffer.Write(b[:min(len(b), headSize-p.Len())])
	return len(b), nil
}
