package api_test

import "meridian/api"

func (w *world) needs() api.Needs {
	return api.Needs{
		Journal: pen{w.journal}, Entries: entries{w.store, w.journal}, Tokens: w.store, Accounts: w.store,
		Directory: w.store, People: w.store, Invitations: w.store, Partners: w.store,
	}
}
