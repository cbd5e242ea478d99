package federation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"meridian/threads"
)

// Kinds of commands that the host alone can carry out.
const (
	commandSettings     = "settings"
	commandRole         = "role"
	commandRemoveMember = "remove_member"
	commandRemoveServer = "remove_server"
	commandInvite       = "invite"
	commandHost         = "host"
)

// wireCommand is what a person of the sending server wants of the host.
type wireCommand struct {
	Kind  string `json:"kind"`
	Actor string `json:"actor"` // id of the person

	Acceptance string        `json:"acceptance,omitempty"` // of the new host, base64url
	Address    string        `json:"address,omitempty"`
	Archived   *bool         `json:"archived,omitempty"`
	Person     string        `json:"person,omitempty"`
	Prev       threads.Hash  `json:"prev,omitempty"` // the control head that the acceptance names
	Role       string        `json:"role,omitempty"`
	Server     string        `json:"server,omitempty"`
	Settings   *wireSettings `json:"settings,omitempty"`
}

type wireSettings struct {
	History string `json:"history,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`
	Purpose string `json:"purpose,omitempty"`
}

// Command carries out at the channel's host what the host alone can do, and returns once this server
// has what came of it. The order's key makes repeating it harmless. Errors are *threads.Error; of kind
// Unavailable when the host is not reached.
func (x *Exchange) Command(ctx context.Context, o Order) error {
	if cmd, ok := o.Command.(threads.HandOver); ok {
		return x.takeOver(ctx, o, cmd)
	}
	ch, err := x.Journal.Channel(ctx, o.Command.In())
	if err != nil {
		return fmt.Errorf("load channel %s: %w", o.Command.In(), err)
	}
	wire, err := writeCommand(o)
	if err != nil {
		return err
	}
	if ch == nil || ch.Role(o.Actor) == threads.RoleNone {
		return threads.Refuse(threads.NotFound, "not_found", "", "there is no such channel, or you are not in it")
	}
	r := wireRequest{ID: x.orderID(o), Kind: kindCommand, Channel: ch.ID, Command: wire}
	for range joinTries {
		_, err = x.order(ctx, ch.Host, r)
		if !isMoved(err) {
			break
		}
		if err := x.catchUp(ctx, ch.Host, ch.ID); err != nil {
			return unreached(ch.Host, err)
		}
		old := ch.Host
		if ch, err = x.Journal.Channel(ctx, ch.ID); err != nil {
			return fmt.Errorf("load channel %s: %w", r.Channel, err)
		}
		if ch.Host == old || ch.Host == x.Server {
			return threads.Refuse(threads.Conflict, hostMoved, "", "the channel has another host now; try again")
		}
	}
	if err != nil {
		return err
	}
	if err := x.catchUp(ctx, ch.Host, ch.ID); err != nil {
		x.courier(ch.Host).want(ch.ID, note{})
	}
	return nil
}

// orderID is that of the request which an order makes; the same for an order that is repeated.
func (x *Exchange) orderID(o Order) string {
	if o.Key == "" {
		return x.NewID()
	}
	return threads.HashOf([]byte(o.Actor + " " + o.Key))
}

// isMoved reports whether a server refused because it is not the channel's host any more.
func isMoved(err error) bool {
	var refused *threads.Error
	return errors.As(err, &refused) && (refused.Code == hostMoved || refused.Code == "not_host")
}

// unreached says that the host is away, and what does not depend on it.
func unreached(host string, cause error) error {
	return &threads.Error{
		Kind: threads.Unavailable, Code: "host_unreachable", Cause: cause,
		Text: "only the channel's host, " + host + ", can do this, and it does not answer now: try again later; posting, searching and handing over threads go on meanwhile, " +
			"and if the host never comes back, an owner can start a successor channel",
	}
}

// order makes a request of the host and turns its refusals into those that people see.
func (x *Exchange) order(ctx context.Context, host string, r wireRequest) (requestAnswer, error) {
	var answer requestAnswer
	err := x.askJSON(ctx, host, requestPath, r, &answer)
	var silent *Unreached
	var p *Problem
	switch {
	case errors.As(err, &silent):
		return answer, unreached(host, err)
	case errors.As(err, &p):
		return answer, &threads.Error{Kind: kindOf(p.Status), Code: p.Code, Field: p.Field, Text: p.Detail, Cause: err}
	}
	return answer, err
}

