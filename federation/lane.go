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

// lane is the delivery of one channel beside the journal: a channel at a server that has less of it
// than the courier's cursor says, or refuses it. While there is a lane the cursor passes over the
// channel, and the lane reads the channel's own logs from where the server stands.
type lane struct {
	threads.PartnerChannel
	have    map[threads.LogID]int64 // applied there, of this server's own logs
	control int64                   // applied there of the control log
	retryAt time.Time
	alone   bool // is pushed by itself, to tell whether it is what the server refuses
	doubts  int  // failures in a row while it was alone
	dirty   bool // differs from its row
	stored  bool // has a row
}

// lane is the channel's lane, made when there is none: behind, and until it is told otherwise taken
// to have everything.
func (c *Courier) lane(ch *threads.Channel, now time.Time) *lane {
	l := c.lanes[ch.ID]
	if l == nil {
		l = &lane{
			PartnerChannel: threads.PartnerChannel{Partner: c.name, Channel: ch.ID, State: threads.ChannelBehind, Since: now},
			have:           map[threads.LogID]int64{}, control: c.visibleControl(ch), dirty: true,
		}
		for _, id := range ownLogs(ch, c.x.Server) {
			l.have[id] = ch.Logs[id].Seq
		}
		c.lanes[ch.ID] = l
		delete(c.acked, ch.ID)
		c.dirty = true
	}
	return l
}

// stands takes up how far the server says it is, and reports whether that is further than before.
func (l *lane) stands(s standing, self string) (further bool) {
	have := map[threads.LogID]int64{}
	for _, h := range s.Frontier {
		if h.Origin == self {
			further = further || h.Seq > l.have[h.LogID]
			have[h.LogID] = h.Seq
		}
	}
	further = further || s.Control.Number > l.control
	l.have, l.control, l.dirty = have, s.Control.Number, true
	return further
}

// lower has the lane begin at the place at the latest.
func (l *lane) lower(r threads.Ref) {
	if r.LogID == threads.ControlLog {
		l.control = min(l.control, r.Seq-1)
		return
	}
	l.have[r.LogID] = min(l.have[r.LogID], r.Seq-1)
}

// rewind compares what the server says that it has of a channel with what this one wrote, and opens
// a lane where it lacks something.
func (c *Courier) rewind(ctx context.Context, s standing, now time.Time) error {
	ch, err := c.x.Journal.Channel(ctx, s.Channel)
	if err != nil || ch == nil {
		return err
	}
	known := c.lanes[s.Channel] != nil
	l := c.lane(ch, now)
	had := maps.Clone(l.have)
	if further := l.stands(s, c.x.Server); further && known {
		l.State, l.retryAt, l.Attempts = threads.ChannelBehind, time.Time{}, 0
		return c.fetched(ctx, l, had)
	}
	return nil
}

// lacking lists the next events that the lane has to deliver, the control log first, at most limit.
func (c *Courier) lacking(ctx context.Context, l *lane, limit int) ([]*threads.Event, error) {
	ch, err := c.x.Journal.Channel(ctx, l.Channel)
	if err != nil || ch == nil {
		return nil, err
	}
	end := c.visibleControl(ch)
	out, err := c.x.logEvents(ctx, l.Channel, threads.Ref{LogID: threads.ControlLog, Seq: l.control + 1}, end, limit)
	if err != nil || !c.mayPush(ch) {
		return out, err
	}
	for _, id := range ownLogs(ch, c.x.Server) {
		from := ch.ServedFrom(c.name, id, l.have[id])
		more, err := c.x.logEvents(ctx, l.Channel, threads.Ref{LogID: id, Seq: from}, ch.Logs[id].Seq, limit-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// logEvents lists at most limit events of a log from a place up to the seq last.
func (x *Exchange) logEvents(ctx context.Context, channel threads.Hash, from threads.Ref, last int64, limit int) ([]*threads.Event, error) {
	n := min(int64(limit), last-from.Seq+1)
	if n <= 0 {
		return nil, nil
	}
	events, err := x.Logs.LogEvents(ctx, channel, from, int(n))
	if err != nil {
		return nil, fmt.Errorf("read log of %s from %d: %w", channel, from.Seq, err)
	}
	return events, nil
}

func ownLogs(ch *threads.Channel, self string) []threads.LogID {
	var ids []threads.LogID
	for id, log := range ch.Logs {
		if id.Origin == self && log.Seq > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b threads.LogID) int { return int(max(-1, min(1, a.Epoch-b.Epoch))) })
	return ids
}

// visibleControl is the number of the last control event that the server may see: all of them for a
// member, for a removed one its removal, none for others.
func (c *Courier) visibleControl(ch *threads.Channel) int64 {
	switch {
	case ch.IsMember(c.name):
		return ch.Control.Seq
	case ch.WasMember(c.name):
		return ch.RemovedAt(c.name)
	}
	return 0
}

// mayPush reports whether data of the channel may go to the server: both are members now, and the
// key that the channel knows for it does not contradict the pinned one.
func (c *Courier) mayPush(ch *threads.Channel) bool {
	return ch.IsMember(c.name) && ch.IsMember(c.x.Server) && !c.contradicts(ch)
}

// due are the lanes that have something to try now, in the order of their channels; one that has to
// go alone comes by itself.
func (c *Courier) due(now time.Time) []*lane {
	var due []*lane
	for _, id := range slices.SortedFunc(maps.Keys(c.lanes), strings.Compare) {
		l := c.lanes[id]
		if now.Before(l.retryAt) {
			continue
		}
		if l.alone {
			return []*lane{l}
		}
		due = append(due, l)
	}
	return due
}

// close ends a lane that has nothing left to deliver.
func (c *Courier) close(l *lane) {
	delete(c.lanes, l.Channel)
	c.acked[l.Channel] = l.have
	if l.stored {
		c.closed = append(c.closed, l.Channel)
	}
	c.dirty = true
}

// park takes a channel out of the way of the others: it is tried again at longer and longer
// intervals, and when an administrator asks for it.
func (c *Courier) park(l *lane, now time.Time, state, why, remedy string) {
	if l.State != state || l.Error != why {
		c.x.Log.Error("channel "+state+" at partner", "partner", c.name, "channel", l.Channel, "error", why)
	}
	l.State, l.Error, l.Remedy = state, why, remedy
	l.Attempts++
	wait := min(compareEvery<<min(l.Attempts, 10), maxBackOff)
	l.retryAt, l.dirty, c.dirty = now.Add(c.x.spread(wait)), true, true
}
