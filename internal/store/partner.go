package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// maxPending is how many servers that nobody decided about are remembered; the
// oldest makes room.
const maxPending = 1000

type partnerRow struct {
	Name, State, Fingerprint, Hold, Error, Remedy, Reason, Versions, Keys string
	KeyID                                                                 string `db:"key_id"`
	Key                                                                   []byte
	Verified, Paused                                                      bool
	Added, Attempts, Journal, Certificate                                 int64
	ContactIn                                                             int64 `db:"contact_in"`
	ContactOut                                                            int64 `db:"contact_out"`
	NextTry                                                               int64 `db:"next_try"`
	ClockDiff                                                             int64 `db:"clock_diff"`
}

const partnerSelect = `
SELECT name, state, key_id, key, fingerprint, verified, hold, added, contact_in, contact_out,
    error, remedy, attempts, next_try, clock_diff, journal, versions, paused, reason, certificate, keys
FROM partner
`

func (r *partnerRow) record() (threads.Partner, error) {
	p := threads.Partner{
		Name: r.Name, State: threads.PartnerState(r.State),
		Fingerprint: r.Fingerprint, Verified: r.Verified, Hold: r.Hold, Paused: r.Paused, Added: instant(r.Added),
		Exchange: threads.Exchange{
			ContactIn: instant(r.ContactIn), ContactOut: instant(r.ContactOut),
			Error: r.Error, Remedy: r.Remedy, Reason: r.Reason, Attempts: r.Attempts, NextTry: instant(r.NextTry),
			CertUntil: instant(r.Certificate), ClockDiff: time.Duration(r.ClockDiff) * time.Millisecond, Cursor: r.Journal,
		},
	}
	if r.KeyID != "" {
		p.Key = threads.Key{ID: r.KeyID, Public: ed25519.PublicKey(r.Key)}
	}
	for _, text := range strings.Fields(r.Versions) {
		if version, err := strconv.ParseInt(text, 10, 64); err == nil {
			p.Versions = append(p.Versions, version)
		}
	}
	if r.Keys != "" {
		if err := json.Unmarshal([]byte(r.Keys), &p.Keys); err != nil {
			return p, fmt.Errorf("read keys of partner %s: %w", r.Name, err)
		}
	}
	return p, nil
}

// Partner is the partner of that name. NotFound where there is none.
func (s *Store) Partner(ctx context.Context, name string) (threads.Partner, error) {
	var r partnerRow
	err := s.one(ctx, &r, partnerSelect+`WHERE name = ? LIMIT 1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return threads.Partner{}, notFound("partner")
	}
	if err != nil {
		return threads.Partner{}, fmt.Errorf("read partner: %w", err)
	}
	return r.record()
}

// Partners lists the partners by name: all of them, or those in one state.
func (s *Store) Partners(ctx context.Context, state threads.PartnerState, page threads.Page) ([]threads.Partner, string, error) {
	after, err := keyOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	var rows []partnerRow
	err = s.list(ctx, &rows, partnerSelect+`
		WHERE name > ? AND (CAST(? AS text) = '' OR state = ?) ORDER BY name LIMIT ?`,
		strings.Join(after, ""), state, state, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list partners: %w", err)
	}
	partners := make([]threads.Partner, len(rows))
	for i := range rows {
		if partners[i], err = rows[i].record(); err != nil {
			return nil, "", err
		}
	}
	partners, next := cut(partners, page, func(p *threads.Partner) string { return cursorAfter(p.Name) })
	return partners, next, nil
}

// SavePartner makes a partner or replaces what was decided about it: state,
// keys, fingerprint, verified, hold and paused. How the exchange goes is left as it is.
// What changes is recorded as done by whom by names.
func (s *Store) SavePartner(ctx context.Context, p threads.Partner, by threads.Act) error {
	keys := ""
	if len(p.Keys) > 1 {
		text, err := json.Marshal(p.Keys)
		if err != nil {
			return fmt.Errorf("write keys of partner %s: %w", p.Name, err)
		}
		keys = string(text)
	}
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		var old partnerRow
		err := tx.GetContext(ctx, &old, s.bind(partnerSelect+"WHERE name = ?"), p.Name)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.ExecContext(ctx, s.bind(`
			INSERT INTO partner (name, state, key_id, key, keys, fingerprint, verified, hold, added, paused)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET state = excluded.state, key_id = excluded.key_id, key = excluded.key, keys = excluded.keys,
				fingerprint = excluded.fingerprint, verified = excluded.verified, hold = excluded.hold, paused = excluded.paused`),
			p.Name, p.State, p.Key.ID, []byte(p.Key.Public), keys, p.Fingerprint, p.Verified, p.Hold, millis(p.Added), p.Paused)
		if err := errors.Join(err, s.tell(ctx, tx, News{Partner: p.Name})); err != nil {
			return err
		}
		return s.audit(ctx, tx, partnerEntries(&old, &p, by)...)
	})
	if err != nil {
		return fmt.Errorf("save partner %s: %w", p.Name, err)
	}
	return nil
}

// partnerEntries are what the audit log says of a change.
func partnerEntries(old *partnerRow, p *threads.Partner, by threads.Act) []threads.AuditEntry {
	var entries []threads.AuditEntry
	add := func(what, detail string) {
		entries = append(entries, threads.AuditEntry{Act: by, What: what, Object: p.Name, Detail: detail})
	}
	if old.State != string(p.State) {
		add(partnerStates[p.State], p.Fingerprint)
	}
	if p.Key.ID != "" && !bytes.Equal(old.Key, p.Key.Public) {
		add(threads.AuditKeyPinned, p.Fingerprint)
	}
	if old.Hold != p.Hold {
		add(threads.AuditPartnerHeld, cmp.Or(p.Hold, "let go on"))
	}
	if old.Paused != p.Paused {
		add(threads.AuditPartnerPaused, map[bool]string{true: "until it is resumed", false: "resumed"}[p.Paused])
	}
	return entries
}

var partnerStates = map[threads.PartnerState]string{
	threads.PartnerPending: threads.AuditPartnerAdded,
	threads.PartnerAllowed: threads.AuditPartnerAllowed,
	threads.PartnerBlocked: threads.AuditPartnerBlocked,
}

// NotePartner remembers a server that nobody decided about as pending, with the
// fingerprint of the key it showed, and is the partner as it is then. A partner
// that is known already is left as it is. Of the pending ones the newest 1,000
// are kept.
func (s *Store) NotePartner(ctx context.Context, name, fingerprint string, now time.Time) (threads.Partner, error) {
	known, err := s.Partner(ctx, name)
	var refused *threads.Error
	if !errors.As(err, &refused) {
		return known, err
	}
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO partner (name, state, key_id, fingerprint, verified, hold, added)
			VALUES (?, ?, '', ?, FALSE, '', ?) ON CONFLICT DO NOTHING`),
			name, threads.PartnerPending, fingerprint, millis(now))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.bind(`
			DELETE FROM partner WHERE name IN (
				SELECT name FROM partner WHERE state = ? ORDER BY added DESC, name LIMIT 100 OFFSET ?)`),
			threads.PartnerPending, maxPending)
		return err
	})
	if err != nil {
		return threads.Partner{}, fmt.Errorf("note partner %s: %w", name, err)
	}
	return s.Partner(ctx, name)
}

