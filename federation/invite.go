package federation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// wireInvite offers a person of the receiving server a channel. All of it is plain text.
type wireInvite struct {
	Address string `json:"address"`
	Inviter string `json:"inviter"` // id of the person who invites
	Name    string `json:"name"`    // of the channel
	Purpose string `json:"purpose"`
	Role    string `json:"role"`
}

// Invite offers the channel to the person whom the address names, in the name of an owner, and is
// repeatable. At the host the offer is kept and delivered; elsewhere the host is asked to.
func (x *Exchange) Invite(ctx context.Context, actor string, channel threads.Hash, address string, role threads.Role) (threads.Invitation, error) {
	return x.invite(ctx, threads.Invitation{Channel: channel, Role: role, Inviter: actor, Address: address, Created: x.Clock()})
}

// invite carries out what Invite does, ordered at the instant Created.
func (x *Exchange) invite(ctx context.Context, i threads.Invitation) (threads.Invitation, error) {
	ch, err := x.Journal.Channel(ctx, i.Channel)
	if err != nil {
		return i, fmt.Errorf("load channel %s: %w", i.Channel, err)
	}
	if err := mayInvite(ch, i.Inviter, i.Role); err != nil {
		return i, err
	}
	name, server, ok := strings.Cut(i.Address, "@")
	if _, err := ParseServerName(server); !ok || err != nil || threads.CheckName(name) != nil {
		return i, threads.Refuse(threads.Invalid, "invalid", "/address", "must be name@server")
	}
	if ch.Host != x.Server {
		return x.inviteThere(ctx, ch, i.Inviter, i.Address, i.Role)
	}
	if err := x.mayOffer(ctx, ch, i.Address); err != nil {
		return i, err
	}
	i.Direction, i.Host, i.State = threads.InvitationOut, x.Server, threads.InvitationPending
	i.Name, i.Purpose = ch.Settings.Name, ch.Settings.Purpose
	return x.keepOffer(ctx, ch, i)
}

// maxOffers is how often one person can be offered one channel.
const maxOffers = 100

// keepOffer keeps an invitation, or finds the one that is still open, or that was answered since this
// one was ordered: then the order is a repeated one. What was offered before this server lost its
// invitations, and accepted, is not offered again: nobody would hear of it.
func (x *Exchange) keepOffer(ctx context.Context, ch *threads.Channel, i threads.Invitation) (threads.Invitation, error) {
	_, server, _ := strings.Cut(i.Address, "@")
	if server == x.Server {
		p, err := x.localPerson(ctx, i.Address)
		if err != nil {
			return i, err
		}
		i.Direction, i.Invitee = threads.InvitationIn, p.ID
	}
	for n := range maxOffers {
		i.ID, i.Offer = x.NewID(), threads.HashOf(fmt.Appendf(nil, "%s %s %d", i.Channel, i.Address, n))
		if _, err := x.Invitations.InvitationByOffer(ctx, i.Direction, i.Host, i.Offer); isNotFound(err) && accepted(ch, i.Offer) {
			continue
		}
		kept, err := x.Invitations.AddInvitation(ctx, i)
		if err != nil {
			return i, err
		}
		if kept.State == threads.InvitationPending || kept.State == threads.InvitationAccepted || kept.Changed.After(i.Created) {
			x.courier(server).write()
			return kept, nil
		}
	}
	return i, threads.Refuse(threads.TooMany, "too_many_invitations", "/address", "was invited too often")
}

// accepted reports whether an offer led to a control event.
func accepted(ch *threads.Channel, offer string) bool {
	return slices.ContainsFunc(ch.Admissions(), func(a threads.Admitted) bool { return ch.Requested(a.Server, offer) > 0 })
}

func mayInvite(ch *threads.Channel, actor string, role threads.Role) error {
	switch {
	case ch == nil || ch.Role(actor) == threads.RoleNone:
		return threads.Refuse(threads.NotFound, "not_found", "", "there is no such channel, or you are not in it")
	case !ch.Role(actor).Gives(threads.RightOwn):
		return threads.Refuse(threads.Forbidden, "role", "", "only an owner can invite")
	case !threads.IsRole(string(role)):
		return threads.Refuse(threads.Invalid, "invalid", "/role", "must be reader, guest, member or owner")
	}
	return ch.Changeable()
}

