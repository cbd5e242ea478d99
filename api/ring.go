package api

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"meridian/threads"
)

// Bounds of the ring: who is further behind reads the journal.
const (
	ringItems = 4096
	ringBytes = 8 << 20
)

// dropped says that an item is not to be shown any more.
type dropped = atomic.Bool

// ring holds the newest events, encoded. It has one writer and many readers.
type ring struct {
	mu    sync.RWMutex
	items []*item // by position; never changed in place
	bytes int
	from  int64 // of everything in (from, last] the ring has what anybody may see
	last  int64
	grown chan struct{} // closed when last moves
}

func newRing() *ring { return &ring{grown: make(chan struct{})} }

// after are at most limit items after the position, and the position up to
// which there are no others; !ok when the ring does not reach back so far.
func (r *ring) after(pos int64, limit int) (items []*item, through int64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if pos < r.from {
		return nil, 0, false
	}
	start := len(r.items)
	if start > 0 && r.items[start-1].pos > pos {
		start = sort.Search(len(r.items), func(i int) bool { return r.items[i].pos > pos })
	}
	items = r.items[start:]
	if len(items) > limit {
		return items[:limit], items[limit-1].pos, true
	}
	return items, max(pos, r.last), true
}

// reaches reports whether the ring has everything after the position.
func (r *ring) reaches(pos int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return pos >= r.from
}

// moved is the position that the ring has come to, and is closed when it goes on.
func (r *ring) moved() (last int64, grown <-chan struct{}) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.last, r.grown
}

// restart empties the ring: it goes on from the position.
func (r *ring) restart(pos int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items, r.bytes, r.from = nil, 0, pos
	r.move(pos)
}

// extend adds what follows up to a position.
func (r *ring) extend(items []*item, last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range items {
		if i.kind == threads.TypeMessageErased {
			r.forget(i.object)
		}
		r.bytes += len(i.quiet) + len(i.loud)
	}
	r.items = append(r.items, items...)
	if len(r.items) > ringItems || r.bytes > ringBytes {
		r.trim()
	}
	r.move(last)
}

func (r *ring) move(last int64) {
	r.last = last
	close(r.grown)
	r.grown = make(chan struct{})
}

// trim drops the older part, so that it is done rarely.
func (r *ring) trim() {
	cut := 0
	for cut < len(r.items) && (len(r.items)-cut > ringItems*3/4 || r.bytes > ringBytes*3/4) {
		r.bytes -= len(r.items[cut].quiet) + len(r.items[cut].loud)
		cut++
	}
	if cut > 0 {
		r.from = r.items[cut-1].pos
		r.items = slices.Clone(r.items[cut:])
	}
}

// forget keeps an erased text from being sent from here.
func (r *ring) forget(message threads.Hash) {
	for _, i := range r.items {
		if i.object == message {
			i.drop.Store(true)
		}
	}
}
