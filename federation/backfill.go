package federation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

const (
	backfillLease = time.Minute     // for which one courier fetches a channel's history before another may
	backfillAgain = 2 * time.Second // until a server that gave nothing is asked again
)

// shallow are the logs of a channel whose copies here do not reach down as far as they may.
func shallow(ch *threads.Channel, self string) []wireHead {
	if ch == nil {
		return nil
	}
	var logs []wireHead
	for id, log := range ch.Logs {
		if log.From > ch.Floor(self, id) {
			logs = append(logs, wireHead{id, log.From, log.Seq, log.Hash})
		}
	}
	slices.SortFunc(logs, func(a, b wireHead) int {
		if d := strings.Compare(a.Origin, b.Origin); d != 0 {
			return d
		}
		return int(max(-1, min(1, a.Epoch-b.Epoch)))
	})
	return logs
}

// lease takes or renews the right to fetch a channel's history, so that two couriers do not fetch
// the same.
func (x *Exchange) lease(channel threads.Hash, server string, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	held, ok := x.leases[channel]
	if ok && held.server != server && now.Before(held.until) {
		return false
	}
	x.leases[channel] = lease{server, now.Add(backfillLease)}
	return true
}

// release gives the right back.
func (x *Exchange) release(channel threads.Hash, server string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.leases[channel].server == server {
		delete(x.leases, channel)
	}
}

type lease struct {
	server string
	until  time.Time
}

// backfill fetches history below what is held, newest first, every event verified by the hash in the
// one above it. It can be interrupted anywhere: what is held says where to go on. A server that has
// nothing to give, perhaps because it does not know yet that we may see it, is asked again later; by
// then another may have given it.
func (c *Courier) backfill(ctx context.Context, now time.Time) error {
	for _, id := range slices.SortedFunc(maps.Keys(c.deep), strings.Compare) {
		if now.Before(c.deep[id]) {
			continue
		}
		c.deep[id] = now.Add(c.x.spread(backfillAgain))
		left, err := c.backfillChannel(ctx, id, now)
		switch {
		case err != nil:
			return err
		case left == nothingLeft:
			delete(c.deep, id)
		case left == moreToCome:
			c.deep[id] = now
		}
	}
	return nil
}

// deepen has the channel's history fetched.
func (c *Courier) deepen(id threads.Hash, now time.Time) {
	if _, known := c.deep[id]; !known {
		c.deep[id] = now
	}
}

func (c *Courier) nextBackfill() time.Time {
	var next time.Time
	for _, at := range c.deep {
		next = earliest(next, at)
	}
	return next
}

// remainder is what is left of a channel's history after some pages.
type remainder int

const (
	nothingLeft   remainder = iota
	nothingToHave           // from this server now
	moreToCome
)

// backfillPages is how many pages one step fetches, so that other work gets its turn.
const backfillPages = 4

func (c *Courier) backfillChannel(ctx context.Context, id threads.Hash, now time.Time) (remainder, error) {
	defer c.x.release(id, c.name)
	for range backfillPages {
		ch, err := c.x.Journal.Channel(ctx, id)
		if err != nil {
			return nothingToHave, fmt.Errorf("load channel %s: %w", id, err)
		}
		logs := shallow(ch, c.x.Server)
		if len(logs) == 0 || !ch.IsMember(c.x.Server) || !ch.IsMember(c.name) {
			return nothingLeft, nil
		}
		if !c.x.lease(id, c.name, now) {
			return nothingToHave, nil
		}
		got, _, err := c.fetch(ctx, pullRequest{Channels: []pullChannel{{standing: standingOf(id, ch), Below: logs}}}, true, now)
		if err != nil {
			return nothingToHave, err
		}
		if answer := got.answer.Channels[id]; answer == nil || len(answer.Taken) == 0 {
			return nothingToHave, nil
		}
	}
	return moreToCome, nil
}
