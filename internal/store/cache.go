package store

import (
	"sync"

	"meridian/threads"
)

// shared is what readers and the writer know without asking the database.
type shared struct {
	sync.Mutex
	channels map[threads.Hash]known
}

// known is a committed channel and the journal position of its newest change.
type known struct {
	channel *threads.Channel
	version int64
}

// maxKnown bounds the channels kept in memory.
const maxKnown = 4096

func (s *shared) find(id threads.Hash) known {
	s.Lock()
	defer s.Unlock()
	return s.channels[id]
}

func (s *shared) keep(id threads.Hash, k known) {
	s.Lock()
	defer s.Unlock()
	if len(s.channels) >= maxKnown {
		clear(s.channels)
	}
	s.channels[id] = k
}
