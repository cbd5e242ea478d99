package journal

import (
	"context"
	"time"

	"meridian/threads"
)

// Store is the database as the journal needs it.
type Store interface {
	// Write runs f in one transaction that holds the lock under which journal
	// positions are given, and commits durably when f returns nil. An error
	// from Write leaves it unknown whether f's work is stored.
	Write(ctx context.Context, f func(Tx) error) error
	// Channel is the committed state of a channel, nil when it is unknown here.
	Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error)
}

// Tx is one write transaction.
type Tx interface {
	// Last is the newest position in the journal.
	Last() (int64, error)
	// Channel is the state of a channel within the transaction, nil when it is
	// unknown here.
	Channel(id threads.Hash) (*threads.Channel, error)
	// Expected reports whether this server has accepted an invitation into the
	// channel, so that its control log may be taken in.
	Expected(channel threads.Hash) (bool, error)
	// Find looks up an event of the channel; *threads.Error of kind NotFound
	// when it is not held.
	Find(channel, id threads.Hash) (threads.Target, error)
	// Successors are the channels that go on from one, as far as its record here
	// bears that out, as they came here.
	Successors(channel threads.Hash) ([]threads.Hash, error)
	// At is the event at that place of a log, nil when it is not held.
	At(channel threads.Hash, at threads.Ref) (*threads.Event, error)
	// Append stores events at the positions given, all of one channel, with
	// what they do to what people see, and the channel as it is after them.
	Append(c *threads.Channel, entries []Entry) error
	// Fill stores contents that had been missing, checked against their digests
	// already, with what they do, each at the next position after pos, and
	// returns the position of the last.
	Fill(c *threads.Channel, pos int64, contents []*threads.Event) (int64, error)
	// KeepFork stores a proof at a journal position, instead of the one that was
	// kept of its log before.
	KeepFork(c *threads.Channel, pos int64, f threads.ForkSight) error
	// Revoid takes up removals and forks: every event of the logs beyond their
	// cuts is judged again by c, and what people see is made anew without those
	// that are void now. A log ends where [threads.Channel.Bound] says.
	Revoid(c *threads.Channel, pos int64, logs []threads.LogID) error
	// Holds reports whether the event stands at that position of the journal.
	Holds(m Mark) (bool, error)
	// Doubt puts every log of this server's own in doubt: the database may be
	// older than what others hold.
	Doubt() error
	// Prove stores, as of a position, that nothing of c is in doubt.
	Prove(c *threads.Channel, pos int64) error
	// Arrive notes that a file is held now. The messages that name it are told of
	// at the positions after pos; it returns how many there are.
	Arrive(a threads.Arrival, pos int64) (told int64, err error)
	// Recall is the outcome that was remembered under the key, nil when none was.
	Recall(key Key) (*Remembered, error)
	// Remember keeps the outcome of a command under its key.
	Remember(key Key, r Remembered) error
}

// Mark is an event and the position that it was given.
type Mark struct {
	Pos int64
	ID  threads.Hash
}

// Entry is an event to be appended.
type Entry struct {
	Pos   int64
	Event *threads.Event
	Void  bool
	// Kept says that the event is stored already, from when this server was a
	// member before, and joins its log again.
	Kept bool
	// Effects of the event; zero for control events and where the content is
	// not held.
	Effects threads.Effects
	// At is when this server got it.
	At time.Time
}

// Key names a client's request, so that repeating it has no second effect.
type Key struct {
	Person string
	Key    string
}

// Remembered is what a request came to.
type Remembered struct {
	Digest threads.Hash // of the request, so that another one under its key is told apart
	Events []threads.Hash
	At     time.Time
}
