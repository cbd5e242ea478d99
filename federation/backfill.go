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

// backfillLease is for how long one courier fetches a channel's history before another may.
const backfillLease = time.Minute

// shallow are the logs of a channel with full history whose copies here do not reach down to 1.
func shallow(ch *threads.Channel) []wireHead {
	if ch == nil || ch.Settings.History != "full" {
		return nil
	}
	var logs []wireHead
	for id, log := range ch.Logs {
		if log.From > 1 {
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

// release lets another courier fetch a channel's history at once.
func (x *Exchange) release(channel threads.Hash) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.leases, channel)
}

type lease struct {
	server string
	until  time.Time
}

// backfill fetches history below what is held, newest first, every event verified by the hash in the
// one above it. It can be interrupted anywhere: what is held says where to go on.
func (c *Courier) backfill(ctx context.Context, now time.Time) error {
	for _, id := range slices.SortedFunc(maps.Keys(c.deep), strings.Compare) {
		for range maxPages {
			if !c.x.lease(id, c.name, now) {
				break // it may be this one's turn later
			}
			more, err := c.backfillPage(ctx, id, now)
			if err != nil {
				return err
			}
			if !more {
				delete(c.deep, id)
				c.x.release(id) // this server has no more of it: another may
				break
			}
		}
	}
	return nil
}

// backfillPage fetches one page and reports whether to go on with this server.
func (c *Courier) backfillPage(ctx context.Context, id threads.Hash, now time.Time) (bool, error) {
	ch, err := c.x.Journal.Channel(ctx, id)
	if err != nil {
		return false, fmt.Errorf("load channel %s: %w", id, err)
	}
	logs := shallow(ch)
	if len(logs) == 0 || !ch.IsMember(c.x.Server) || !ch.IsMember(c.name) {
		return false, nil
	}
	got, _, err := c.fetch(ctx, pullRequest{Channels: []pullChannel{{standing: standingOf(id, ch), Below: logs}}}, true, now)
	if err != nil {
		return false, err
	}
	answer := got.answer.Channels[id]
	return answer != nil && answer.Applied > 0, nil
}
