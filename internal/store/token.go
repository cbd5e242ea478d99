package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// AddToken stores a token by the SHA-256 of its secret; the secret itself is
// never stored. NotFound where its person is none of this server.
func (s *Store) AddToken(ctx context.Context, t threads.Token, secret string) error {
	hash := sha256.Sum256([]byte(secret))
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO token (hash, id, person, label, bot, created, used, expires)
			SELECT ?, ?, a.person, ?, ?, ?, 0, ? FROM account a JOIN person p ON p.id = a.person
			WHERE p.uri = ? AND NOT a.disabled`),
			hash[:], t.ID, t.Label, t.Bot, millis(t.Created), millis(t.Expires), t.Person)
		if err != nil {
			return err
		}
		if made, err := done.RowsAffected(); err != nil || made == 0 {
			return errors.Join(err, notFound("person of this server"))
		}
		if t.By == "" {
			return nil
		}
		return s.audit(ctx, tx, tokenEntry(threads.AuditTokenMade, threads.Act{Who: t.By, At: t.Created}, t.Person, t.ID))
	})
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	return nil
}

// PersonByToken is for whom the bearer of the secret acts, and the token's id.
// NotFound for a secret that is unknown, expired or revoked, and for a disabled
// person. That it was used is noted to the day, where that can be written.
func (s *Store) PersonByToken(ctx context.Context, secret string, now time.Time) (threads.PersonRecord, string, error) {
	hash := sha256.Sum256([]byte(secret))
	var r struct {
		personRow
		Token string
		Used  int64
	}
	query := strings.Replace(personSelect, "SELECT", "SELECT t.id AS token, t.used AS used,", 1) + `
		JOIN token t ON t.person = a.person
		WHERE t.hash = ? AND (t.expires = 0 OR t.expires > ?) AND NOT a.disabled LIMIT 1`
	err := s.one(ctx, &r, query, hash[:], millis(now))
	if errors.Is(err, sql.ErrNoRows) {
		return threads.PersonRecord{}, "", notFound("token")
	}
	if err != nil {
		return threads.PersonRecord{}, "", fmt.Errorf("look up token: %w", err)
	}
	if r.Used < day(now) {
		// A database that takes no writes now must not keep people from reading.
		_ = s.change(ctx, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, s.bind(`UPDATE token SET used = ? WHERE hash = ? AND used < ?`), day(now), hash[:], day(now))
			return err
		})
	}
	return r.record(), r.Token, nil
}

// Tokens lists the tokens of a person, oldest first.
func (s *Store) Tokens(ctx context.Context, person string, page threads.Page) ([]threads.Token, string, error) {
	after, err := keyOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	var rows []struct {
		ID, Label              string
		Bot                    bool
		Created, Used, Expires int64
	}
	err = s.list(ctx, &rows, `
		SELECT t.id, t.label, t.bot, t.created, t.used, t.expires FROM token t JOIN person p ON p.id = t.person
		WHERE p.uri = ? AND t.id > ? ORDER BY t.id LIMIT ?`, person, strings.Join(after, ""), page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list tokens: %w", err)
	}
	tokens := make([]threads.Token, len(rows))
	for i, r := range rows {
		tokens[i] = threads.Token{
			ID: r.ID, Person: person, Label: r.Label, Bot: r.Bot,
			Created: instant(r.Created), LastUsed: dayStart(r.Used), Expires: instant(r.Expires),
		}
	}
	tokens, next := cut(tokens, page, func(t *threads.Token) string { return cursorAfter(t.ID) })
	return tokens, next, nil
}

// RevokeToken ends a token of the person; it is recorded where by names
// somebody. NotFound where they have none with that id.
func (s *Store) RevokeToken(ctx context.Context, person, id string, by threads.Act) error {
	if threads.CheckText(id) != nil {
		return notFound("token")
	}
	return s.change(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, s.bind(`
			DELETE FROM token WHERE id = ? AND person = (SELECT id FROM person WHERE uri = ?)`), id, person)
		if err != nil {
			return fmt.Errorf("revoke tokens: %w", err)
		}
		if gone, err := done.RowsAffected(); err != nil || gone == 0 {
			return errors.Join(err, notFound("token"))
		}
		if err := s.tell(ctx, tx, News{Person: person}); err != nil || by.Who == "" {
			return err
		}
		return s.audit(ctx, tx, tokenEntry(threads.AuditTokenRevoked, by, person, id))
	})
}

func tokenEntry(what string, by threads.Act, person, id string) threads.AuditEntry {
	return threads.AuditEntry{Act: by, What: what, Object: id, Detail: "of " + person}
}
