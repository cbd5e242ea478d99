package blobs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Partial is a file that comes in piece by piece, perhaps over several starts of
// the program. It belongs to one goroutine at a time.
type Partial struct {
	dir  *Dir
	file *os.File
	size int64
}

// Resume opens what has come so far of the file that the caller knows by this
// key, nothing at first. Who has the key has the bytes: the caller keeps two
// transfers that must not complete each other apart by their keys.
func (d *Dir) Resume(key string) (*Partial, error) {
	sum := sha256.Sum256([]byte(key))
	path := filepath.Join(d.root, incoming, hex.EncodeToString(sum[:])+".part")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a partial file: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a partial file: %w", err), f.Close())
	}
	return &Partial{dir: d, file: f, size: size}, nil
}

// Size is how many bytes have come.
func (p *Partial) Size() int64 { return p.size }

// Write adds bytes at the end.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.size += int64(n)
	return n, err
}

// Reset drops all bytes.
func (p *Partial) Reset() error {
	if err := p.file.Truncate(0); err != nil {
		return fmt.Errorf("empty a partial file: %w", err)
	}
	_, err := p.file.Seek(0, io.SeekStart)
	p.size = 0
	return err
}

// Keep checks the bytes and makes them visible under the digest; the partial
// file is gone then. ErrWrong says that they are others: they are dropped.
func (p *Partial) Keep(digest string) error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("check a file: %w", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, p.file); err != nil {
		return fmt.Errorf("check a file: %w", err)
	}
	if digestOf(h) != digest {
		return errors.Join(ErrWrong, p.Reset())
	}
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("write a file: %w", err)
	}
	return p.dir.publish(p.file.Name(), digest)
}

// Close leaves the bytes for another time.
func (p *Partial) Close() error { return p.file.Close() }

// Drop removes the bytes, unless they were kept, and closes.
func (p *Partial) Drop() error {
	err := os.Remove(p.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, p.file.Close())
}
