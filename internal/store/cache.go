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

// known is a committed channel, the journal position of its newest change, and
// the sum of the doubts about its logs, which change without one.
type known struct {
	channel *threads.Channel
	version int64
	doubts  int64
}

func knownOf(c *threads.Channel, version int64) known {
	k := known{channel: c, version: version, doubts: int64(c.ControlDoubt)}
	for _, l := range c.Logs {
		k.doubts += int64(l.Doubt)
	}
	return k
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

// forget drops everything: the database is not the one that it was read from.
func (s *shared) forget() {
	s.Lock()
	defer s.Unlock()
	clear(s.channels)
}
