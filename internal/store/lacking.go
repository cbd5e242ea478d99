package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Lacking is a file that a channel names and that is not held there.
type Lacking struct {
	Channel  threads.Hash
	Digest   threads.Hash
	Size     int64  // the largest that was claimed, in bytes
	Wanted   bool   // somebody asked for it
	Origin   string // server whose people named it first
	Attempts int64  // rounds in which no member gave it
	Stored   int64  // bytes held of what the people of Origin brought
	Total    int64  // bytes of all files
}

// LackingFiles lists files that are due to be fetched: of what one server's people
// brought at most each large ones and each others, so that nobody's many or large
// files keep others' waiting.
func (s *Store) LackingFiles(ctx context.Context, now time.Time, each int, large int64) ([]Lacking, error) {
	return s.lacking(ctx, `(SELECT l.*, ROW_NUMBER() OVER (PARTITION BY origin, size > ? ORDER BY due, channel, digest) AS place
		FROM file l WHERE l.held = 0 AND l.due <= ?)`, "f.place <= ? ORDER BY f.due, f.channel, f.digest", large, now.UnixMilli(), each)
}

// StillLacking is a file that was listed as lacking, as it is now; false where it
// is held, or nothing names it any more.
func (s *Store) StillLacking(ctx context.Context, f Lacking) (Lacking, bool, error) {
	found, err := s.lacking(ctx, "file", "f.held = 0 AND c.hash = ? AND f.digest = ?", raw(f.Channel), raw(f.Digest))
	if err != nil || len(found) == 0 {
		return f, false, err
	}
	return found[0], true, nil
}

