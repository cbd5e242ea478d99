package federation

import (
	"context"
	"slices"

	"meridian/threads"
)

// impostor says, of a control event that makes a server's key known on the host's word, what is wrong with it where this
// server has pinned another key for that server, or is it: else whoever hosts a channel could have
// others' people speak in it. "" where nothing is.
func (x *Exchange) impostor(ctx context.Context, e *threads.Event) (detail string, err error) {
	server, key, ok := threads.KeyNamed(e)
	if !ok {
		return "", nil
	}
	mine, err := x.wasKey(ctx, server, key)
	if mine || err != nil {
		return "", err
	}
	x.Log.Warn("a channel knows a server by another key than the pinned one: it is left where it is", "channel", e.Channel(), "server", server, "number", e.Header.Seq)
	return "names another key for " + server + " than the one that is pinned here", nil
}

// wasKey reports whether the key is, or was, the server's as far as is known here. Of a server of which
// no key is pinned every one may be.
func (x *Exchange) wasKey(ctx context.Context, server string, key threads.Key) (bool, error) {
	if server == x.Server {
		return isOneOf(x.ownKeys().ring.Signed(server), key), nil
	}
	for looked := false; ; looked = true {
		a, err := x.acquaintance(ctx, server)
		if err != nil {
			return false, err
		}
		p := a.partner
		if p.State == threads.PartnerPending || p.Key.Public == nil || p.Key.Same(key) || isOneOf(p.Keys, key) {
			return true, nil
		}
		if looked || !x.lookAgain(ctx, server, a) {
			return false, nil
		}
	}
}

func isOneOf(keys []threads.SignedKey, key threads.Key) bool {
	return slices.ContainsFunc(keys, func(k threads.SignedKey) bool { return k.Same(key) })
}
