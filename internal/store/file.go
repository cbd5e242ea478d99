package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// notAhead is due for a file that is fetched once somebody asks for it.
const notAhead = math.MaxInt64

type fileRow struct {
	Channel        int64
	Digest         []byte
	Size           int64
	Held, Attempts int64
	Due            int64
}

func (f *fileRow) state() threads.FileState {
	switch {
	case f.Held == 1:
		return threads.FileHeld
	case f.Due == notAhead:
		return threads.FileRemote
	case f.Attempts == 0:
		return threads.FileFetching
	}
	return threads.FileMissing
}

// fileStates completes the attachments of messages with where their bytes are.
func (s *Store) fileStates(ctx context.Context, rows []messageItem, records []threads.MessageRecord) error {
	var wanted []object
	for i := range records {
		for _, a := range records[i].Attachments {
			wanted = append(wanted, object{rows[i].ChannelNumber, a.Digest})
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	channels, digests := keysOf(wanted)
	var found []fileRow
	err := s.selectIn(ctx, &found, `SELECT channel, digest, size, held, attempts, due FROM file
		WHERE channel IN (?) AND digest IN (?) LIMIT ?`, channels, digests, maxRegisters)
	if err != nil {
		return fmt.Errorf("read files: %w", err)
	}
	files := map[object]*fileRow{}
	for i := range found {
		files[object{found[i].Channel, hashOf(found[i].Digest)}] = &found[i]
	}
	for i := range records {
		for j := range records[i].Attachments {
			a := &records[i].Attachments[j]
			f := files[object{rows[i].ChannelNumber, a.Digest}]
			if f == nil { // of a hidden message
				a.State = threads.FileMissing
			} else if a.State = f.state(); f.Held == 1 {
				a.Size = f.Size
			}
		}
	}
	return nil
}

// File is a file that the person may read: a message that they see names it, as
// it is described here. NotFound is what there is none of, to them. Where several
// messages name it, one whose channel holds it comes first, then the oldest.
func (r Reading) File(ctx context.Context, person string, digest threads.Hash) (threads.AttachmentRecord, threads.Hash, error) {
	if !threads.IsHash(digest) {
		return threads.AttachmentRecord{}, "", notFound("file")
	}
	me, err := r.number(ctx, person)
	if err != nil {
		return threads.AttachmentRecord{}, "", err
	}
	var row struct {
		fileRow
		Hash, Content []byte
	}
	err = r.s.one(ctx, &row, `
		SELECT f.channel, f.digest, f.size, f.held, f.attempts, f.due, c.hash, e.content
		FROM attachment a CROSS JOIN membership mb CROSS JOIN message m CROSS JOIN file f CROSS JOIN channel c CROSS JOIN event e
		WHERE a.digest = ? AND mb.channel = a.channel AND mb.person = ? AND m.pos = a.pos AND (m.flags & 3) = 0
			AND f.channel = a.channel AND f.digest = a.digest AND c.id = a.channel AND e.pos = a.pos
		ORDER BY f.held DESC, a.pos LIMIT 1`, raw(digest), me)
	if errors.Is(err, sql.ErrNoRows) {
		return threads.AttachmentRecord{}, "", notFound("file")
	}
	if err != nil {
		return threads.AttachmentRecord{}, "", fmt.Errorf("look up file: %w", err)
	}
	found := threads.AttachmentRecord{State: row.state()}
	posted := threads.EffectsOf(&threads.Event{Header: threads.Header{Type: threads.TypeMessagePosted}, Content: row.Content}).Message
	for i := range posted.Attachments {
		if posted.Attachments[i].Digest == digest {
			found.Attachment = posted.Attachments[i]
			break
		}
	}
	found.Size = row.Size
	return found, hashOf(row.Hash), nil
}

// Uploaded is a file as the person uploaded it; NotFound where they did not, or
// its bytes are gone.
func (s *Store) Uploaded(ctx context.Context, person string, digest threads.Hash) (threads.Attachment, error) {
	if !threads.IsHash(digest) {
		return threads.Attachment{}, notFound("file")
	}
	var row struct {
		Size       int64
		Type, Name string
	}
	err := s.one(ctx, &row, `
		SELECT u.size, u.type, u.name FROM upload u JOIN person p ON p.id = u.person JOIN blob b ON b.digest = u.digest
		WHERE p.uri = ? AND u.digest = ? LIMIT 1`, person, raw(digest))
	if errors.Is(err, sql.ErrNoRows) {
		return threads.Attachment{}, notFound("file")
	}
	if err != nil {
		return threads.Attachment{}, fmt.Errorf("look up upload: %w", err)
	}
	return threads.Attachment{Digest: digest, Size: row.Size, Type: row.Type, Name: row.Name}, nil
}

// Quotas bound what is stored, in bytes.
type Quotas struct {
	Person  int64 // of what one person uploaded
	Partner int64 // of what the people of one other server brought
	Total   int64 // of all files
}

// Upload is a file that a person of this server uploaded.
type Upload struct {
	Person string
	File   threads.Attachment
	At     time.Time
}

// KeepUpload notes that a person uploaded a file and has publish make its bytes
// visible, both or neither. It refuses with TooLarge what passes a quota: each
// upload counts in full, whether or not the bytes are here already, so that
// nobody learns that they are.
func (s *Store) KeepUpload(ctx context.Context, u Upload, q Quotas, publish func() error) error {
	a, digest := u.File, raw(u.File.Digest)
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		var sums struct{ Person, Own, Total int64 }
		err := tx.GetContext(ctx, &sums, s.bind(`
			SELECT p.id AS person, (SELECT COALESCE(SUM(size), 0) FROM upload u WHERE u.person = p.id AND u.digest <> ?) AS own,
				(SELECT COALESCE(SUM(size), 0) FROM blob) AS total
			FROM person p WHERE p.uri = ? LIMIT 1`), digest, u.Person)
		if err != nil {
			return err
		}
		switch {
		case sums.Own+a.Size > q.Person:
			return threads.Refuse(threads.TooLarge, "quota", "", "is more than you may store: erase messages with files that nobody needs, or ask an administrator to raise files.person_quota")
		case sums.Total+a.Size > q.Total:
			return threads.Refuse(threads.Unavailable, "storage_full", "", "does not fit into this server's store of files: an administrator can raise files.quota")
		}
		_, err = tx.ExecContext(ctx, s.bind(`
			INSERT INTO upload (person, digest, size, type, name, at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (person, digest) DO UPDATE SET type = excluded.type, name = excluded.name, at = excluded.at`),
			sums.Person, digest, a.Size, a.Type, a.Name, u.At.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.bind(`
			INSERT INTO blob (digest, size) VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET size = excluded.size`), digest, a.Size)
		if err != nil {
			return err
		}
		return publish()
	})
	if err != nil {
		return fmt.Errorf("keep upload: %w", err)
	}
	return nil
}

// Citations are the places of the messages in a channel by which a member may
// ask for a file, none while it is not held in that channel.
func (s *Store) Citations(ctx context.Context, channel, digest threads.Hash) ([]threads.Ref, error) {
	if !threads.IsHash(channel) || !threads.IsHash(digest) {
		return nil, nil
	}
	var rows []struct {
		Origin     string
		Epoch, Seq int64
	}
	err := s.list(ctx, &rows, `
		SELECT s.name AS origin, l.epoch, e.seq
		FROM channel c JOIN file f ON f.channel = c.id JOIN attachment a ON a.digest = f.digest AND a.channel = f.channel
		JOIN event e ON e.pos = a.pos JOIN log l ON l.id = e.log JOIN server s ON s.id = l.origin
		WHERE c.hash = ? AND f.digest = ? AND f.held = 1 ORDER BY e.pos LIMIT ?`, raw(channel), raw(digest), maxRegisters)
	if err != nil {
		return nil, fmt.Errorf("look up who names a file: %w", err)
	}
	refs := make([]threads.Ref, len(rows))
	for i, r := range rows {
		refs[i] = threads.Ref{LogID: threads.LogID{Origin: r.Origin, Epoch: r.Epoch}, Seq: r.Seq}
	}
	return refs, nil
}
