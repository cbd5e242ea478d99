package federation

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/threads"
)

// checkAnew is how long a server's document is not fetched again because a request named a key that is
// not known, and checkTime how long such a look may take.
const (
	checkAnew = 2 * time.Second
	checkTime = 5 * time.Second
)

// lineage is the keys up to the given one that each signed by it or the one after it, oldest first:
// what the server signed with before. The key itself comes last.
func (a acquainted) lineage(k threads.Key) []threads.SignedKey {
	last := slices.IndexFunc(a.all, func(o threads.SignedKey) bool { return o.Same(k) })
	first := last
	for first > 0 && a.all[first-1].Was(a.server, a.all[first]) {
		first--
	}
	if last < 0 {
		return nil
	}
	return slices.Clone(a.all[first : last+1])
}

// partner is the server as one whose key an administrator confirmed.
func (a acquainted) partner(name string, key threads.Key) threads.Partner {
	return threads.Partner{Name: name, Key: key, Keys: a.lineage(key), Exchange: threads.Exchange{Versions: a.Versions}}
}

// leads reports whether the key was followed by others up to the newest, each signed by the one
// before.
func (a acquainted) leads(k threads.Key) bool {
	i := slices.IndexFunc(a.all, func(o threads.SignedKey) bool { return o.Same(k) })
	newest := slices.IndexFunc(a.all, func(o threads.SignedKey) bool { return o.Same(a.newest()) })
	for ; i >= 0 && i < newest; i++ {
		if !a.all[i].FollowedBy(a.server, a.all[i+1]) {
			return false
		}
	}
	return i >= 0 && i == newest
}

// earlier are the keys that a server known by this one had before it.
func earlier(keys []threads.SignedKey, k ed25519.PublicKey) []ed25519.PublicKey {
	i := slices.IndexFunc(keys, func(o threads.SignedKey) bool { return o.Public.Equal(k) })
	var out []ed25519.PublicKey
	for _, o := range keys[:max(i, 0)] {
		out = append(out, o.Public)
	}
	return out
}

// named is the key with that id by which the server may authenticate itself.
func (a acquaintance) named(keyID string) (threads.Key, bool) {
	if a.partner.Key.ID == keyID && a.partner.State != threads.PartnerPending {
		return a.partner.Key, true
	}
	for _, k := range a.members {
		if k.ID == keyID {
			return k, true
		}
	}
	return threads.Key{}, false
}

// lookAgain fetches the document of a known server whose request names a key that is not known: it may
// have a new one. Strangers, and whoever was looked at just now, are not asked.
func (x *Exchange) lookAgain(ctx context.Context, name string, a acquaintance) bool {
	if a.partner.State != threads.PartnerAllowed && len(a.members) == 0 {
		return false
	}
	now := x.Clock()
	x.mu.Lock()
	last, ok := x.checked[name]
	if ok && now.Sub(last).Abs() < checkAnew {
		x.mu.Unlock()
		return false
	}
	x.checked[name] = now
	x.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := x.checkKey(ctx, name); err != nil {
		x.Log.Info("key not checked", "server", name, "error", err)
		return false
	}
	return true
}

// keysChanged has RenewKeys look again.
func (x *Exchange) keysChanged() {
	select {
	case x.renewed <- struct{}{}:
	default: // it is about to
	}
}

// KeysChanged receives when RenewKeys may have something to do before the time that it returned.
func (x *Exchange) KeysChanged() <-chan struct{} { return x.renewed }

// renewEvery is how often the keys in the channels hosted here are compared with those known.
const renewEvery = time.Hour

// RenewKeys is a step: it has the control logs of the channels hosted here record the keys that member
// servers, and this one, took in place of others. One channel that fails does not keep the others
// from it.
func (x *Exchange) RenewKeys(ctx context.Context, now time.Time) (time.Time, error) {
	for after := ""; ; {
		ids, err := x.Neighbours.ChannelsWith(ctx, x.Server, after, maxShared)
		if err != nil {
			return now, fmt.Errorf("list own channels: %w", err)
		}
		for _, id := range ids {
			if err := x.renewIn(ctx, id, now); err != nil {
				x.Log.Error("keys not recorded; they are in an hour", "channel", id, "error", err)
			}
		}
		if len(ids) < maxShared {
			return now.Add(renewEvery), nil
		}
		after = ids[len(ids)-1]
	}
}

