package federation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"meridian/threads"
)

// doubts are what member servers answered about this server's own logs since it
// came to doubt that it holds all of them.
type doubts struct {
	mu         sync.Mutex
	answered   map[threads.Hash]map[string]bool // who delivered all that it holds of the channel
	since      map[threads.Hash]time.Time       // when a channel was first looked at
	spoke      map[string]time.Time             // when a server was asked last what it holds though it was removed, and had nothing left
	givenUp    map[string]bool                  // servers that an administrator no longer waits for
	relearning map[threads.Hash]bool            // channels that this server was in before it lost them
}

func newDoubts() doubts {
	return doubts{
		answered: map[threads.Hash]map[string]bool{}, since: map[threads.Hash]time.Time{},
		spoke: map[string]time.Time{}, givenUp: map[string]bool{}, relearning: map[threads.Hash]bool{},
	}
}

// has reports whether a server delivered what it holds of a channel.
func (d *doubts) has(channel threads.Hash, server string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.answered[channel][server]
}

func (d *doubts) note(channel threads.Hash, server string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answered[channel] == nil {
		d.answered[channel] = map[string]bool{}
	}
	d.answered[channel][server] = true
}

// heed takes up what concerns doubts, here or at another node.
func (d *doubts) heed(server string, h Hint) {
	if h.Gave != "" {
		d.note(h.Gave, server)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.GivenUp {
		d.givenUp[server] = true
	}
	if !h.Spoke.IsZero() {
		d.spoke[server] = h.Spoke
	}
	if h.Relearned != "" {
		d.relearning[h.Relearned] = true
	}
}

// heard reports whether a server that is no member of a channel has, since nothing that this one sent
// before can be on its way, given what it holds of it, or is not waited for.
func (d *doubts) heard(channel threads.Hash, server string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	spoke := d.spoke[server]
	return d.givenUp[server] || d.answered[channel][server] || !spoke.Before(d.since[channel].Add(inFlight)) && !spoke.After(now)
}

// heed takes up at every node what concerns doubts.
func (x *Exchange) heed(server string, h Hint) {
	x.doubts.heed(server, h)
	if x.Tell != nil {
		x.relay(server, h)
	}
}

// age is how long the channel has been looked at.
func (d *doubts) age(channel threads.Hash, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since[channel].IsZero() || now.Before(d.since[channel]) {
		d.since[channel] = now
	}
	return now.Sub(d.since[channel])
}

func (d *doubts) settled(channel threads.Hash) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.answered, channel)
	delete(d.since, channel)
	delete(d.relearning, channel)
}

// Doubted forgets what was answered so far: the database is not the one that it
// was answered about.
func (x *Exchange) Doubted() {
	x.doubts.mu.Lock()
	defer x.doubts.mu.Unlock()
	clear(x.doubts.answered)
	clear(x.doubts.since)
	clear(x.doubts.spoke)
}

// Awaited names the member servers of a channel that have not delivered yet what
// they hold of it, but for those given up.
func (x *Exchange) Awaited(ch *threads.Channel) []string {
	x.doubts.mu.Lock()
	defer x.doubts.mu.Unlock()
	var names []string
	for _, name := range ch.Servers() {
		if name != x.Server && !x.doubts.answered[ch.ID][name] && !x.doubts.givenUp[name] {
			names = append(names, name)
		}
	}
	return names
}

// GiveUp has this server no longer wait for another one that will not come back,
// until it starts again: what that one alone holds of a control log is lost.
func (x *Exchange) GiveUp(ctx context.Context, name string) error {
	if _, err := ParseServerName(name); err != nil {
		return threads.Refuse(threads.Invalid, "invalid", "/name", "must be the name of a server")
	}
	x.heed(name, Hint{GivenUp: true})
	_, err := x.SettleDoubts(ctx, x.Clock())
	return err
}

// Times of doubts. What this server had sent before it lost it can still be on
// its way for inFlight, within which receivers take a request for fresh: until
// then nobody's answer says that it holds nothing more, nor that nobody is in a
// channel who is not known here to be.
const (
	doubtsEvery = 5 * time.Second
	inFlight    = 2 * MaxClockDifference
)