// SaveExchange replaces how it goes with a partner, its delivery cursor
// included. A partner that is not known is left unknown. Like the other writes
// under a fence it is ErrFenced once another node has taken the step over.
func (s *Store) SaveExchange(ctx context.Context, f threads.Fence, name string, x threads.Exchange) error {
	versions := make([]string, len(x.Versions))
	for i, v := range x.Versions {
		versions[i] = strconv.FormatInt(v, 10)
	}
	err := s.guarded(ctx, f, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.bind(`
			UPDATE partner SET contact_in = ?, contact_out = ?, error = ?, remedy = ?, attempts = ?, next_try = ?,
				clock_diff = ?, journal = ?, versions = ?, reason = ?, certificate = ? WHERE name = ?`),
			millis(x.ContactIn), millis(x.ContactOut), x.Error, x.Remedy, x.Attempts, millis(x.NextTry),
			x.ClockDiff.Milliseconds(), x.Cursor, strings.Join(versions, " "), x.Reason, millis(x.CertUntil), name)
		return err
	})
	if err != nil {
		return fmt.Errorf("save exchange with %s: %w", name, err)
	}
	return nil
}

// SavePartnerChannel makes or replaces the row of a channel that is behind,
// parked or rejected at a partner.
func (s *Store) SavePartnerChannel(ctx context.Context, f threads.Fence, c threads.PartnerChannel) error {
	channel, err := rawHash(c.Channel)
	if err == nil {
		err = s.guarded(ctx, f, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, s.bind(`
				INSERT INTO partner_channel (partner, channel, state, epoch, have, since, attempts, error, remedy)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (partner, channel) DO UPDATE SET state = excluded.state, epoch = excluded.epoch,
					have = excluded.have, since = excluded.since, attempts = excluded.attempts,
					error = excluded.error, remedy = excluded.remedy`),
				c.Partner, channel, c.State, c.Epoch, c.Have, millis(c.Since), c.Attempts, c.Error, c.Remedy)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("save channel at %s: %w", c.Partner, err)
	}
	return nil
}

// ClearPartnerChannel says that the channel is abreast at the partner.
func (s *Store) ClearPartnerChannel(ctx context.Context, f threads.Fence, partner string, channel threads.Hash) error {
	raw, err := rawHash(channel)
	if err == nil {
		err = s.guarded(ctx, f, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, s.bind(`DELETE FROM partner_channel WHERE partner = ? AND channel = ?`), partner, raw)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("clear channel at %s: %w", partner, err)
	}
	return nil
}

type partnerChannelRow struct {
	Partner, State, Error, Remedy string
	Channel                       []byte
	Epoch, Have, Since, Attempts  int64
}

func (r *partnerChannelRow) record() threads.PartnerChannel {
	return threads.PartnerChannel{
		Partner: r.Partner, Channel: hashText(r.Channel), State: r.State, Epoch: r.Epoch, Have: r.Have,
		Since: instant(r.Since), Attempts: r.Attempts, Error: r.Error, Remedy: r.Remedy,
	}
}

// PartnerChannels lists the channels that are behind, parked or rejected at the
// partner, by id.
func (s *Store) PartnerChannels(ctx context.Context, partner string, page threads.Page) ([]threads.PartnerChannel, string, error) {
	after, err := keyOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	from, err := base64.RawURLEncoding.DecodeString(strings.Join(after, ""))
	if err != nil {
		return nil, "", badCursor()
	}
	var rows []partnerChannelRow
	err = s.list(ctx, &rows, `
		SELECT partner, channel, state, epoch, have, since, attempts, error, remedy FROM partner_channel
		WHERE partner = ? AND channel > ? ORDER BY channel LIMIT ?`, partner, from, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list channels at %s: %w", partner, err)
	}
	channels := make([]threads.PartnerChannel, len(rows))
	for i := range rows {
		channels[i] = rows[i].record()
	}
	channels, next := cut(channels, page, func(c *threads.PartnerChannel) string { return cursorAfter(c.Channel) })
	return channels, next, nil
}
