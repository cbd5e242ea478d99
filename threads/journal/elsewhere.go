package journal

import "meridian/threads"

// Elsewhere is a transaction by which another node of this organisation brought
// the log from one position to another.
type Elsewhere struct {
	After, Last int64
	// Channels that it changed; none where there are too many to name.
	Channels []threads.Hash
	// Newest is the newest event of it, zero where it appended none.
	Newest Mark
}

// Heard takes note of what another node wrote: what memory holds of it is read
// anew from now on, and followers are woken.
func (j *Journal) Heard(w Elsewhere) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard = max(j.heard, w.Last)
	if w.Newest.Pos > j.newest.Pos { // a database that lacks it has gone back
		j.newest = w.Newest
	}
	if j.known && w.Last <= j.last && w.After < w.Last {
		return // this node has written since, and saw it then
	}
	if w.After == w.Last { // what it changed stands at no position
		j.lost++
	}
	last := w.Last
	if j.known {
		last = max(last, j.last)
	}
	if j.known && w.After == j.last && len(w.Channels) > 0 {
		for _, id := range w.Channels {
			delete(j.channels, id)
		}
		clear(j.targets)
		j.round++
	} else {
		j.forget()
	}
	j.last, j.known = last, true // whatever is loaded from now on is not older
	j.wake()
}

// Lost takes note that other nodes may have written anything: nothing in memory
// is believed any more, and followers are woken.
func (j *Journal) Lost() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lost++
	j.heard = 0
	j.forget()
	j.wake()
}

// Reached says that a follower has read the log up to the position. What memory
// holds is not older afterwards, so that the follower judges by it what it read.
func (j *Journal) Reached(pos int64) {
	j.mu.RLock()
	behind := !j.known || pos > j.last
	j.mu.RUnlock()
	if !behind {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known && pos <= j.last {
		return
	}
	j.forget()
	j.heard = max(j.heard, pos)
	j.last, j.known = pos, true
}

// Waits reports whether events wait here for what another node may have taken in.
func (j *Journal) Waits() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.waits
}
