package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// ForgetPerson erases what this server alone keeps of a person of its own:
// account, profile, tokens, marks, invitations, outcomes. Of the address a digest
// stays, so that nobody gets it again. What stands in channels is for events to
// erase: see PeopleToErase. NotFound where there is no such person.
func (s *Store) ForgetPerson(ctx context.Context, person string, by threads.Act) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		var p struct {
			ID      int64
			Address string
		}
		err := tx.GetContext(ctx, &p, s.bind(`
			SELECT p.id, COALESCE(f.address, '') AS address FROM person p
			JOIN account a ON a.person = p.id LEFT JOIN profile f ON f.person = p.id WHERE p.uri = ?`), person)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("person of this server")
		}
		if err != nil {
			return err
		}
		if err := s.forgetRows(ctx, tx, p.ID, person, p.Address); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, News{Person: person}); err != nil {
			return err
		}
		return s.audit(ctx, tx, threads.AuditEntry{Act: by, What: threads.AuditErased, Object: person, Detail: "the person, with all that they wrote"})
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", person, err)
	}
	return nil
}

func (s *Store) forgetRows(ctx context.Context, tx *sqlx.Tx, id int64, person, address string) error {
	digest := sha256.Sum256([]byte(address))
	for _, step := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO former (name, person, told) VALUES (?, ?, FALSE)", []any{digest[:], id}},
		{"DELETE FROM account WHERE person = ?", []any{id}},
		{"DELETE FROM token WHERE person = ?", []any{id}},
		{eraseProfile, []any{id, erasedProfile}},
		{"DELETE FROM read_mark WHERE person = ?", []any{id}},
		{"DELETE FROM follow WHERE person = ?", []any{id}},
		{"DELETE FROM mention WHERE person = ?", []any{id}},
		{"DELETE FROM idempotency WHERE person = ?", []any{id}},
		{"DELETE FROM invitation WHERE invitee = ? OR address = ?", []any{person, address}},
	} {
		if _, err := tx.ExecContext(ctx, s.bind(step.query), step.args...); err != nil {
			return err
		}
	}
	return s.needSweep(ctx, tx)
}

// neverHeld refuses an address that somebody had who was erased.
func (s *Store) neverHeld(ctx context.Context, tx *sqlx.Tx, address string) error {
	digest := sha256.Sum256([]byte(address))
	var held bool
	err := tx.GetContext(ctx, &held, s.bind(`SELECT EXISTS (SELECT 1 FROM former WHERE name = ?)`), digest[:])
	if err == nil && held {
		err = threads.Refuse(threads.Conflict, "name_taken", "/name", "was somebody's who was erased, and is never given again; choose another")
	}
	return err
}

// PeopleToErase are at most limit people who were forgotten and of whom some
// channel has not been told yet.
func (s *Store) PeopleToErase(ctx context.Context, limit int) ([]string, error) {
	var people []string
	err := s.list(ctx, &people, `SELECT p.uri FROM former f JOIN person p ON p.id = f.person WHERE NOT f.told ORDER BY p.id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("list whom to erase: %w", err)
	}
	return people, nil
}

// PersonTold notes that every channel of an erased person has been told.
func (s *Store) PersonTold(ctx context.Context, person string) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`UPDATE former SET told = TRUE WHERE person = (SELECT id FROM person WHERE uri = ?)`), person)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that %s is erased: %w", person, err)
	}
	return nil
}

// PersonErased reports whether the person's texts are erased in the channel.
func (s *Store) PersonErased(ctx context.Context, channel threads.Hash, person string) (bool, error) {
	var erased bool
	err := s.one(ctx, &erased, `SELECT EXISTS (SELECT 1 FROM erasure
		WHERE channel = (SELECT id FROM channel WHERE hash = ?) AND target = ?)`, raw(channel), []byte(person))
	return erased, err
}
