package federation

import (
	"context"
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
)

// wireCommand is what a person of the sending server wants of the host.
type wireCommand struct {
	Kind  string `json:"kind"`
	Actor string `json:"actor"` // id of the person

	Address  string        `json:"address,omitempty"`
	Archived *bool         `json:"archived,omitempty"`
	Person   string        `json:"person,omitempty"`
	Role     string        `json:"role,omitempty"`
	Server   string        `json:"server,omitempty"`
	Settings *wireSettings `json:"settings,omitempty"`
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
	id := x.NewID()
	if o.Key != "" {
		id = threads.HashOf([]byte(o.Actor + " " + o.Key))
	}
	if _, err := x.order(ctx, ch.Host, wireRequest{ID: id, Kind: kindCommand, Channel: ch.ID, Command: wire}); err != nil {
		return err
	}
	if err := x.catchUp(ctx, ch.Host, ch.ID); err != nil {
		x.courier(ch.Host).want(ch.ID, note{})
	}
	return nil
}

// order makes a request of the host and turns its refusals into those that people see.
func (x *Exchange) order(ctx context.Context, host string, r wireRequest) (requestAnswer, error) {
	var answer requestAnswer
	err := x.askJSON(ctx, host, requestPath, r, &answer)
	var unreached *Unreached
	var p *Problem
	switch {
	case errors.As(err, &unreached):
		return answer, &threads.Error{Kind: threads.Unavailable, Code: "host_unreachable", Text: "only the channel's host, " + host + ", can do this, and it does not answer now; try again later", Cause: err}
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
	}
	return nil, badRequest("/command/kind", "must be settings, role, remove_member, remove_server or invite")
}

// commanded carries out what a person of a member server wants. Whether that person may is the
// rules' to say; whose person it is, ours.
func (x *Exchange) commanded(ctx context.Context, from caller, r wireRequest) (requestAnswer, error) {
	ch, err := x.hosted(ctx, r.Channel)
	if err != nil {
		return requestAnswer{}, err
	}
	if !ch.IsMember(from.name) || !reaches(ch, from.name, from.keys) {
		return requestAnswer{}, refuseExchange(http.StatusNotFound, "not_found", "this server hosts no such channel")
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
	return x.controlAnswer(ctx, r.Channel)
}
