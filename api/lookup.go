package api

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"meridian/threads"
)

// Bounds of what is remembered: addresses, places of threads and messages, and
// for each channel a member.
const (
	maxViewers = 5_000
	maxNames   = 20_000
	maxPlaces  = 50_000
)

// names turns ids of people into addresses. An address names one person until
// that person is erased, so what was found is remembered.
type names struct {
	people People
	known  *lru.Cache[string, string]
}

func newNames(people People) (*names, error) {
	known, err := lru.New[string, string](maxNames)
	return &names{people: people, known: known}, err
}

// addresses maps each id to its address, or to itself where the address is not
// known here.
func (n *names) addresses(ctx context.Context, ids ...string) (map[string]string, error) {
	found := make(map[string]string, len(ids))
	var missing []string
	for _, id := range ids {
		if _, done := found[id]; done || id == "" {
			continue
		}
		if address, ok := n.known.Get(id); ok {
			found[id] = address
			continue
		}
		found[id] = id
		missing = append(missing, id)
	}
	if len(missing) == 0 {
		return found, nil
	}
	people, err := n.people.PeopleByID(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("look up addresses: %w", err)
	}
	for id, p := range people {
		if p.Address != "" {
			found[id] = p.Address
			n.known.Add(id, p.Address)
		}
	}
	return found, nil
}

// forget drops the address of one person, of all for "".
func (n *names) forget(person string) {
	if person == "" {
		n.known.Purge()
		return
	}
	n.known.Remove(person)
}

// places remembers in which channel a thread or message stands, and in which
// thread a message does: that never changes.
type places struct {
	known *lru.Cache[threads.Hash, place]
}

type place struct {
	channel, thread threads.Hash
}

func newPlaces() (*places, error) {
	known, err := lru.New[threads.Hash, place](maxPlaces)
	return &places{known}, err
}

// member is the channel and the caller's role in it; 404 for who is none.
func (a *API) member(ctx context.Context, c *caller, channel threads.Hash) (*threads.Channel, threads.Role, error) {
	if !threads.IsHash(channel) {
		return nil, "", notFound()
	}
	state, err := a.Journal.Channel(ctx, channel)
	if err != nil {
		return nil, "", fmt.Errorf("read channel: %w", err)
	}
	if state == nil || state.Role(c.person.ID) == threads.RoleNone {
		return nil, "", notFound()
	}
	return state, state.Role(c.person.ID), nil
}

// threadPlace is where a thread stands; 404 for who may not see it.
func (a *API) threadPlace(ctx context.Context, c *caller, id threads.Hash) (place, error) {
	at, err := a.placed(ctx, c, id, func() (place, error) {
		t, err := a.Threads.Thread(ctx, c.person.ID, id)
		return place{t.Channel, t.ID}, err
	})
	if err == nil && at.thread != id {
		return at, notFound()
	}
	return at, err
}

// messagePlace is where a message stands; 404 for who may not see it.
func (a *API) messagePlace(ctx context.Context, c *caller, id threads.Hash) (place, error) {
	at, err := a.placed(ctx, c, id, func() (place, error) {
		m, err := a.Messages.Message(ctx, c.person.ID, id)
		return place{m.Channel, m.Thread}, err
	})
	if err == nil && at.thread == id {
		return at, notFound()
	}
	return at, err
}

func (a *API) placed(ctx context.Context, c *caller, id threads.Hash, find func() (place, error)) (place, error) {
	if !threads.IsHash(id) {
		return place{}, notFound()
	}
	at, ok := a.places.known.Get(id)
	if !ok {
		var err error
		if at, err = find(); err != nil {
			return place{}, unseen(err)
		}
		if at.thread != "" { // else its content is not held yet
			a.places.known.Add(id, at)
		}
	}
	_, _, err := a.member(ctx, c, at.channel)
	return at, err
}

// unseen makes what was not found look like what may not be seen.
func unseen(err error) error {
	if err == nil {
		return nil
	}
	if p := problemOf(err); p.Status == 404 {
		return notFound()
	}
	return err
}

// stripes keep two changes to one thing by clients of this process from passing
// the same If-Match.
type stripes struct {
	locks [64]sync.Mutex
	seed  maphash.Seed
}

// alone lets nobody else change a thing until end is called, so that none of two
// changes to one version overwrites the other. Where no version is named that
// goes for this process alone.
func (a *API) alone(ctx context.Context, id string, u Unless) (end func(), err error) {
	unlock := a.edits.lock(id)
	if a.Alone == nil || u.IfMatch == "" {
		return unlock, nil
	}
	release, err := a.Alone(ctx, id)
	if err != nil {
		unlock()
		return nil, err
	}
	return func() { release(); unlock() }, nil
}

func newStripes() *stripes { return &stripes{seed: maphash.MakeSeed()} }

func (s *stripes) lock(id string) (unlock func()) {
	m := &s.locks[maphash.String(s.seed, id)%uint64(len(s.locks))]
	m.Lock()
	return m.Unlock
}
