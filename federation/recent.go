package federation

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"meridian/threads"
)

// Bounds of what Recent keeps.
const (
	maxRecent      = 4096
	maxRecentBytes = 8 << 20
)

// Recent keeps the newest of this server's own events at hand, so that a partner who is abreast is
// served without asking the database. It knows only what Committed told it; everything else comes
// from the logs behind it. It never holds what could have been erased or judged again since: a commit
// that does either empties it.
type Recent struct {
	Logs
	server string

	mu      sync.Mutex
	entries []threads.Entry // own, in journal order
	bytes   int
	after   int64 // beyond this position, up to last, all own events are in entries
	last    int64
	heard   int64 // newest position that another node wrote
}

// NewRecent is Recent of a server, empty, before its logs.
func NewRecent(server string, logs Logs) *Recent { return &Recent{Logs: logs, server: server} }

// Committed takes up what one transaction appended. It has to be told of every commit of this
// process, before those who wait for the commit are woken.
func (r *Recent) Committed(entries []threads.Entry) {
	if len(entries) == 0 {
		return
	}
	slices.SortFunc(entries, func(a, b threads.Entry) int { return cmp.Compare(a.Pos, b.Pos) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if entries[0].Pos != r.last+1 { // another node of this organisation wrote meanwhile
		r.empty(entries[0].Pos - 1)
	}
	for _, e := range entries {
		r.last = e.Pos
		if h := &e.Event.Header; h.Log == threads.LogControl || h.Erasing() || e.Void {
			r.empty(e.Pos)
		} else if h.Origin == r.server {
			r.entries = append(r.entries, e)
			r.bytes += frameSize(e.Event)
		}
	}
	if r.heard > r.last {
		r.empty(r.heard)
	}
	for len(r.entries) > maxRecent || r.bytes > maxRecentBytes {
		r.after = r.entries[0].Pos
		r.bytes -= frameSize(r.entries[0].Event)
		r.entries = r.entries[1:]
	}
}

// Elsewhere says that another node of this organisation has written up to the position.
func (r *Recent) Elsewhere(last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard = max(r.heard, last); last > r.last {
		r.empty(last)
	}
}

// Lost says that other nodes may have written anything, or that something which was appended before no
// longer stands.
func (r *Recent) Lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.empty(r.last)
}

// empty forgets everything up to the position.
func (r *Recent) empty(pos int64) { r.entries, r.bytes, r.after, r.last = nil, 0, pos, pos }

// OwnEvents answers from what is at hand where that reaches back far enough and has something new.
func (r *Recent) OwnEvents(ctx context.Context, after int64, limit int) ([]threads.Entry, int64, error) {
	if entries, through, ok := r.beyond(after, limit); ok {
		return entries, through, nil
	}
	return r.Logs.OwnEvents(ctx, after, limit)
}

func (r *Recent) beyond(after int64, limit int) ([]threads.Entry, int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after < r.after || after >= r.last {
		return nil, 0, false
	}
	start, _ := slices.BinarySearchFunc(r.entries, after+1, func(e threads.Entry, pos int64) int { return cmp.Compare(e.Pos, pos) })
	end := min(start+limit, len(r.entries))
	out := slices.Clone(r.entries[start:end])
	if len(out) == limit {
		return out, out[limit-1].Pos, true
	}
	return out, r.last, true
}
