package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

type invitationRow struct {
	ID, Direction, Offer, Host, Name, Purpose, Role string
	Inviter, Invitee, Address, State, Error         string
	Channel                                         []byte
	Created, Changed                                int64
}

const invitationSelect = `
SELECT id, direction, offer, channel, host, name, purpose, role, inviter, invitee, address, state, error, created, changed
FROM invitation
`

func (r *invitationRow) record() threads.Invitation {
	return threads.Invitation{
		ID: r.ID, Direction: r.Direction, Offer: r.Offer, Channel: hashText(r.Channel), Host: r.Host,
		Name: r.Name, Purpose: r.Purpose, Role: threads.Role(r.Role), Inviter: r.Inviter, Invitee: r.Invitee,
		Address: r.Address, State: r.State, Error: r.Error, Created: instant(r.Created), Changed: instant(r.Changed),
	}
}

// AddInvitation keeps an invitation. One that is known already, by its
// direction, host and the host's id of it, is left as it is, and that one is
// returned. TooMany where the host has 100 undecided ones lying with the person.
func (s *Store) AddInvitation(ctx context.Context, i threads.Invitation) (threads.Invitation, error) {
	channel, err := rawHash(i.Channel)
	if err != nil {
		return threads.Invitation{}, threads.Refuse(threads.Invalid, "invalid", "/channel", "must be the id of a channel")
	}
	var kept invitationRow
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		var waiting int
		err := tx.GetContext(ctx, &waiting, s.bind(`
			SELECT COUNT(*) FROM (SELECT 1 FROM invitation
				WHERE invitee = ? AND address = ? AND direction = ? AND host = ? AND state = ? LIMIT ?) AS undecided`),
			i.Invitee, i.Address, i.Direction, i.Host, threads.InvitationPending, threads.MaxInvitations)
		if err != nil {
			return err
		}
		if waiting < threads.MaxInvitations {
			_, err = tx.ExecContext(ctx, s.bind(`
				INSERT INTO invitation (id, direction, offer, channel, host, name, purpose, role,
					inviter, invitee, address, state, error, created, changed)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (direction, host, offer) DO NOTHING`),
				i.ID, i.Direction, i.Offer, channel, i.Host, i.Name, i.Purpose, i.Role,
				i.Inviter, i.Invitee, i.Address, i.State, i.Error, millis(i.Created), millis(i.Created))
			if err != nil {
				return err
			}
		}
		err = tx.GetContext(ctx, &kept, s.bind(invitationSelect+`
			WHERE direction = ? AND host = ? AND offer = ? LIMIT 1`), i.Direction, i.Host, i.Offer)
		if errors.Is(err, sql.ErrNoRows) {
			return threads.Refuse(threads.TooMany, "too_many_invitations", "", "too many invitations wait for this person; some have to be answered first")
		}
		return err
	})
	if err != nil {
		return threads.Invitation{}, fmt.Errorf("keep invitation: %w", err)
	}
	return kept.record(), nil
}

// Invitation is the one with this server's id. NotFound where there is none.
func (s *Store) Invitation(ctx context.Context, id string) (threads.Invitation, error) {
	return s.oneInvitation(ctx, `id = ?`, id)
}

// InvitationByOffer is the one to which the host gave the id offer. NotFound
// where there is none.
func (s *Store) InvitationByOffer(ctx context.Context, direction, host, offer string) (threads.Invitation, error) {
	return s.oneInvitation(ctx, `direction = ? AND host = ? AND offer = ?`, direction, host, offer)
}

func (s *Store) oneInvitation(ctx context.Context, where string, args ...any) (threads.Invitation, error) {
	for _, arg := range args {
		if threads.CheckText(arg.(string)) != nil {
			return threads.Invitation{}, notFound("invitation")
		}
	}
	var r invitationRow
	err := s.one(ctx, &r, invitationSelect+`WHERE `+where+` LIMIT 1`, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return threads.Invitation{}, notFound("invitation")
	}
	if err != nil {
		return threads.Invitation{}, fmt.Errorf("read invitation: %w", err)
	}
	return r.record(), nil
}

// Invitations lists those to a person of this server, newest first.
func (s *Store) Invitations(ctx context.Context, person string, page threads.Page) ([]threads.Invitation, string, error) {
	return s.listInvitations(ctx, page, `invitee = ? AND direction = ?`, person, threads.InvitationIn)
}

// InvitationsOf lists those that this server made into the channel, newest first.
func (s *Store) InvitationsOf(ctx context.Context, channel threads.Hash, page threads.Page) ([]threads.Invitation, string, error) {
	raw, err := rawHash(channel)
	if err != nil {
		return nil, "", notFound("channel")
	}
	return s.listInvitations(ctx, page, `channel = ? AND direction = ?`, raw, threads.InvitationOut)
}

// InvitationsIn lists those of one direction and state, newest first: accepted
// ones that still have to be told to their host, for example.
func (s *Store) InvitationsIn(ctx context.Context, direction, state string, page threads.Page) ([]threads.Invitation, string, error) {
	return s.listInvitations(ctx, page, `state = ? AND direction = ?`, state, direction)
}

// lastID sorts after every UUID.
const lastID = "~"

func (s *Store) listInvitations(ctx context.Context, page threads.Page, where string, args ...any) ([]threads.Invitation, string, error) {
	after, err := keyOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	from := lastID
	if after != nil {
		from = after[0]
	}
	var rows []invitationRow
	query := invitationSelect + `WHERE ` + where + ` AND id < ? ORDER BY id DESC LIMIT ?`
	if err := s.list(ctx, &rows, query, append(args, from, page.Size()+1)...); err != nil {
		return nil, "", fmt.Errorf("list invitations: %w", err)
	}
	invitations := make([]threads.Invitation, len(rows))
	for i := range rows {
		invitations[i] = rows[i].record()
	}
	invitations, next := cut(invitations, page, func(i *threads.Invitation) string { return cursorAfter(i.ID) })
	return invitations, next, nil
}

// SetInvitation gives an invitation the State, Error, Invitee and Changed of i,
// provided that its state is still from. NotFound for an unknown one, Conflict
// for one that has meanwhile another state.
func (s *Store) SetInvitation(ctx context.Context, i threads.Invitation, from string) error {
	if !threads.IsInvitationState(i.State) {
		return fmt.Errorf("%q is no state of an invitation", i.State)
	}
	if _, err := s.Invitation(ctx, i.ID); err != nil {
		return err
	}
	return s.change(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, s.bind(`
			UPDATE invitation SET state = ?, error = ?, invitee = ?, changed = ? WHERE id = ? AND state = ?`),
			i.State, i.Error, i.Invitee, millis(i.Changed), i.ID, from)
		if err != nil {
			return fmt.Errorf("set invitation: %w", err)
		}
		if changed, err := done.RowsAffected(); err != nil || changed == 0 {
			return errors.Join(err, threads.Refuse(threads.Conflict, "invitation_state", "", "the invitation is "+from+" no longer"))
		}
		return nil
	})
}
