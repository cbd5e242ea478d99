package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meridian/config"
	"meridian/internal/backup"
	"meridian/internal/store"
	"meridian/threads"
)

// load makes a database of a backup: in the schema that it was made in, and then
// brought up to date. What it reads beside rows goes to take.
func load(ctx context.Context, from io.ReadSeeker, o store.Options, take backup.Taker) (*store.Store, backup.End, error) {
	var end backup.End
	_, err := from.Seek(0, io.SeekStart)
	if err != nil {
		return nil, end, err
	}
	head, err := backup.ReadHead(from)
	if err != nil {
		return nil, end, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return nil, end, err
	}
	as := o
	as.Schema = head.Schema
	db, err := store.Open(ctx, as)
	if err != nil {
		return nil, end, err
	}
	err = db.Idle(ctx)
	if err == nil {
		err = db.Import(ctx, func(put func(store.Rows) error) (err error) {
			take.Rows = put
			_, end, err = backup.Read(from, take)
			return err
		})
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, end, err
	}
	db, err = store.Open(ctx, o)
	return db, end, err
}

// Restore fills an empty installation from a backup of the same server: database,
// files, and at last the keys, without which no server starts. An installation
// that holds anything is refused by name. A mark of an earlier database goes: it
// could prove the restored one current. What was damaged when the backup was
// made is told in the answer and is no error.
func Restore(ctx context.Context, c config.Config, path string, now time.Time) (BackedUp, error) {
	done := BackedUp{File: path, Faults: []store.Fault{}}
	if err := checkUser(c.DataDir); err != nil {
		return done, err
	}
	f, err := os.Open(path)
	if err != nil {
		return done, err
	}
	defer f.Close()
	head, err := backup.ReadHead(f)
	if err != nil {
		return done, fmt.Errorf("%s: %w", path, err)
	}
	if head.Server != c.Server() {
		return done, fmt.Errorf("%s is a backup of %s, and public_url names %s", path, head.Server, c.Server())
	}
	in := arrivals{dataDir: c.DataDir, keys: map[string][]byte{}}
	db, end, err := load(ctx, f, store.Options{URL: c.Database, Server: c.Server()}, backup.Taker{Key: in.key, File: in.file})
	if err != nil {
		return done, fmt.Errorf("restore %s: %w", path, err)
	}
	err = db.Index(ctx)
	if err == nil {
		err = done.check(ctx, db, end)
	}
	if err == nil {
		err = db.Audit(ctx, threads.AuditEntry{
			Act: threads.Act{Who: threads.ByAdmin, At: now}, What: threads.AuditRestore, Object: end.Digest,
			Detail: "from a backup made at " + head.Made.UTC().Format(time.RFC3339),
		})
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return done, fmt.Errorf("restore %s: %w", path, err)
	}
	if err := os.Remove(MarkFile(c.DataDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, fmt.Errorf("take away the mark of an earlier database: %w", err)
	}
	return done, in.place()
}

// arrivals are the keys and files of a backup on their way into a data_dir.
type arrivals struct {
	dataDir string
	keys    map[string][]byte
}

// key keeps a key until all else is in its place.
func (a *arrivals) key(name string, content []byte) error {
	if filepath.Base(name) != name {
		return fmt.Errorf("%q is no name of a key", name)
	}
	there, err := os.ReadFile(filepath.Join(a.dataDir, name))
	if err == nil && !bytes.Equal(there, content) {
		return fmt.Errorf("%s holds another key than the backup; move it away, or name another data_dir", filepath.Join(a.dataDir, name))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.keys[name] = content
	return nil
}

// file puts a file under its digest, which it must have.
func (a *arrivals) file(name string, _ int64, content io.Reader) error {
	if !isFileName(name) {
		return fmt.Errorf("%q is no name of a file", name)
	}
	sum := sha256.New()
	path := filepath.Join(FilesDir(a.dataDir), filepath.FromSlash(name))
	return writeWhole(path, io.TeeReader(content, sum), func() error {
		if hex.EncodeToString(sum.Sum(nil)) != filepath.Base(name) {
			return fmt.Errorf("file %s does not have its digest", name)
		}
		return nil
	})
}

// place writes the keys.
func (a *arrivals) place() error {
	for name, content := range a.keys {
		path := filepath.Join(a.dataDir, name)
		if err := writeWhole(path, bytes.NewReader(content), func() error { return nil }); err != nil {
			return fmt.Errorf("write key: %w", err)
		}
	}
	return nil
}

// writeWhole makes a file, with mode 0600, that is there whole or not at all.
func writeWhole(path string, content io.Reader, check func() error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".restored-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = check()
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}