func kindOf(status int) threads.Kind {
	switch status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		return threads.Invalid
	case http.StatusNotFound:
		return threads.NotFound
	case http.StatusForbidden, http.StatusUnauthorized:
		return threads.Forbidden
	case http.StatusConflict:
		return threads.Conflict
	case http.StatusRequestEntityTooLarge:
		return threads.TooLarge
	case http.StatusTooManyRequests:
		return threads.TooMany
	}
	return threads.Unavailable
}

func writeCommand(o Order) (*wireCommand, error) {
	w := &wireCommand{Actor: o.Actor}
	switch cmd := o.Command.(type) {
	case threads.ChangeSettings:
		w.Kind, w.Archived = commandSettings, cmd.Archived
		w.Settings = &wireSettings{History: cmd.Settings.History, Kind: cmd.Settings.Kind, Name: cmd.Settings.Name, Purpose: cmd.Settings.Purpose}
	case threads.ChangeRole:
		w.Kind, w.Person, w.Role = commandRole, cmd.Person, string(cmd.Role)
	case threads.RemoveMember:
		w.Kind, w.Person = commandRemoveMember, cmd.Person
	case threads.RemoveServer:
		w.Kind, w.Server = commandRemoveServer, cmd.Server
	default:
		return nil, threads.Refuse(threads.Elsewhere, "not_host", "", "only the channel's host can do this")
	}
	return w, nil
}

func readCommand(channel threads.Hash, id string, w *wireCommand) (threads.Command, error) {
	request := threads.Request{ID: id}
	switch w.Kind {
	case commandSettings:
		s := wireSettings{}
		if w.Settings != nil {
			s = *w.Settings
		}
		return threads.ChangeSettings{
			Channel: channel, Request: request, Archived: w.Archived,
			Settings: threads.Settings{Name: s.Name, Purpose: s.Purpose, Kind: s.Kind, History: s.History},
		}, nil
	case commandRole:
		return threads.ChangeRole{Channel: channel, Request: request, Person: w.Person, Role: threads.Role(w.Role)}, nil
	case commandRemoveMember:
		return threads.RemoveMember{Channel: channel, Request: request, Person: w.Person}, nil
	case commandRemoveServer:
		return threads.RemoveServer{Channel: channel, Request: request, Server: w.Server}, nil
	case commandHost:
		sig, err := base64.RawURLEncoding.Strict().DecodeString(w.Acceptance)
		if err != nil {
			return nil, badRequest("/command/acceptance", "must be the base64url of an Ed25519 signature")
		}
		return threads.HandOver{Channel: channel, Request: request, Server: w.Server, Prev: w.Prev, Acceptance: sig}, nil
	}
	return nil, badRequest("/command/kind", "must be settings, role, remove_member, remove_server, host or invite")
}

// commanded carries out what a person of a member server wants. Whether that person may is the
// rules' to say; whose person it is, ours.
func (x *Exchange) commanded(ctx context.Context, from caller, r wireRequest) (requestAnswer, error) {
	ch, err := x.Journal.Channel(ctx, r.Channel)
	if err != nil {
		return requestAnswer{}, fmt.Errorf("load channel %s: %w", r.Channel, err)
	}
	if ch == nil || !ch.IsMember(from.name) || !reaches(ch, from.name, from.keys) {
		return requestAnswer{}, refuseExchange(http.StatusNotFound, "not_found", "this server hosts no such channel")
	}
	if ch.Host != x.Server && (r.Command.Kind != commandHost || ch.Host != from.name) { // a repeated hand-over is answered
		return requestAnswer{}, movedFrom(ch)
	}
	if threads.ServerOf(r.Command.Actor) != from.name {
		return requestAnswer{}, refuseExchange(http.StatusForbidden, "origin", "actor must be a person of your server")
	}
	if r.Command.Kind == commandInvite {
		i, err := x.invite(ctx, threads.Invitation{
			Channel: r.Channel, Role: threads.Role(r.Command.Role), Inviter: r.Command.Actor, Address: r.Command.Address, Created: from.signed,
		})
		return requestAnswer{Invitation: i.Offer}, err
	}
	command, err := readCommand(r.Channel, r.ID, r.Command)
	if err != nil {
		return requestAnswer{}, err
	}
	if err := x.BeforeCommand(ctx, command); err != nil {
		return requestAnswer{}, err
	}
	if err := x.Do(ctx, Order{Actor: r.Command.Actor, Now: from.now, Command: command}); err != nil {
		return requestAnswer{}, err
	}
	if r.Command.Kind == commandHost {
		if err := x.handedOver(ctx, r.Channel); err != nil {
			return requestAnswer{}, err
		}
	}
	return x.controlAnswer(ctx, r.Channel)
}