// mayOffer refuses invitations of people who are members, and to servers that would not hear of them.
func (x *Exchange) mayOffer(ctx context.Context, ch *threads.Channel, address string) error {
	known, err := x.People.PersonByAddress(ctx, address)
	if err != nil && !isNotFound(err) {
		return err
	}
	if err == nil && ch.Role(known.ID) != threads.RoleNone {
		return threads.Refuse(threads.Conflict, "already_member", "/address", "is a member already")
	}
	_, server, _ := strings.Cut(address, "@")
	a, err := x.acquaintance(ctx, server)
	if err != nil || server == x.Server {
		return err
	}
	if a.partner.State != threads.PartnerAllowed || a.partner.Hold != "" {
		return threads.Refuse(threads.Conflict, "not_partner", "/address", server+" is not a partner of this server; an administrator can add and allow it")
	}
	return nil
}

func (x *Exchange) localPerson(ctx context.Context, address string) (threads.PersonRecord, error) {
	p, err := x.People.PersonByAddress(ctx, address)
	if err == nil && (!p.Local || p.Disabled) || isNotFound(err) {
		return p, threads.Refuse(threads.NotFound, "no_such_person", "/address", "nobody here has this address")
	}
	return p, err
}

func isNotFound(err error) bool {
	var refused *threads.Error
	return errors.As(err, &refused) && refused.Kind == threads.NotFound
}

func (x *Exchange) inviteThere(ctx context.Context, ch *threads.Channel, actor, address string, role threads.Role) (threads.Invitation, error) {
	answer, err := x.order(ctx, ch.Host, wireRequest{
		ID: x.NewID(), Kind: kindCommand, Channel: ch.ID,
		Command: &wireCommand{Kind: commandInvite, Actor: actor, Address: address, Role: string(role)},
	})
	return threads.Invitation{
		ID: answer.Invitation, Direction: threads.InvitationOut, Offer: answer.Invitation, Channel: ch.ID, Host: ch.Host,
		Name: ch.Settings.Name, Purpose: ch.Settings.Purpose, Role: role, Inviter: actor, Address: address,
		State: threads.InvitationPending, Created: x.Clock(),
	}, err
}

// invited keeps an offer that a partner makes to a person of this server.
func (x *Exchange) invited(ctx context.Context, from caller, r wireRequest) error {
	a, err := x.acquaintance(ctx, from.name)
	if err != nil {
		return err
	}
	if a.partner.State != threads.PartnerAllowed {
		return refuseExchange(http.StatusForbidden, "not_partner", "only partners may invite")
	}
	if err := checkInvite(r.Invite, x.Server); err != nil {
		return err
	}
	p, err := x.localPerson(ctx, r.Invite.Address)
	if err != nil {
		return err
	}
	_, err = x.Invitations.AddInvitation(ctx, threads.Invitation{
		ID: x.NewID(), Direction: threads.InvitationIn, Offer: r.ID, Channel: r.Channel, Host: from.name,
		Name: r.Invite.Name, Purpose: r.Invite.Purpose, Role: threads.Role(r.Invite.Role),
		Inviter: r.Invite.Inviter, Invitee: p.ID, Address: r.Invite.Address,
		State: threads.InvitationPending, Created: from.now,
	})
	return err
}

func checkInvite(i *wireInvite, self string) error {
	_, server, _ := strings.Cut(i.Address, "@")
	switch {
	case server != self || len(i.Address) > threads.MaxIdentifier:
		return badRequest("/invite/address", "must be of a person of this server")
	case !threads.IsRole(i.Role):
		return badRequest("/invite/role", "must be reader, guest, member or owner")
	case threads.ServerOf(i.Inviter) == "":
		return badRequest("/invite/inviter", "must be the id of a person")
	case i.Name == "" || len(i.Name) > threads.MaxName || threads.CheckText(i.Name) != nil:
		return badRequest("/invite/name", fmt.Sprintf("must be a text of 1 to %d bytes", threads.MaxName))
	case len(i.Purpose) > threads.MaxPurpose || threads.CheckText(i.Purpose) != nil:
		return badRequest("/invite/purpose", fmt.Sprintf("must be a text of at most %d bytes", threads.MaxPurpose))
	}
	return nil
}

