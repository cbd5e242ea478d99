package api_test

import (
	"context"

	"meridian/api"
	"meridian/internal/store"
	"meridian/threads"
)

type states struct{ *store.Store }

func (s states) StateHash(ctx context.Context, channel threads.Hash) (api.State, error) {
	state, err := s.Store.StateHash(ctx, channel)
	return api.State(state), err
}

func (w *world) needs() api.Needs {
	read := w.store.Reading()
	w.lookUps, w.files = &lookUps{Store: w.store}, &shelves{}
	return api.Needs{
		Journal: faultyPen{pen{w.journal}, &w.fails}, Entries: entries{w.store, w.journal}, Tokens: w.lookUps, Accounts: w.store,
		Directory: w.store, Passwords: w.store, Erasures: w.store, People: w.store, Channels: read, States: states{w.store}, Threads: read, Messages: read,
		Fates: read, Marks: w.store, Search: read, Invitations: w.store, AuditLog: w.store, Forks: w.store, Files: w.files,
	}
}
