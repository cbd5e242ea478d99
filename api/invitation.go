package api

import (
	"context"
	"net/http"
	"time"

	"meridian/threads"
)

// Invitation asks you into a channel.
type Invitation struct {
	ID      string    `json:"id"`
	Channel string    `json:"channel"`
	Name    string    `json:"name" doc:"Of the channel when the invitation was made."`
	Purpose string    `json:"purpose"`
	Host    string    `json:"host" doc:"The server that invites."`
	Role    string    `json:"role" enum:"reader,guest,member,owner"`
	Inviter string    `json:"inviter" doc:"Address."`
	State   string    `json:"state" enum:"pending,accepted,declined,joined,failed" doc:"accepted until the host has let you in."`
	Error   string    `json:"error,omitempty" doc:"Why it failed."`
	Created time.Time `json:"created"`
}

// InvitationPath names an invitation.
type InvitationPath struct {
	Once
	ID string `path:"id" maxLength:"64"`
}

type invitationOut struct{ Body Invitation }

func (a *API) invitationRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/invitations", id: "invitations", tag: "invitations",
		summary: "Invitations to you, newest first",
	}, func(ctx context.Context, c *caller, in *Paged) (*listed[Invitation], error) {
		invitations, next, err := a.Invitations.Invitations(ctx, c.person.ID, in.page())
		if err != nil {
			return nil, err
		}
		inviters := make([]string, len(invitations))
		for i := range invitations {
			inviters[i] = invitations[i].Inviter
		}
		addresses, err := a.names.addresses(ctx, inviters...)
		if err != nil {
			return nil, err
		}
		return listOf(ctx, invitations, next, invitationOf(addresses)), nil
	})
	for path, accept := range map[string]bool{"accept": true, "decline": false} {
		summary := map[bool]string{true: "Join the channel that an invitation offers", false: "Decline an invitation"}[accept]
		register(a, operation{
			method: http.MethodPost, path: "/invitations/{id}/" + path, id: path + "-invitation", tag: "invitations",
			summary: summary,
		}, func(ctx context.Context, c *caller, in *InvitationPath) (*invitationOut, error) {
			return a.answerInvitation(ctx, c, in, accept)
		})
	}
}

func (a *API) answerInvitation(ctx context.Context, c *caller, in *InvitationPath, accept bool) (*invitationOut, error) {
	if err := a.claimOnce(ctx, c, "answer-invitation", in.Once, accept); err != nil {
		return nil, err
	}
	i, err := a.Membership.Answer(ctx, c.person.ID, in.ID, accept)
	if err != nil {
		return nil, unseen(err)
	}
	addresses, err := a.names.addresses(ctx, i.Inviter)
	if err != nil {
		return nil, err
	}
	return &invitationOut{invitationOf(addresses)(i)}, nil
}

func invitationOf(addresses map[string]string) func(threads.Invitation) Invitation {
	return func(i threads.Invitation) Invitation {
		return Invitation{
			ID: i.ID, Channel: i.Channel, Name: i.Name, Purpose: i.Purpose, Host: i.Host, Role: string(i.Role),
			Inviter: addresses[i.Inviter], State: i.State, Error: i.Error, Created: i.Created.UTC(),
		}
	}
}
