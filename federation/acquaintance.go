package federation

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/threads"
)

// acquaintance is what decides whether a server is listened to, and by which key it is known.
type acquaintance struct {
	partner threads.Partner // without a state where it is none
	members []threads.Key   // that the control logs of shared channels know for it
	until   time.Time       // when this is looked up again
}

// acquaintanceTime is how long it may take until what another node of this organisation decided
// about a partner counts here.
const acquaintanceTime = 2 * time.Second

// maxShared bounds how many channels with one server are looked through at a time.
const maxShared = 1000

func (x *Exchange) acquaintance(ctx context.Context, name string) (acquaintance, error) {
	now := x.Clock()
	x.mu.Lock()
	a, ok := x.known[name]
	changes := x.changes
	x.mu.Unlock()
	if ok && now.Before(a.until) {
		return a, nil
	}
	p, err := x.partner(ctx, name)
	if err != nil {
		return a, err
	}
	a = acquaintance{partner: p, until: now.Add(acquaintanceTime)}
	if p.State != threads.PartnerAllowed && p.State != threads.PartnerBlocked {
		if a.members, err = x.memberKeys(ctx, name); err != nil {
			return a, err
		}
		if k, ok := successor(name, a.members, p.Keys); ok && !slices.ContainsFunc(a.members, k.Same) {
			a.members = append(a.members, k)
		}
	}
	if p.State == "" && len(a.members) == 0 {
		return a, nil // strangers are not kept: anybody can make up names
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.changes == changes { // else what was read may be old already
		x.known[name] = a
	}
	return a, nil
}

// forget makes the next look at a server a fresh one.
func (x *Exchange) forget(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.known, name)
	x.changes++
}

// memberKeys are the keys by which channels shared with a server know it.
func (x *Exchange) memberKeys(ctx context.Context, name string) ([]threads.Key, error) {
	ids, err := x.Neighbours.ChannelsWith(ctx, name, "", maxShared)
	if err != nil {
		return nil, fmt.Errorf("list channels with %s: %w", name, err)
	}
	var keys []threads.Key
	for _, id := range ids {
		c, err := x.Journal.Channel(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("load channel %s: %w", id, err)
		}
		if c == nil {
			continue
		}
		k, ok := c.KeyOf(name)
		if ok && !slices.ContainsFunc(keys, func(o threads.Key) bool { return o.ID == k.ID && o.Public.Equal(k.Public) }) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// successor is the newest key of a server that is no partner, where one by which a shared channel knows
// the server leads to it, each signed by the one before.
func successor(server string, members []threads.Key, keys []threads.SignedKey) (threads.Key, bool) {
	led := false
	for i, k := range keys {
		led = slices.ContainsFunc(members, k.Same) || led && keys[i-1].FollowedBy(server, k)
	}
	if !led {
		return threads.Key{}, false
	}
	return keys[len(keys)-1].Key, true
}

// keyFor is the key pinned for a key id, or one that a control log knows.
func (x *Exchange) keyFor(keyID string) (Key, error) {
	base, _, found := strings.Cut(keyID, "/keys/")
	name, err := ServerNameFromURL(base)
	if !found || err != nil || name == x.Server {
		return Key{}, ErrUnknownKey
	}
	ctx, cancel := context.WithTimeout(context.Background(), exchangeTime)
	defer cancel()
	a, err := x.acquaintance(ctx, name)
	if err != nil {
		return Key{}, err
	}
	k, ok := a.named(keyID)
	if !ok && x.lookAgain(ctx, name, a) {
		if a, err = x.acquaintance(ctx, name); err != nil {
			return Key{}, err
		}
		k, ok = a.named(keyID)
	}
	if ok {
		return Key{Server: name, Public: k.Public}, nil
	}
	if a.partner.State != threads.PartnerBlocked {
		x.strangers.note(name, x.Clock())
	}
	return Key{}, ErrUnknownKey
}

// codePaused is told to a server whose exchange an administrator has paused: it comes back by itself.
const codePaused = "paused"

// refused says why a server is not listened to, "" when it is.
func (a acquaintance) refused() (code, detail string) {
	switch {
	case a.partner.State == threads.PartnerBlocked:
		return "blocked", "this server does not exchange with yours; its administrators can say why"
	case a.partner.Paused:
		return codePaused, "an administrator here has paused the exchange for a while"
	case a.partner.State == threads.PartnerAllowed && a.partner.Hold != "":
		return "on_hold", "an administrator here has to look at a change first; ask them"
	case a.partner.State != threads.PartnerAllowed && len(a.members) == 0:
		return "not_partner", "an administrator here has not allowed your server yet"
	}
	return "", ""
}

// reaches reports whether a server that authenticated with the first of these keys, and had the others
// before, may exchange about the channel: a key that a control log knows opens that one channel and no
// other.
func reaches(c *threads.Channel, server string, keys []ed25519.PublicKey) bool {
	known, ok := c.KeyOf(server)
	return ok && slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return known.Public.Equal(k) })
}

// strangers remembers a few names under which unknown servers asked, so that an administrator can
// see them. The names are claims; nothing else is kept of strangers.
type strangers struct {
	mu    sync.Mutex
	names []string
	at    []time.Time
}

// maxStrangers is how many strangers are remembered.
const maxStrangers = 32

func (s *strangers) note(name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.names, name); i >= 0 {
		s.at[i] = now
		return
	}
	if len(s.names) == maxStrangers {
		s.names, s.at = slices.Delete(s.names, 0, 1), slices.Delete(s.at, 0, 1)
	}
	s.names, s.at = append(s.names, name), append(s.at, now)
}

func (s *strangers) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.names, name); i >= 0 {
		s.names, s.at = slices.Delete(s.names, i, i+1), slices.Delete(s.at, i, i+1)
	}
}

func (s *strangers) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

// Strangers are the names under which unknown servers asked lately, unproven, at most 32. To make
// one a partner, AddPartner.
func (x *Exchange) Strangers() []string { return x.strangers.all() }

// welcome makes strangers partners, one a call, where federation is open: their key is pinned at
// this first contact.
func (x *Exchange) welcome(ctx context.Context) error {
	names := x.strangers.all()
	if !x.Open || len(names) == 0 {
		return nil
	}
	name := names[0]
	x.strangers.drop(name)
	p, err := x.partner(ctx, name)
	if err != nil || p.State != "" && p.State != threads.PartnerPending {
		return err
	}
	if other, err := x.Resembles(ctx, name); err != nil || other != "" {
		x.Log.Warn("a stranger's name looks like another server's: an administrator has to decide", "server", name, "resembles", other)
		return err
	}
	found, err := x.fetchWellKnown(ctx, name)
	if err != nil {
		x.Log.Info("stranger not reached", "server", name, "error", err)
		return nil
	}
	_, err = x.begin(ctx, threads.ByServer, found.partner(name, found.newest()))
	return err
}