// lacking reads files, f, of channels, c.
func (s *Store) lacking(ctx context.Context, files, where string, args ...any) ([]Lacking, error) {
	var rows []struct {
		Lacking
		Hash, File []byte
	}
	err := s.list(ctx, &rows, `
		SELECT c.hash, f.digest AS file, f.size, f.wanted = 1 AS wanted, s.name AS origin, f.attempts,
			(SELECT COALESCE(SUM(o.size), 0) FROM file o WHERE o.origin = f.origin AND o.held = 1) AS stored,
			(SELECT COALESCE(SUM(size), 0) FROM blob) AS total
		FROM `+files+` f JOIN channel c ON c.id = f.channel JOIN server s ON s.id = f.origin WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list files that are lacking: %w", err)
	}
	lacking := make([]Lacking, len(rows))
	for i := range rows {
		lacking[i] = rows[i].Lacking
		lacking[i].Channel, lacking[i].Digest = hashOf(rows[i].Hash), hashOf(rows[i].File)
	}
	return lacking, nil
}

// NextLacking is when the next file is due to be fetched after now, zero for never.
func (s *Store) NextLacking(ctx context.Context, now time.Time) (time.Time, error) {
	var due int64
	err := s.one(ctx, &due, "SELECT due FROM file WHERE held = 0 AND due > ? AND due < ? ORDER BY due LIMIT 1",
		now.UnixMilli(), int64(notAhead))
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look for files that are lacking: %w", err)
	}
	return time.UnixMilli(due), nil
}

// PutOff notes that a round in which a file was asked for brought nothing, and
// when it is asked for again; zero for a file that waits until somebody wants it.
func (s *Store) PutOff(ctx context.Context, f Lacking, until time.Time) error {
	due, attempts := int64(notAhead), f.Attempts
	if !until.IsZero() {
		due, attempts = until.UnixMilli(), attempts+1
	}
	return s.changeFile(ctx, "put off", `UPDATE file SET due = ?, attempts = ?
		WHERE held = 0 AND channel = (SELECT id FROM channel WHERE hash = ?) AND digest = ?`,
		due, attempts, raw(f.Channel), raw(f.Digest))
}

// Want has a file fetched that waits until somebody wants it.
func (s *Store) Want(ctx context.Context, channel, digest threads.Hash) error {
	return s.changeFile(ctx, "want", `UPDATE file SET due = 0, wanted = 1
		WHERE held = 0 AND due = ? AND channel = (SELECT id FROM channel WHERE hash = ?) AND digest = ?`,
		int64(notAhead), raw(channel), raw(digest))
}

// WantUpTo has all files of at most that many bytes fetched without anybody
// asking for them.
func (s *Store) WantUpTo(ctx context.Context, size int64) error {
	return s.changeFile(ctx, "want", "UPDATE file SET due = 0 WHERE held = 0 AND due = ? AND size <= ?", int64(notAhead), size)
}

// Miss notes that the bytes of a file are gone or spoilt: it is fetched again
// from the members of every channel that names it.
func (s *Store) Miss(ctx context.Context, digest threads.Hash) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind("UPDATE file SET held = 0, due = 0, attempts = 0, wanted = 1 WHERE digest = ?"), raw(digest))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.bind("DELETE FROM blob WHERE digest = ?"), raw(digest))
		return err
	})
	if err != nil {
		return fmt.Errorf("miss file %s: %w", digest, err)
	}
	return nil
}

func (s *Store) changeFile(ctx context.Context, what, query string, args ...any) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(query), args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s file: %w", what, err)
	}
	return nil
}

// ForgetUploads forgets what people uploaded before an instant and have in no
// message.
func (s *Store) ForgetUploads(ctx context.Context, before time.Time) error {
	return s.changeFile(ctx, "forget uploaded", "DELETE FROM upload WHERE at < ? AND NOT "+inUse, before.UnixMilli())
}

// Unreferenced lists at most limit files whose bytes are here and that neither a
// message names, visible and not erased, nor anybody uploaded of late.
func (s *Store) Unreferenced(ctx context.Context, limit int) ([]threads.Hash, error) {
	return s.hashes(ctx, "select digest from blob where "+unreferenced+" limit ?", limit)
}

const unreferenced = `not exists (select 1 from file where file.digest = blob.digest)
	and not exists (select 1 from upload where upload.digest = blob.digest)`

// DropFile has remove delete the bytes of a file, unless something refers to it
// since it was listed, and forgets it. It reports whether that was done.
func (s *Store) DropFile(ctx context.Context, digest threads.Hash, remove func() error) (dropped bool, err error) {
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		if s.postgres { // an upload of the same bytes waits, and what it did before is seen by the next statement
			if _, err := tx.ExecContext(ctx, "select 1 from blob where digest = $1 for update", raw(digest)); err != nil {
				return err
			}
		}
		done, err := tx.ExecContext(ctx, s.bind("DELETE FROM blob WHERE digest = ? AND "+unreferenced), raw(digest))
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if dropped = n > 0; err != nil || !dropped {
			return err
		}
		return remove()
	})
	if err != nil {
		return false, fmt.Errorf("drop file %s: %w", digest, err)
	}
	return dropped, nil
}

// FilesAfter lists at most limit files whose bytes are here, in the order of
// their digests' bytes, after the one named.
func (s *Store) FilesAfter(ctx context.Context, after threads.Hash, limit int) ([]threads.Hash, error) {
	return s.hashes(ctx, "select digest from blob where digest > ? order by digest limit ?", afterRaw(after), limit)
}

// HasFile reports whether the store counts the file among those here.
func (s *Store) HasFile(ctx context.Context, digest threads.Hash) (bool, error) {
	var n int
	if err := s.one(ctx, &n, "SELECT count(*) FROM blob WHERE digest = ?", raw(digest)); err != nil {
		return false, fmt.Errorf("look up file: %w", err)
	}
	return n > 0, nil
}

// FileBytes is how many bytes all files here have.
func (s *Store) FileBytes(ctx context.Context) (int64, error) {
	var sum int64
	if err := s.one(ctx, &sum, "SELECT COALESCE(SUM(size), 0) FROM blob"); err != nil {
		return 0, fmt.Errorf("add up files: %w", err)
	}
	return sum, nil
}
