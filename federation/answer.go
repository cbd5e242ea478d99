package federation

import (
	"context"
	"fmt"
	"time"

	"meridian/threads"
)

// takeAnswer takes the server's word for where each channel of a batch stands there.
func (c *Courier) takeAnswer(ctx context.Context, b *batch, a *pushAnswer, now time.Time) error {
	stands := map[threads.Hash]channelAnswer{}
	for _, s := range a.Channels {
		stands[s.Channel] = s
	}
	refused := map[threads.Hash]wireRefusal{}
	for _, r := range a.Refusals {
		if r.Index < 0 || r.Index >= len(b.sent) {
			continue
		}
		if _, ok := refused[b.sent[r.Index].channel]; !ok {
			refused[b.sent[r.Index].channel] = r
		}
	}
	c.count(b, stands, now)
	for _, id := range b.channels() {
		ch, err := c.x.Journal.Channel(ctx, id)
		if err != nil {
			return fmt.Errorf("load channel %s: %w", id, err)
		}
		v := verdict{now: now, ch: ch, batch: b, stands: stands[id], reached: b.reached(stands[id], id)}
		if r, ok := refused[id]; ok {
			v.refused = &r
		}
		_, v.known = stands[id]
		c.judge(v)
		c.judged(b, id, v.stands.standing)
	}
	return nil
}

// verdict is what an answer says of one channel of a batch.
type verdict struct {
	now     time.Time
	ch      *threads.Channel
	batch   *batch
	stands  channelAnswer
	known   bool // the answer is about the channel at all
	reached bool // everything sent of it is applied there
	refused *wireRefusal
}

// judge opens, continues or ends the channel's lane.
func (c *Courier) judge(v verdict) {
	l := c.lanes[v.ch.ID]
	if v.known && (differ(v.ch, v.stands.standing) || lacksOwn(v.ch, v.stands.standing, c.x.Server)) {
		c.wants[v.ch.ID] = &want{at: v.now}
	}
	lacksControl := v.known && v.stands.Control.Number < c.visibleControl(v.ch) && (v.ch.Host == c.x.Server || v.stands.waitsForControl())
	if v.reached && l == nil && !lacksControl {
		return
	}
	fresh := l == nil
	if fresh {
		l = c.lane(v.ch, v.now)
		for _, s := range v.batch.sent {
			if s.channel == v.ch.ID {
				l.lower(s.ref)
			}
		}
	}
	further := v.known && l.stands(v.stands.standing, c.x.Server)
	switch {
	case v.refused != nil && v.refused.Code == threads.RefusedRetryLater:
		l.retryAt = v.now.Add(c.x.spread(10 * time.Second))
	case v.refused != nil:
		c.refusal(l, v)
	case v.reached || further || lacksControl && fresh:
		l.State, l.Attempts, l.Error, l.Remedy, l.retryAt = threads.ChannelBehind, 0, "", "", time.Time{}
	default: // it waits there for what others have to bring
		l.Attempts++
		l.retryAt = v.now.Add(c.x.spread(min(5*time.Second<<min(l.Attempts, 8), 2*compareEvery)))
	}
}

// refusal deals with a channel that the server will not take as things are. What a newer control
// log would change is not the event's fault: then that is sent first.
func (c *Courier) refusal(l *lane, v verdict) {
	switch v.refused.Code {
	case threads.RefusedRemoved: // its control log says more
		c.wants[v.ch.ID] = &want{at: v.now}
		l.retryAt = v.now.Add(c.x.spread(compareEvery))
	case threads.RefusedNotMember, threads.RefusedUnknownChannel:
		if l.Attempts == 0 && l.control >= c.visibleControl(v.ch) {
			l.control, l.Attempts = 0, 1
			return
		}
		if !v.ch.IsMember(c.name) { // it was told of its removal, and now finds out who tells it
			l.retryAt = v.now.Add(c.x.spread(compareEvery))
			return
		}
		c.park(l, v.now, threads.ChannelParked, "it says: "+firstBytes(v.refused.Detail, 200),
			"the server does not know yet that both are members; it settles when the control log reaches it")
	default:
		c.park(l, v.now, threads.ChannelRejected, v.refused.Code+": "+firstBytes(v.refused.Detail, 200),
			"an event is refused there; compare versions and clocks of both servers, then `partner retry`")
	}
}

func (a channelAnswer) waitsForControl() bool {
	for _, w := range a.Waiting {
		if w.For != nil && w.For.Origin == "" {
			return true
		}
	}
	return false
}

// reached reports whether everything that the batch brought of a channel is applied there.
func (b *batch) reached(s channelAnswer, id threads.Hash) bool {
	for _, f := range b.sent {
		if f.channel == id && !s.has(f.ref) {
			return false
		}
	}
	return true
}

// has reports whether the place is applied according to the standing.
func (s standing) has(r threads.Ref) bool {
	if r.LogID == threads.ControlLog {
		return s.Control.Number >= r.Seq
	}
	return s.head(r.LogID).Seq >= r.Seq
}

// count feeds the metrics of a push that was answered.
func (c *Courier) count(b *batch, stands map[threads.Hash]channelAnswer, now time.Time) {
	got := c.x.Clock()
	delivered := 0
	for _, s := range b.sent {
		if stands[s.channel].has(s.ref) {
			delivered++
			c.x.metrics.endToEnd(c.name, got.Sub(s.time.Wall()))
		}
	}
	c.x.metrics.delivered(c.name, "delivered", delivered)
	c.x.metrics.delivered(c.name, "refused", len(b.sent)-delivered)
}
