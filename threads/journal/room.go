package journal

import (
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// Bounds of what waits for each origin and partner (protocol.md §3).
const (
	maxHeldEvents = 10_000
	maxHeldBytes  = 16 << 20
)

// room holds events that are authentic but cannot be applied yet. It lives in
// memory: after a crash the comparison of heads brings them again.
type room struct {
	channels map[threads.Hash]map[threads.LogID]map[int64]*held
	quota    map[quotaKey]quota
	count    int
}

type held struct {
	event *threads.Event
	from  string
	since time.Time
	want  threads.Want
}

// awaits is the event with whose application h is to be looked at again: in a
// gap the one right before it.
func (h *held) awaits() threads.Ref {
	if ref := h.event.Header.Ref(); h.want.LogID == ref.LogID {
		return threads.Ref{LogID: ref.LogID, Seq: ref.Seq - 1}
	}
	return threads.Ref(h.want)
}

type quotaKey struct{ origin, partner string }

type quota struct{ events, bytes int }

func newRoom() *room {
	return &room{channels: map[threads.Hash]map[threads.LogID]map[int64]*held{}, quota: map[quotaKey]quota{}}
}

func sizeOf(e *threads.Event) int { return len(e.HeaderBytes) + len(e.Content) + 256 }

// hold keeps an event, or reports that its origin and partner have as much
// waiting as they may.
func (r *room) hold(h *held) bool {
	e := h.event
	if old := r.channels[e.Channel()][e.Header.LogID()][e.Header.Seq]; old != nil {
		if old.event.ID == e.ID {
			old.want = h.want
			return true
		}
		r.drop(old) // its origin signed both; which of them fits shows when its turn comes
	}
	key := quotaKey{e.Header.Origin, h.from}
	q := r.quota[key]
	if q.events >= maxHeldEvents || q.bytes+sizeOf(e) > maxHeldBytes {
		return false
	}
	r.quota[key] = quota{q.events + 1, q.bytes + sizeOf(e)}
	r.log(e)[e.Header.Seq] = h
	r.count++
	return true
}

// log is what waits of the event's log, by seq.
func (r *room) log(e *threads.Event) map[int64]*held {
	logs := r.channels[e.Channel()]
	if logs == nil {
		logs = map[threads.LogID]map[int64]*held{}
		r.channels[e.Channel()] = logs
	}
	log := logs[e.Header.LogID()]
	if log == nil {
		log = map[int64]*held{}
		logs[e.Header.LogID()] = log
	}
	return log
}

func (r *room) drop(h *held) {
	e := h.event
	logs := r.channels[e.Channel()]
	log := logs[e.Header.LogID()]
	if log[e.Header.Seq] != h {
		return
	}
	delete(log, e.Header.Seq)
	if len(log) == 0 {
		delete(logs, e.Header.LogID())
	}
	if len(logs) == 0 {
		delete(r.channels, e.Channel())
	}
	key := quotaKey{e.Header.Origin, h.from}
	q := r.quota[key]
	if q.events--; q.events == 0 {
		delete(r.quota, key)
	} else {
		r.quota[key] = quota{q.events, q.bytes - sizeOf(e)}
	}
	r.count--
}

// at is what waits of a log, in order.
func (r *room) at(channel threads.Hash) []*held {
	var all []*held
	for _, log := range r.channels[channel] {
		for _, h := range log {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *held) int {
		x, y := &a.event.Header, &b.event.Header
		if d := strings.Compare(x.Origin, y.Origin); d != 0 {
			return d
		}
		if d := x.Epoch - y.Epoch; d != 0 {
			return int(max(-1, min(1, d)))
		}
		return int(max(-1, min(1, x.Seq-y.Seq)))
	})
	return all
}

// waiting tells, for each log of the channel of which something is held, how
// far and what the oldest of it is waiting for.
func (r *room) waiting(channel threads.Hash) []threads.Waiting {
	var out []threads.Waiting
	for _, h := range r.at(channel) {
		id := h.event.Header.LogID()
		if n := len(out); n > 0 && out[n-1].LogID == id {
			out[n-1].Seq = h.event.Header.Seq
			continue
		}
		out = append(out, threads.Waiting{LogID: id, Seq: h.event.Header.Seq, For: h.want})
	}
	return out
}
