package federation

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"meridian/threads"
)

// digests remembers the sum of each channel's frontier for as long as the channel stays as it is.
type digests struct {
	mu   sync.Mutex
	sums map[threads.Hash]digested
}

type digested struct {
	ch  *threads.Channel // published channels never change
	sum string
}

// sum is 8 bytes, in hexadecimal, over the control head, all heads and the forks of a channel.
func (d *digests) sum(ch *threads.Channel) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.sums[ch.ID]; known.ch == ch {
		return known.sum
	}
	if d.sums == nil {
		d.sums = map[threads.Hash]digested{}
	}
	sum := channelSum(ch)
	d.sums[ch.ID] = digested{ch, sum}
	return sum
}

func channelSum(ch *threads.Channel) string {
	var text []byte
	text = fmt.Appendf(text, "%d %s\n", ch.Control.Seq, ch.Control.Hash)
	for _, h := range ch.Frontier() {
		text = fmt.Appendf(text, "%s %d %d %s\n", h.Origin, h.Epoch, h.Seq, h.Hash)
	}
	for _, r := range ch.Forks() {
		text = fmt.Appendf(text, "fork %s %d %d\n", r.Origin, r.Epoch, r.Seq)
	}
	return shortSum(text)
}

func shortSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// bucketOf is the bucket of a channel: the first byte of the SHA-256 of its id, in hexadecimal.
func bucketOf(id threads.Hash) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:1])
}

// sums are the sums of the channels shared with a server, by bucket. Channels of which either side
// is no member are left out, and those that know the server by another key.
func (x *Exchange) sums(ctx context.Context, server string, keys []ed25519.PublicKey) (map[string]map[threads.Hash]string, error) {
	out := map[string]map[threads.Hash]string{}
	for after := ""; ; {
		ids, err := x.Neighbours.ChannelsWith(ctx, server, after, maxShared)
		if err != nil {
			return nil, fmt.Errorf("list channels with %s: %w", server, err)
		}
		for _, id := range ids {
			ch, err := x.Journal.Channel(ctx, id)
			if err != nil {
				return nil, fmt.Errorf("load channel %s: %w", id, err)
			}
			if ch == nil || !ch.IsMember(server) || !ch.IsMember(x.Server) || keys != nil && !reaches(ch, server, keys) {
				continue
			}
			bucket := bucketOf(id)
			if out[bucket] == nil {
				out[bucket] = map[threads.Hash]string{}
			}
			out[bucket][id] = x.digests.sum(ch)
		}
		if len(ids) < maxShared {
			return out, nil
		}
		after = ids[len(ids)-1]
	}
}

// listed are the channels of some sums, by id.
func listed(sums map[string]map[threads.Hash]string) []threads.Hash {
	var ids []threads.Hash
	for _, channels := range sums {
		ids = append(ids, slices.Collect(maps.Keys(channels))...)
	}
	slices.Sort(ids)
	return ids
}

// bucketSum is the sum over a bucket's channels, the one on which both sides agree when they agree on
// all of them.
func bucketSum(channels map[threads.Hash]string) string {
	var text []byte
	for _, id := range slices.SortedFunc(maps.Keys(channels), strings.Compare) {
		text = fmt.Appendf(text, "%s %s\n", id, channels[id])
	}
	return shortSum(text)
}

// answerDigest answers unequal buckets with a sum for each of their channels, and equal ones with
// nothing.
func (x *Exchange) answerDigest(ctx context.Context, from caller) (reply, error) {
	var request digestRequest
	if err := decodeBody(from.body, &request); err != nil {
		return reply{}, malformed(err)
	}
	mine, err := x.sums(ctx, from.name, from.keys)
	if err != nil {
		return reply{}, err
	}
	answer := digestAnswer{Buckets: map[string]map[threads.Hash]string{}, Busy: x.courier(from.name).pushing()}
	for bucket, channels := range mine {
		if request.Buckets[bucket] != bucketSum(channels) {
			answer.Buckets[bucket] = channels
		}
	}
	for bucket := range request.Buckets {
		if len(bucket) == 2 && mine[bucket] == nil {
			answer.Buckets[bucket] = map[threads.Hash]string{}
		}
	}
	if request.Doubt {
		if answer.Former, err = x.former(ctx, from); err != nil {
			return reply{}, err
		}
	}
	return answerJSON(answer)
}

// pushing lists the channels that are being pushed to the server right now.
func (c *Courier) pushing() []threads.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Keys(c.busy), strings.Compare)
}
