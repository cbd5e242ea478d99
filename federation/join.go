package federation

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"meridian/threads"
)

// wireAccept is the joining server's word that a person of its joins.
type wireAccept struct {
	Acceptance string       `json:"acceptance"` // signature, base64url; "" to learn the place first
	Person     string       `json:"person"`
	Prev       threads.Hash `json:"prev"` // the control head that the acceptance names
	Role       string       `json:"role"`
}

// staleAcceptance is the code that both a host's journal and its answer use for an acceptance of a
// place that is no longer the end of the control log.
const staleAcceptance = "stale_acceptance"

// joinTries is how often an acceptance is signed anew because the control log moved on.
const joinTries = 8

// Answer accepts or declines an invitation to a person of this server. A host that is not reached
// hears of it later; until then the invitation stays accepted, or declined, here alone.
func (x *Exchange) Answer(ctx context.Context, person, invitation string, accept bool) (threads.Invitation, error) {
	i, err := x.Invitations.Invitation(ctx, invitation)
	if err != nil {
		return i, err
	}
	if i.Invitee != person || i.Direction != threads.InvitationIn {
		return i, threads.Refuse(threads.NotFound, "not_found", "", "there is no such invitation")
	}
	from := i.State
	i.State, i.Changed = threads.InvitationDeclined, x.Clock()
	if accept {
		i.State = threads.InvitationAccepted
	}
	if from == i.State || from == threads.InvitationJoined && accept {
		i.State = from
		return i, nil
	}
	if from != threads.InvitationPending {
		return i, threads.Refuse(threads.Conflict, "answered", "", "the invitation is "+from+" already")
	}
	if accept {
		if err := x.Invitations.Expect(ctx, i.Channel); err != nil {
			return i, fmt.Errorf("expect channel %s: %w", i.Channel, err)
		}
	}
	if err := x.Invitations.SetInvitation(ctx, i, from); err != nil {
		return i, err
	}
	return x.tell(ctx, i)
}

// tell lets the host know of an answer at once where it can be reached.
func (x *Exchange) tell(ctx context.Context, i threads.Invitation) (threads.Invitation, error) {
	var err error
	switch {
	case i.State == threads.InvitationAccepted:
		err = x.join(ctx, i)
	case i.Host != x.Server:
		err = x.decline(ctx, i)
	}
	var unreached *Unreached
	var refused *Problem
	if errors.As(err, &unreached) || errors.As(err, &refused) {
		x.courier(i.Host).write()
		err = nil
	}
	if err != nil {
		return i, err
	}
	return x.Invitations.Invitation(ctx, i.ID)
}

// decline lets the host know that a person of this server will not join.
func (x *Exchange) decline(ctx context.Context, i threads.Invitation) error {
	return x.askJSON(ctx, i.Host, requestPath, wireRequest{ID: i.Offer, Kind: kindDecline, Channel: i.Channel}, &requestAnswer{})
}

// join has the host let a person in who accepted an invitation, and fetches the channel. What is
// signed is composed here, from the invitation that the person accepted and this server's own key;
// of the host's answers only the hash of its newest control event goes into it.
func (x *Exchange) join(ctx context.Context, i threads.Invitation) error {
	if i.Host == x.Server {
		return x.joinHere(ctx, i)
	}
	prev := threads.Hash("")
	for range joinTries {
		accept := x.acceptance(i, prev)
		err := x.askJSON(ctx, i.Host, requestPath, wireRequest{ID: i.Offer, Kind: kindAccept, Channel: i.Channel, Accept: &accept}, &requestAnswer{})
		var p *Problem
		if errors.As(err, &p) && p.Code == staleAcceptance && p.Control != nil && threads.IsHash(p.Control.Hash) {
			prev = p.Control.Hash
			continue
		}
		if rejected(err) {
			return x.failInvitation(ctx, i, err)
		}
		if err != nil {
			return err
		}
		i.State, i.Changed = threads.InvitationJoined, x.Clock()
		if err := x.settle(ctx, i, threads.InvitationAccepted); err != nil {
			return err
		}
		return x.catchUp(ctx, i.Host, i.Channel)
	}
	return &Unreached{fmt.Errorf("join %s at %s: its control log moved on %d times meanwhile", i.Channel, i.Host, joinTries)}
}

func (x *Exchange) acceptance(i threads.Invitation, prev threads.Hash) wireAccept {
	out := wireAccept{Person: i.Invitee, Prev: prev, Role: string(i.Role)}
	if prev != "" {
		a := threads.Acceptance{Channel: i.Channel, Host: i.Host, Person: i.Invitee, Role: i.Role, Prev: prev, Key: x.EventKey()}
		out.Acceptance = base64.RawURLEncoding.EncodeToString(x.sign(a.SigningBytes()))
	}
	return out
}

// joinHere lets a person of the host itself in.
func (x *Exchange) joinHere(ctx context.Context, i threads.Invitation) error {
	err := x.Do(ctx, Order{Actor: i.Inviter, Now: x.Clock(), Command: threads.Join{
		Channel: i.Channel, Request: threads.Request{ID: i.Offer}, Person: i.Invitee, Role: i.Role,
	}})
	if err != nil && !isMember(err) {
		return x.failInvitation(ctx, i, err)
	}
	i.State, i.Changed = threads.InvitationJoined, x.Clock()
	return x.settle(ctx, i, threads.InvitationAccepted)
}

