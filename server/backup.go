package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"meridian/internal/backup"
	"meridian/internal/store"
	"meridian/threads"
)

// FilesDir is where the bytes of files lie in a server's data_dir.
func FilesDir(dataDir string) string { return filepath.Join(dataDir, "files") }

// keyFiles are the server's keys, by the names of their files in its data_dir.
func keyFiles(dataDir string) ([]string, error) {
	found, err := filepath.Glob(KeyFile(dataDir) + "*")
	names := make([]string, len(found))
	for i, path := range found {
		names[i] = filepath.Base(path)
	}
	return names, err
}

// serveBackup sends a backup: the database as it is at one instant, then the
// keys, then the files, of which there may be newer ones too. An error leaves it
// without its end, which whoever reads it notices.
func (s *Server) serveBackup(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/zstd")
	if err := s.writeBackup(r.Context(), w); err != nil {
		s.log.Error("backup failed", "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) writeBackup(ctx context.Context, w io.Writer) error {
	schema, err := s.store.Schema()
	if err != nil {
		return err
	}
	out, err := backup.NewWriter(w, backup.Head{
		Server: s.config.Server(), Made: s.clock().UTC(), Software: s.version, Schema: schema,
	})
	if err != nil {
		return err
	}
	states, err := s.store.Export(ctx, out.Rows)
	if err != nil {
		return err
	}
	names, err := keyFiles(s.config.DataDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(s.config.DataDir, name))
		if err != nil {
			return fmt.Errorf("read key: %w", err)
		}
		if err := out.Key(name, content); err != nil {
			return err
		}
	}
	if err := addFiles(ctx, out, FilesDir(s.config.DataDir)); err != nil {
		return fmt.Errorf("add files: %w", err)
	}
	return out.Close(states)
}

// addFiles adds what lies under its digest; what is still on its way in is left
// out, and so is what is erased meanwhile.
func addFiles(ctx context.Context, out *backup.Writer, root string) error {
	root, err := filepath.EvalSymlinks(root) // nodes may share the files by a link, which is not walked through
	if errors.Is(err, fs.ErrNotExist) {
		return nil // none was ever kept
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || !isFileName(name) {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return out.File(filepath.ToSlash(name), info.Size(), f)
	})
}

// isFileName reports whether a path below the directory of files is that of a
// file under its digest, NN/DIGEST in hexadecimal.
func isFileName(name string) bool {
	shard, digest, found := strings.Cut(filepath.ToSlash(name), "/")
	raw, err := hex.DecodeString(digest)
	return found && err == nil && len(raw) == 32 && strings.HasPrefix(digest, shard) && len(shard) == 2
}

// BackedUp says what a backup holds.
type BackedUp struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"` // of the archive's contents, as it states it
	Channels int    `json:"channels"`
	Events   int64  `json:"events"`
	Keys     int    `json:"keys"`
	Files    int    `json:"files"`
	// Faults are what was damaged already in the database, and Audit in its audit
	// log: the backup holds it as it lay there.
	Faults []store.Fault     `json:"faults"`
	Audit  *store.AuditFault `json:"audit,omitempty"`
}

// Backup has the server that client reaches write itself into a new file, whole
// or not at all, and reads it back: into a database beside the file, of which
// every event is checked and every channel's state compared with the server's.
// The file holds the server's keys: its owner alone may read it.
func Backup(ctx context.Context, client *http.Client, path string) (BackedUp, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return BackedUp{}, errors.Join(fmt.Errorf("%s exists already and is not overwritten; name another file", path), err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".meridian-backup-*") // with mode 0600
	if err != nil {
		return BackedUp{}, err
	}
	made, err := fill(ctx, client, f, path)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return BackedUp{}, errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return made, fmt.Errorf("write %s: %w", path, err)
	}
	return made, Call(ctx, client, "backup.note", made, nil)
}

// fill writes a backup into f and checks what lies there then.
func fill(ctx context.Context, client *http.Client, f *os.File, path string) (BackedUp, error) {
	made := BackedUp{File: path, Faults: []store.Fault{}}
	err := send(ctx, client, "backup", strings.NewReader("{}"), func(answer io.Reader) (err error) {
		made.Bytes, err = io.Copy(f, answer)
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return made, fmt.Errorf("write the backup: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".meridian-verify-*")
	if err != nil {
		return made, err
	}
	err = tryBackup(ctx, f, "sqlite:"+filepath.Join(dir, "verify.db"), &made)
	return made, errors.Join(err, os.RemoveAll(dir))
}

// tryBackup restores a backup into a database to see that it can be.
func tryBackup(ctx context.Context, from io.ReadSeeker, url string, made *BackedUp) error {
	db, end, err := load(ctx, from, store.Options{URL: url}, backup.Taker{})
	if err != nil {
		return fmt.Errorf("verify the backup: %w", err)
	}
	err = made.check(ctx, db, end)
	return errors.Join(err, db.Close())
}

// check counts what a database holds that was made from a backup, notes what is
// damaged, and compares its channels with those that were backed up.
func (b *BackedUp) check(ctx context.Context, db *store.Store, end backup.End) (err error) {
	b.SHA256, b.Keys, b.Files, b.Channels = end.Digest, end.Keys, end.Files, len(end.States)
	if b.Events, err = db.Verify(ctx, func(f store.Fault) { b.Faults = append(b.Faults, f) }); err != nil {
		return err
	}
	if _, b.Audit, err = db.VerifyAudit(ctx); err != nil {
		return err
	}
	got, err := db.States(ctx)
	if err != nil {
		return err
	}
	for id, state := range end.States {
		if got[id] != state {
			return fmt.Errorf("the state of channel %s is %s, but was %s when the backup was made", id, got[id], state)
		}
	}
	return nil
}

// noteBackup records that a backup was made and verified.
func (s *Server) noteBackup(ctx context.Context, in BackedUp) (struct{}, error) {
	s.log.Info("backup made", "file", in.File, "events", in.Events, "faults", len(in.Faults))
	return struct{}{}, s.store.Audit(ctx, threads.AuditEntry{
		Act: threads.Act{Who: threads.ByAdmin, At: s.clock()}, What: threads.AuditBackup, Object: in.SHA256,
		Detail: fmt.Sprintf("%d events of %d channels, %d keys, %d files; %d logs damaged", in.Events, in.Channels, in.Keys, in.Files, len(in.Faults)),
	})
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
