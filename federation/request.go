package federation

import (
	"context"
	"fmt"
	"net/http"

	"meridian/threads"
)

// Kinds of requests.
const (
	kindInvite  = "invite"  // the channel's host offers a person of the receiver's to join
	kindAccept  = "accept"  // that person does
	kindDecline = "decline" // or does not
	kindCommand = "command" // a person of the sender's wants what the host alone can do
)

// wireRequest asks a server for something. Repeating it, by its id, has no second effect.
type wireRequest struct {
	ID      string       `json:"id"`
	Kind    string       `json:"kind"`
	Channel threads.Hash `json:"channel"`

	Invite  *wireInvite  `json:"invite,omitempty"`
	Accept  *wireAccept  `json:"accept,omitempty"`
	Command *wireCommand `json:"command,omitempty"`
}

// requestAnswer is what came of a request: the host's control head after it, or the invitation made.
type requestAnswer struct {
	Control    *wireControl `json:"control,omitempty"`
	Invitation string       `json:"invitation,omitempty"`
}

// maxRequestID is how long the id of a request may be, in bytes.
const maxRequestID = 64

func (x *Exchange) answerRequest(ctx context.Context, from caller) (reply, error) {
	var r wireRequest
	if err := decodeBody(from.body, &r); err != nil {
		return reply{}, malformed(err)
	}
	if r.ID == "" || len(r.ID) > maxRequestID || threads.CheckIdentifier(r.ID) != nil {
		return reply{}, badRequest("/id", fmt.Sprintf("must be an identifier of at most %d bytes", maxRequestID))
	}
	if !threads.IsHash(r.Channel) {
		return reply{}, badRequest("/channel", "must be the id of a channel")
	}
	var answer requestAnswer
	var err error
	switch {
	case r.Kind == kindInvite && r.Invite != nil:
		err = x.invited(ctx, from, r)
	case r.Kind == kindAccept && r.Accept != nil:
		answer, err = x.accepted(ctx, from, r)
	case r.Kind == kindDecline:
		err = x.declined(ctx, from, r)
	case r.Kind == kindCommand && r.Command != nil:
		answer, err = x.commanded(ctx, from, r)
	default:
		err = badRequest("/kind", "must be invite, accept, decline or command, with the member of that name")
	}
	if err != nil {
		return reply{}, err
	}
	return answerJSON(answer)
}

func badRequest(field, detail string) *Problem {
	return &Problem{Status: http.StatusUnprocessableEntity, Code: "invalid", Field: field, Detail: detail}
}

// hosted is a channel that this server hosts; the caller may know of it.
func (x *Exchange) hosted(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("load channel %s: %w", id, err)
	}
	if ch == nil {
		return nil, refuseExchange(http.StatusNotFound, "not_found", "this server hosts no such channel")
	}
	if ch.Host != x.Server {
		return nil, movedFrom(ch)
	}
	return ch, nil
}

func (x *Exchange) controlAnswer(ctx context.Context, id threads.Hash) (requestAnswer, error) {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return requestAnswer{}, fmt.Errorf("load channel %s: %w", id, err)
	}
	return requestAnswer{Control: &wireControl{ch.Control.Seq, ch.Control.Hash}}, nil
}