// offer tells the invited person's server of an invitation. A refusal fails the invitation.
func (c *Courier) offer(ctx context.Context, i threads.Invitation) error {
	var answer requestAnswer
	err := c.x.askJSON(ctx, c.name, requestPath, wireRequest{
		ID: i.Offer, Kind: kindInvite, Channel: i.Channel,
		Invite: &wireInvite{Address: i.Address, Inviter: i.Inviter, Name: i.Name, Purpose: i.Purpose, Role: string(i.Role)},
	}, &answer)
	if rejected(err) {
		return c.x.failInvitation(ctx, i, err)
	}
	return err
}

// failInvitation notes why an invitation came to nothing.
func (x *Exchange) failInvitation(ctx context.Context, i threads.Invitation, cause error) error {
	from := i.State
	i.State, i.Error, i.Changed = threads.InvitationFailed, firstBytes(cause.Error(), 300), x.Clock()
	var p *Problem
	if errors.As(cause, &p) {
		i.Error = firstBytes(p.Detail, 300)
	}
	return x.settle(ctx, i, from)
}

// settle changes the state of an invitation; that it has another one by now is not an error.
func (x *Exchange) settle(ctx context.Context, i threads.Invitation, from string) error {
	err := x.Invitations.SetInvitation(ctx, i, from)
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.Conflict {
		return nil
	}
	return err
}

// correspond tells the server of invitations: of offers to its people, and of our people's answers to
// its offers.
func (c *Courier) correspond(ctx context.Context) error {
	if !c.letters {
		return nil
	}
	for _, letter := range []struct {
		direction, state string
		write            func(context.Context, threads.Invitation) error
	}{
		{threads.InvitationOut, threads.InvitationPending, c.writeOffer},
		{threads.InvitationIn, threads.InvitationAccepted, c.writeAcceptance},
		{threads.InvitationIn, threads.InvitationDeclined, c.writeRefusal},
	} {
		err := c.each(ctx, letter.direction, letter.state, func(i threads.Invitation) error {
			return c.shelve(i, letter.write(ctx, i))
		})
		if err != nil {
			return err
		}
	}
	c.letters = false
	return nil
}

// shelve leaves a letter that the server answers and does not take now until the next comparison:
// nothing else that there is to do for the server waits for it.
func (c *Courier) shelve(i threads.Invitation, err error) error {
	var refused *Problem
	if !errors.As(err, &refused) {
		return err
	}
	c.x.Log.Info("a letter about an invitation is tried again later", "partner", c.name, "channel", i.Channel, "error", refused)
	return nil
}

func (c *Courier) writeOffer(ctx context.Context, i threads.Invitation) error {
	if _, server, _ := strings.Cut(i.Address, "@"); server != c.name || c.offered[i.ID] || c.x.Clock().Before(c.offerAt[i.Address]) {
		return nil
	}
	ch, err := c.x.Journal.Channel(ctx, i.Channel)
	if err != nil {
		return fmt.Errorf("load channel %s: %w", i.Channel, err)
	}
	if ch != nil && ch.Host != c.x.Server {
		return c.x.failInvitation(ctx, i, movedFrom(ch))
	}
	err = c.offer(ctx, i)
	var full *Problem
	if errors.As(err, &full) && full.Code == c.x.limits[invitationsWaiting].Code { // for this person alone: nothing else waits for that
		c.offerAt[i.Address] = c.x.Clock().Add(full.retryAfter)
		return nil
	}
	c.offered[i.ID] = err == nil
	return err
}

func (c *Courier) writeAcceptance(ctx context.Context, i threads.Invitation) error {
	if i.Host != c.name {
		return nil
	}
	return c.x.join(ctx, i)
}

// refusalLife is for how long a host that was not reached is told that its offer was declined.
const refusalLife = 30 * 24 * time.Hour

func (c *Courier) writeRefusal(ctx context.Context, i threads.Invitation) error {
	if i.Host != c.name || c.offered[i.ID] || c.x.Clock().Sub(i.Changed) > refusalLife {
		return nil
	}
	if err := c.x.decline(ctx, i); err != nil && !rejected(err) {
		return err
	}
	c.offered[i.ID] = true
	return nil
}

func (c *Courier) each(ctx context.Context, direction, state string, f func(threads.Invitation) error) error {
	page := threads.Page{Limit: 100}
	for {
		invitations, next, err := c.x.Invitations.InvitationsIn(ctx, direction, state, page)
		if err != nil {
			return fmt.Errorf("list invitations: %w", err)
		}
		for _, i := range invitations {
			if err := f(i); err != nil {
				return err
			}
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}
