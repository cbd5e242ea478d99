package federation

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"meridian/threads"
)

// maxFormer is how many channels a server names at most from which it was removed.
const maxFormer = 1000

// endedWith are the channels shared once with another server that the host removed the removed from,
// which are the two; keys are those of the other, nil for any. They are at most maxFormer.
func (x *Exchange) endedWith(ctx context.Context, other string, keys []ed25519.PublicKey, host, removed string) ([]threads.Hash, error) {
	var ended []threads.Hash
	for after := ""; ; {
		ids, err := x.Neighbours.ChannelsWith(ctx, other, after, maxShared)
		if err != nil {
			return nil, fmt.Errorf("list channels with %s: %w", other, err)
		}
		for _, id := range ids {
			ch, err := x.Journal.Channel(ctx, id)
			if err != nil {
				return nil, fmt.Errorf("load channel %s: %w", id, err)
			}
			if ch != nil && cameApart(ch, host, removed) && (keys == nil || reaches(ch, other, keys)) && len(ended) < maxFormer {
				ended = append(ended, id)
			}
		}
		if len(ids) < maxShared || len(ended) == maxFormer {
			return ended, nil
		}
		after = ids[len(ids)-1]
	}
}

// cameApart reports whether the host of a channel removed a server from it. What that one holds of the
// control log the host wrote itself, and is given back if it lost it, and nothing else.
func cameApart(ch *threads.Channel, host, removed string) bool {
	return ch.Host == host && ch.WasMember(removed) && !ch.IsMember(removed)
}

// former are the channels that the asker hosts and removed this server from, with how far their control
// logs are held here.
func (x *Exchange) former(ctx context.Context, from caller) ([]standing, error) {
	ended, err := x.endedWith(ctx, from.name, from.keys, from.name, x.Server)
	if err != nil {
		return nil, err
	}
	var out []standing
	for _, id := range ended {
		ch, err := x.Journal.Channel(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("load channel %s: %w", id, err)
		}
		out = append(out, standing{Channel: id, Control: wireControl{ch.Control.Seq, ch.Control.Hash}})
	}
	return out, nil
}

// forgetful reports whether this server may have lost control events that it wrote: it is in doubt, or,
// where it shares none with the server that it asks, knows of no channel with others.
func (x *Exchange) forgetful(ctx context.Context, shares bool) (bool, error) {
	doubted, err := x.Neighbours.InDoubt(ctx, "", 1)
	if err != nil || len(doubted) > 0 || shares {
		return len(doubted) > 0, err
	}
	servers, err := x.Neighbours.Servers(ctx)
	return len(servers) == 0, err
}

// recollect has the control logs fetched that the server holds, though it was removed from their
// channels, beyond what is held here, of those in doubt and those that are lost. Where it named none, it
// has given all that it has.
func (c *Courier) recollect(ctx context.Context, named []standing, lost *int, now time.Time) error {
	remain := false
	for _, s := range named[:min(len(named), maxFormer)] {
		ch, err := c.x.Journal.Channel(ctx, s.Channel)
		if err != nil {
			return fmt.Errorf("load channel %s: %w", s.Channel, err)
		}
		if !threads.IsHash(s.Channel) || ch != nil && (ch.ControlDoubt != threads.Doubtful || s.Control.Number <= ch.Control.Seq) || c.x.doubts.has(s.Channel, c.name) {
			continue
		}
		if err := c.differs(ctx, s.Channel, nil, lost, now); err != nil {
			return err
		}
		remain = remain || c.wants[s.Channel] != nil
	}
	if !remain {
		c.x.heed(c.name, Hint{Spoke: now})
	}
	c.unknown = c.unknown || remain // of whom there were accounts here, too
	return nil
}

// regained is the number up to which what a former member brings continues a control log in doubt.
func regained(ch *threads.Channel, events []*threads.Event) int64 {
	if ch.ControlDoubt != threads.Doubtful {
		return 0
	}
	c := ch.Clone()
	for _, e := range events {
		if e.Header.Log != threads.LogControl || e.Channel() != ch.ID || e.Header.Seq <= c.Control.Seq {
			continue
		}
		if c.CheckControl(e) != nil || c.ApplyControl(e) != nil {
			break
		}
	}
	return c.Control.Seq
}

// unheard reports whether a partner that can be reached may still give control events of a channel
// hosted here back, although it is no member as far as is known here: it was not asked yet since
// nothing that this server had sent before can be on its way.
func (x *Exchange) unheard(ctx context.Context, ch *threads.Channel, now time.Time) (bool, error) {
	if ch.Host != x.Server {
		return false, nil
	}
	names, err := x.allowed(ctx)
	if err != nil {
		return false, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return ch.IsMember(name) || x.doubts.heard(ch.ID, name, now) })
	for _, name := range names {
		p, err := x.partner(ctx, name)
		if err != nil {
			return false, err
		}
		if p = x.Current(p); !p.Paused && p.Hold == "" && reachable(p, now) {
			return true, nil
		}
	}
	return false, nil
}

// reachable reports whether a partner answers, or was heard of lately.
func reachable(p threads.Partner, now time.Time) bool {
	return p.Attempts == 0 || now.Sub(later(p.ContactIn, p.ContactOut)) < inFlight
}