// SettleDoubts ends the doubts of the channels of which every member server has
// delivered what it holds. It is a step.
func (x *Exchange) SettleDoubts(ctx context.Context, now time.Time) (time.Time, error) {
	for after := ""; ; {
		ids, err := x.Neighbours.InDoubt(ctx, after, maxShared)
		if err != nil {
			return now, fmt.Errorf("list channels in doubt: %w", err)
		}
		for _, id := range ids {
			if err := x.settleDoubt(ctx, id, now); err != nil {
				return now, err
			}
		}
		if len(ids) < maxShared {
			return now.Add(doubtsEvery), nil
		}
		after = ids[len(ids)-1]
	}
}

func (x *Exchange) settleDoubt(ctx context.Context, id threads.Hash, now time.Time) error {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return fmt.Errorf("load channel %s: %w", id, err)
	}
	age := x.doubts.age(id, now)
	if ch == nil || len(x.Awaited(ch)) > 0 {
		return nil
	}
	if len(ch.Servers()) < 2 && age < inFlight {
		if strangers, err := x.knowsNobody(ctx); !strangers || err != nil {
			return err
		}
	}
	if unheard, err := x.unheard(ctx, ch, now); unheard || err != nil {
		return err
	}
	if err := x.Journal.Prove(ctx, id); err != nil {
		return fmt.Errorf("prove channel %s: %w", id, err)
	}
	x.doubts.settled(id)
	x.Log.Info("all that others hold of this server's own logs is here: they go on", "channel", id)
	return nil
}

// knowsNobody reports whether there is no other server with which this one ever
// exchanged anything.
func (x *Exchange) knowsNobody(ctx context.Context) (bool, error) {
	servers, err := x.Neighbours.Servers(ctx)
	if err != nil || len(servers) > 0 {
		return false, err
	}
	partners, err := x.allowed(ctx)
	return len(partners) == 0, err
}

// gaveAll takes note, of a channel in doubt, that a server was asked and that nothing it holds of this
// server's own logs is missing here; of one that is no member, or says that it was removed, that it
// gives no more of the control log than it did.
func (c *Courier) gaveAll(ctx context.Context, ch *threads.Channel, t pulledChannel, got *threads.ChannelAnswer, now time.Time) error {
	if !ch.InDoubt() || c.x.doubts.has(ch.ID, c.name) || c.x.doubts.age(ch.ID, now) < inFlight {
		return nil
	}
	switch member := ch.IsMember(c.name); {
	case member && t.Code == "":
		if t.Control.Number > ch.Control.Seq || lacksOwn(ch, t.standing, c.x.Server) || slices.ContainsFunc(t.Waiting, func(w wireWaiting) bool { return w.Origin == c.x.Server }) {
			return nil
		}
	case member && t.Code != pullRemoved, ch.Host != c.x.Server, t.More && got != nil && len(got.Taken) > 0:
		return nil
	}
	c.x.heed(c.name, Hint{Gave: ch.ID})
	return c.x.settleDoubt(ctx, ch.ID, now)
}

// lacksOwn reports whether a standing names something of this server's own logs
// that is not here. Where the other holds nothing of a log, its standing says
// only after which place its copy would begin, and it has nothing to give.
func lacksOwn(ch *threads.Channel, s standing, self string) bool {
	return slices.ContainsFunc(s.Frontier, func(h wireHead) bool {
		mine := ch.LogOf(h.LogID)
		cut, closed := ch.CutOf(h.LogID)
		return h.Origin == self && h.Seq >= h.From && !(closed && mine.Seq >= cut.Seq) && (h.Seq > mine.Seq || h.Seq == mine.Seq && h.Hash != mine.Hash)
	})
}

// waitingHere is what is held here unapplied of a channel.
func (x *Exchange) waitingHere(ctx context.Context, id threads.Hash, now time.Time) ([]wireWaiting, error) {
	got, err := x.Journal.Ingest(ctx, threads.Batch{Now: now, MetAfter: metAfter, About: []threads.Hash{id}})
	if err != nil || got.Channels[id] == nil {
		return nil, err
	}
	return writeWaiting(got.Channels[id].Waiting), nil
}

func writeWaiting(all []threads.Waiting) []wireWaiting {
	var out []wireWaiting
	for _, w := range all {
		waiting := wireWaiting{Origin: w.Origin, Epoch: w.Epoch, Seq: w.Seq}
		if w.For.Seq > 0 {
			waiting.For = &wireRef{LogID: w.For.LogID, Seq: w.For.Seq}
		}
		out = append(out, waiting)
	}
	return out
}