func (x *Exchange) renewIn(ctx context.Context, id threads.Hash, now time.Time) error {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil || ch == nil || ch.Host != x.Server {
		return err
	}
	if len(ch.Servers()) == 1 { // nobody else is there to check by it, and a host put back to before others came must not go on by itself
		return nil
	}
	for _, server := range ch.Servers() {
		if err := x.renewKey(ctx, ch, server, now); err != nil {
			return err
		}
	}
	return nil
}

// renewKey records, one after another, the keys that follow the one by which the channel knows the
// server.
func (x *Exchange) renewKey(ctx context.Context, ch *threads.Channel, server string, now time.Time) error {
	keys, trusted, err := x.keysOf(ctx, server)
	if err != nil || len(keys) == 0 {
		return err
	}
	for range maxKeys {
		known, _ := ch.KeyOf(server)
		next, ok := following(known, server, keys, trusted)
		if !ok {
			return nil
		}
		command := threads.RenewKey{Channel: ch.ID, Server: server, Next: next}
		if err := x.BeforeCommand(ctx, command); err != nil {
			return err
		}
		if err := x.Do(ctx, Order{Actor: ch.Owner(x.Server), Now: now, Command: command}); err != nil {
			return err
		}
		x.Log.Info("key recorded", "server", server, "channel", ch.ID, "revokes", command.Revokes())
		if ch, err = x.Journal.Channel(ctx, ch.ID); err != nil {
			return fmt.Errorf("load channel: %w", err)
		}
	}
	return nil
}

// keysOf are the keys of a server as far as they are known, the newest last, and whether the newest
// was confirmed by an administrator here.
func (x *Exchange) keysOf(ctx context.Context, server string) (keys []threads.SignedKey, trusted bool, err error) {
	if server == x.Server {
		return x.ownKeys().ring.Signed(server), true, nil
	}
	p, err := x.partner(ctx, server)
	if err != nil {
		return nil, false, err
	}
	trusted = p.State == threads.PartnerAllowed && p.Hold == ""
	if len(p.Keys) == 0 && trusted {
		return []threads.SignedKey{{Key: p.Key}}, true, nil
	}
	return p.Keys, trusted, nil
}

// following is the key that comes after the one that a channel knows: the next that it signed, else,
// where an administrator confirmed it, the newest on this server's word.
func following(known threads.Key, server string, keys []threads.SignedKey, trusted bool) (threads.SignedKey, bool) {
	newest := keys[len(keys)-1]
	if newest.Same(known) {
		return newest, false
	}
	i := slices.IndexFunc(keys, func(k threads.SignedKey) bool { return k.Same(known) })
	if i >= 0 && known.FollowedBy(server, keys[i+1]) {
		return keys[i+1], true
	}
	newest.By = nil
	return newest, trusted
}

// checkKey compares what a server shows with what is known of it. A member of a shared channel that is
// no partner proves its name likewise.
func (x *Exchange) checkKey(ctx context.Context, name string) error {
	found, err := x.fetchWellKnown(ctx, name)
	if err != nil {
		return err
	}
	members, err := x.memberKeys(ctx, name)
	if err != nil {
		return err
	}
	held, fingerprint := "", ""
	p, err := x.decide(ctx, threads.ByServer, name, func(p *threads.Partner) error {
		held, fingerprint = p.Hold, p.Fingerprint
		switch {
		case p.State == threads.PartnerAllowed:
			if found.judge(p); p.Hold == "" {
				p.Hold = held // it is for an administrator to end
			}
		case p.State == threads.PartnerPending && slices.ContainsFunc(members, func(k threads.Key) bool { return found.shows(k) || found.leads(k) }):
			p.Verified, p.Keys, p.Fingerprint = true, found.lineage(found.newest()), Fingerprint(found.newest().Public)
		default:
			return errUnchanged
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.Hold != held {
		x.Log.Error("partner on hold", "partner", name, "reason", p.Hold)
	} else if p.Fingerprint != fingerprint {
		x.Log.Info("server has a new key, signed by the one before", "server", name, "fingerprint", p.Fingerprint)
		x.keysChanged()
	}
	return nil
}