func isMember(err error) bool {
	var refused *threads.Error
	return errors.As(err, &refused) && refused.Code == "already_member"
}

// catchUp fetches a channel from a server at once, a few pages of it; the courier does the rest.
func (x *Exchange) catchUp(ctx context.Context, server string, channel threads.Hash) error {
	c := x.courier(server)
	for range 8 {
		asked, err := x.lackingHere(ctx, channel, &want{})
		if err != nil {
			return err
		}
		got, tail, err := c.fetch(ctx, pullRequest{Channels: []pullChannel{asked}}, false, x.Clock())
		if err != nil {
			return err
		}
		if len(tail.Channels) != 1 || !tail.Channels[0].More || got.answer.Channels[channel] == nil || len(got.answer.Channels[channel].Taken) == 0 {
			break
		}
	}
	ch, err := x.Journal.Channel(ctx, channel)
	if err != nil || ch == nil {
		return err
	}
	for _, name := range ch.Servers() {
		if name != x.Server {
			x.courier(name).want(channel, note{})
		}
	}
	return nil
}

// outgoing is this host's invitation that a request of the invited server is about.
func (x *Exchange) outgoing(ctx context.Context, from caller, r wireRequest) (threads.Invitation, error) {
	i, err := x.Invitations.InvitationByOffer(ctx, threads.InvitationOut, x.Server, r.ID)
	if err != nil && !isNotFound(err) {
		return i, err
	}
	if _, server, _ := strings.Cut(i.Address, "@"); err != nil || server != from.name || i.Channel != r.Channel {
		return i, refuseExchange(http.StatusNotFound, "not_found", "there is no such invitation")
	}
	return i, nil
}

// accepted lets a person in who was invited, by the acceptance of their server.
func (x *Exchange) accepted(ctx context.Context, from caller, r wireRequest) (requestAnswer, error) {
	i, err := x.outgoing(ctx, from, r)
	if err != nil {
		return requestAnswer{}, err
	}
	ch, err := x.hosted(ctx, r.Channel)
	if err != nil {
		return requestAnswer{}, err
	}
	if ch.IsMember(from.name) { // its present key has to be on record before the acceptance bears it
		if err := x.renewKey(ctx, ch, from.name, from.now); err != nil {
			return requestAnswer{}, err
		}
		if ch, err = x.hosted(ctx, r.Channel); err != nil {
			return requestAnswer{}, err
		}
	}
	switch {
	case threads.ServerOf(r.Accept.Person) != from.name:
		return requestAnswer{}, badRequest("/accept/person", "must be a person of your server")
	case threads.Role(r.Accept.Role) != i.Role:
		return requestAnswer{}, badRequest("/accept/role", "must be the role that was offered")
	case i.State == threads.InvitationJoined && i.Invitee == r.Accept.Person && ch.IsMember(from.name):
		return x.controlAnswer(ctx, r.Channel)
	case i.State != threads.InvitationPending:
		return requestAnswer{}, refuseExchange(http.StatusConflict, "answered", "the invitation is "+i.State+" already")
	case r.Accept.Prev != ch.Control.Hash:
		return requestAnswer{}, stale(ch)
	}
	if err := x.admitPerson(ctx, from, i, r); err != nil {
		return requestAnswer{}, err
	}
	x.courier(from.name).learn()
	return x.controlAnswer(ctx, r.Channel)
}

func stale(ch *threads.Channel) *Problem {
	return &Problem{
		Status: http.StatusConflict, Code: staleAcceptance, Control: &wireControl{ch.Control.Seq, ch.Control.Hash},
		Detail: "the acceptance has to name the newest control event; sign it again with the one given here",
	}
}

func (x *Exchange) admitPerson(ctx context.Context, from caller, i threads.Invitation, r wireRequest) error {
	sig, err := base64.RawURLEncoding.Strict().DecodeString(r.Accept.Acceptance)
	if err != nil || len(sig) != ed25519.SignatureSize {
		return badRequest("/accept/acceptance", "must be the base64url of an Ed25519 signature")
	}
	key := eventKey(from.name, from.keys[0])
	a := threads.Acceptance{Channel: i.Channel, Host: x.Server, Person: r.Accept.Person, Role: i.Role, Prev: r.Accept.Prev, Key: key}
	if !threads.Verify(key.Public, a.SigningBytes(), sig) {
		return badRequest("/accept/acceptance", "is not your server's signature over this acceptance")
	}
	err = x.Do(ctx, Order{Actor: i.Inviter, Now: from.now, Command: threads.Join{
		Channel: i.Channel, Request: threads.Request{ID: r.ID}, Person: r.Accept.Person, Role: i.Role,
		Key: key, Acceptance: sig, Prev: r.Accept.Prev,
	}})
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Code == staleAcceptance {
		ch, err := x.hosted(ctx, r.Channel)
		if err != nil {
			return err
		}
		return stale(ch)
	}
	if err != nil && !isMember(err) {
		return err
	}
	i.State, i.Invitee, i.Changed = threads.InvitationJoined, r.Accept.Person, from.now
	return x.settle(ctx, i, threads.InvitationPending)
}

// declined notes that the invited person will not join.
func (x *Exchange) declined(ctx context.Context, from caller, r wireRequest) error {
	i, err := x.outgoing(ctx, from, r)
	if err != nil {
		return err
	}
	i.State, i.Changed = threads.InvitationDeclined, from.now
	return x.settle(ctx, i, threads.InvitationPending)
}
