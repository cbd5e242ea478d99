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
	var answer digestAnswer
	if err := c.x.askJSON(ctx, c.name, digestPath, request, &answer); err != nil {
		c.suspected = 0 // it is not what we push that it cannot take
		return err
	}
	c.failures = 0
	if c.anew {
		c.anew = false
		for _, channels := range mine {
			for id := range channels {
				c.differs(ctx, id, answer.Busy, now)
			}
		}
	}
	for bucket, theirs := range answer.Buckets {
		for id, sum := range theirs {
			if mine[bucket][id] != sum && threads.IsHash(id) {
				c.differs(ctx, id, answer.Busy, now)
			}
		}
		for id := range mine[bucket] {
			if _, ok := theirs[id]; !ok {
				c.differs(ctx, id, answer.Busy, now)
			}
		}
	}
	return c.look(ctx, mine, now)
}

// differs has a channel fetched, unless it is one of which this server knows nothing or that is
// being pushed here.
func (c *Courier) differs(ctx context.Context, id threads.Hash, busy []threads.Hash, now time.Time) {
	ch, err := c.x.Journal.Channel(ctx, id)
	if err == nil && ch != nil && !slices.Contains(busy, id) && c.wants[id] == nil {
		c.wants[id] = &want{at: now}
	}
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
			if len(shallow(ch)) > 0 {
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
