package federation

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// compare finds the channels of which the two servers hold different things, and has them fetched:
// the fetching shows both sides what the other lacks.
func (c *Courier) compare(ctx context.Context, now time.Time) error {
	mine, err := c.x.sums(ctx, c.name, nil)
	if err != nil {
		return err
	}
	request := digestRequest{Buckets: map[string]string{}}
	for bucket, channels := range mine {
		request.Buckets[bucket] = bucketSum(channels)
	}
	if request.Doubt, err = c.x.forgetful(ctx, len(mine) > 0); err != nil {
		return fmt.Errorf("look for doubts: %w", err)
	}
	var answer digestAnswer
	if err := c.x.askJSON(ctx, c.name, digestPath, request, &answer); err != nil {
		c.suspected, c.apart = 0, false // it is not what we push that it cannot take
		return err
	}
	c.failures = 0
	lost := 0
	for _, id := range unequal(mine, answer.Buckets, c.anew) {
		if err := c.differs(ctx, id, answer.Busy, &lost, now); err != nil {
			return err
		}
	}
	if request.Doubt {
		if err := c.recollect(ctx, answer.Former, &lost, now); err != nil {
			return err
		}
	}
	c.anew = false
	return c.look(ctx, mine, now)
}

// unequal are the channels that have not the same sum on both sides, or that only
// one has, in the buckets that the answer names; with all, every one known here too.
func unequal(mine, theirs map[string]map[threads.Hash]string, all bool) []threads.Hash {
	differ := map[threads.Hash]bool{}
	for bucket, sums := range theirs {
		for id, sum := range sums {
			if mine[bucket][id] != sum && threads.IsHash(id) {
				differ[id] = true
			}
		}
	}
	for bucket, sums := range mine {
		for id := range sums {
			if _, same := theirs[bucket][id]; all || theirs[bucket] != nil && !same {
				differ[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

// differs has a channel fetched, unless it is being pushed here. One of which this server knows
// nothing it may have lost; lost counts those.
func (c *Courier) differs(ctx context.Context, id threads.Hash, busy []threads.Hash, lost *int, now time.Time) error {
	ch, err := c.x.Journal.Channel(ctx, id)
	if err != nil || slices.Contains(busy, id) || c.wants[id] != nil {
		return err
	}
	if ch == nil {
		if *lost++; c.pinned == nil || *lost > maxRelearned {
			return nil
		}
		if was, err := c.relearn(ctx, id); err != nil || !was {
			return err
		}
	}
	c.wants[id] = &want{at: now}
	return nil
}

// look finds, in the channels shared with the server, what has to be done beside the frontiers: the
// administrator is told of a channel that knows the server by another key than the pinned one, about
// which nothing is exchanged; history and contents that are lacking are fetched.
func (c *Courier) look(ctx context.Context, shared map[string]map[threads.Hash]string, now time.Time) error {
	for _, channels := range shared {
		for _, id := range slices.SortedFunc(maps.Keys(channels), strings.Compare) {
			ch, err := c.x.Journal.Channel(ctx, id)
			if err != nil {
				return fmt.Errorf("load channel %s: %w", id, err)
			}
			if c.contradicts(ch) {
				c.x.Log.Error("a channel knows the partner by another key than the pinned one", "partner", c.name, "channel", id)
				continue
			}
			c.x.freeze(ctx, ch)
			if ch.InDoubt() && !c.x.doubts.has(id, c.name) && c.wants[id] == nil {
				c.wants[id] = &want{at: now}
			}
			if len(shallow(ch, c.x.Server)) > 0 {
				c.deepen(id, now)
			}
			if missing, err := c.x.missing(ctx, id); err != nil {
				return err
			} else if len(missing) > 0 && c.wants[id] == nil {
				c.wants[id] = &want{at: now}
			}
		}
	}
	return nil
}

// contradicts reports whether the channel knows the server by another key than the one pinned for it,
// neither of which came after the other.
func (c *Courier) contradicts(ch *threads.Channel) bool {
	known, ok := ch.KeyOf(c.name)
	if !ok || c.pinned == nil || ch.KeyFollows(c.name, eventKey(c.name, c.pinned)) {
		return false
	}
	return !slices.ContainsFunc(c.had, func(k ed25519.PublicKey) bool { return known.Public.Equal(k) })
}
