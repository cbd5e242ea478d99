package federation

import (
	"context"

	"meridian/threads"
)

// impostor says, of a control event that makes a server's key known, what is wrong with it where this
// server has pinned another key for that server, or is it: else whoever hosts a channel could have
// others' people speak in it. "" where nothing is.
func (x *Exchange) impostor(ctx context.Context, e *threads.Event) (detail string, err error) {
	server, key, ok := threads.KeyNamed(e)
	if !ok {
		return "", nil
	}
	pinned := x.EventKey()
	if server != x.Server {
		a, err := x.acquaintance(ctx, server)
		if err != nil {
			return "", err
		}
		if a.partner.State == threads.PartnerPending || a.partner.Key.Public == nil {
			return "", nil
		}
		pinned = a.partner.Key
	}
	if pinned.ID == key.ID && pinned.Public.Equal(key.Public) {
		return "", nil
	}
	x.Log.Warn("a channel knows a server by another key than the pinned one: it is left where it is", "channel", e.Channel(), "server", server, "number", e.Header.Seq)
	return "names another key for " + server + " than the one that is pinned here", nil
}
