package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// ChangeProfile changes the profile of a person of this server. Conflict where
// it is no longer of the version that the change was made to.
func (s *Store) ChangeProfile(ctx context.Context, c threads.ProfileChange) (threads.PersonRecord, error) {
	if err := errors.Join(checkProfile(c.Shown, c.Zone, c.Hours), checkProfile(nil, nil, c.Digest)); err != nil {
		return threads.PersonRecord{}, err
	}
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		var id int64
		err := tx.GetContext(ctx, &id, s.bind(`
			SELECT a.person FROM account a JOIN person p ON p.id = a.person WHERE p.uri = ? LIMIT 1`), c.Person)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("person of this server")
		}
		if err != nil {
			return err
		}
		if err := s.writeProfile(ctx, tx, id, c); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, s.bind(`UPDATE account SET digest = COALESCE(?, digest) WHERE person = ?`), c.Digest, id); err != nil {
			return err
		}
		return s.tell(ctx, tx, News{Person: c.Person})
	})
	if err != nil {
		return threads.PersonRecord{}, fmt.Errorf("change profile: %w", err)
	}
	return s.Person(ctx, c.Person)
}

// writeProfile gives the profile a version above its old one and, so that one
// restored from a backup does not fall behind what partners hold, not below the
// present.
func (s *Store) writeProfile(ctx context.Context, tx *sqlx.Tx, id int64, c threads.ProfileChange) error {
	now := millis(c.Now)
	done, err := tx.ExecContext(ctx, s.bind(`
		UPDATE profile SET shown = COALESCE(?, shown), zone = COALESCE(?, zone), hours = COALESCE(?, hours),
			version = CASE WHEN version < ? THEN ? ELSE version + 1 END
		WHERE person = ? AND (CAST(? AS bigint) = 0 OR version = ?)`),
		c.Shown, c.Zone, c.Hours, now, now, id, c.Version, c.Version)
	if err != nil {
		return err
	}
	if changed, err := done.RowsAffected(); err != nil || changed == 0 {
		return errors.Join(err, threads.Refuse(threads.Conflict, "stale", "", "was changed meanwhile; read it again and repeat the change"))
	}
	return nil
}

// LearnProfile takes in the profile of a person of another server as that
// server tells it, and reports whether it is newer than what is known here. It
// refuses one that its server has no say over.
func (s *Store) LearnProfile(ctx context.Context, p threads.PersonRecord) (bool, error) {
	p.Address = strings.ToLower(p.Address)
	if err := checkRemote(&p); err != nil {
		return false, err
	}
	newer := false
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		id, err := s.internPerson(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		var known struct {
			Local   bool
			Version int64
		}
		err = tx.GetContext(ctx, &known, s.bind(`
			SELECT EXISTS (SELECT 1 FROM account WHERE person = ?) AS local,
				COALESCE((SELECT version FROM profile WHERE person = ?), 0) AS version`), id, id)
		if err != nil {
			return err
		}
		if known.Local {
			return threads.Refuse(threads.Forbidden, "origin", "/person", "is a person of this server")
		}
		if threads.ServerOf(p.ID) == s.server { // one who was of this server before it lost its accounts
			if err := s.mustBeFree(ctx, tx, p.Address); err != nil {
				return err
			}
		}
		newer = p.Version > known.Version
		if !newer {
			return nil
		}
		return s.replaceProfile(ctx, tx, id, p)
	})
	if err != nil {
		return false, fmt.Errorf("learn profile: %w", err)
	}
	return newer, nil
}

// replaceProfile takes the address from whoever had it: the newest word of that
// server counts.
func (s *Store) replaceProfile(ctx context.Context, tx *sqlx.Tx, id int64, p threads.PersonRecord) error {
	_, err := tx.ExecContext(ctx, s.bind(`UPDATE profile SET address = NULL WHERE address = ? AND person <> ?`), p.Address, id)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, s.bind(`
		INSERT INTO profile (person, address, shown, zone, hours, version, signed) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (person) DO UPDATE SET address = excluded.address, shown = excluded.shown,
			zone = excluded.zone, hours = excluded.hours, version = excluded.version, signed = excluded.signed`),
		id, p.Address, p.Name, p.Zone, p.Hours, p.Version, p.Signed)
	return err
}

// mustBeFree refuses an address that somebody of this server has.
func (s *Store) mustBeFree(ctx context.Context, tx *sqlx.Tx, address string) error {
	name, _, _ := strings.Cut(address, "@")
	var taken bool
	err := tx.GetContext(ctx, &taken, s.bind(`SELECT EXISTS (SELECT 1 FROM account WHERE name = ?)`), name)
	if err == nil && taken {
		err = threads.Refuse(threads.Conflict, "name_taken", "/address", "is somebody's on this server already")
	}
	return err
}

func checkRemote(p *threads.PersonRecord) error {
	name, server, _ := strings.Cut(p.Address, "@")
	switch {
	case threads.ServerOf(p.ID) == "":
		return threads.Refuse(threads.Invalid, "invalid", "/person", "must be the id of a person")
	case threads.CheckName(name) != nil || server != threads.ServerOf(p.ID):
		return threads.Refuse(threads.Invalid, "invalid", "/address", "must be a name at the person's own server")
	case p.Version < 1:
		return threads.Refuse(threads.Invalid, "invalid", "/version", "counts from 1")
	}
	return checkProfile(&p.Name, &p.Zone, &p.Hours)
}
