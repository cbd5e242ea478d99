package server

import (
	"context"

	"meridian/api"
	"meridian/federation"
	"meridian/internal/store"
	"meridian/threads"
)

// membership brings people of other servers into channels.
type membership struct{ *federation.Exchange }

// Invite offers a channel.
func (m membership) Invite(ctx context.Context, i api.Invite) (threads.Invitation, error) {
	return m.Exchange.Invite(ctx, i.Actor, i.Channel, i.Address, i.Role)
}

// states tell how far replicas have come.
type states struct{ store *store.Store }

// StateHash is that of the channel's state here.
func (s states) StateHash(ctx context.Context, channel threads.Hash) (api.State, error) {
	found, err := s.store.StateHash(ctx, channel)
	return api.State(found), err
}
