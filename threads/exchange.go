package threads

import "time"

// Batch is what one exchange with a partner brought: decoded events in the
// order received. The signatures are not verified yet.
type Batch struct {
	From   string // the partner's server name
	Events []*Event
	Now    time.Time
	// Below says that the events continue logs downwards from where this
	// server's copy starts, newest first.
	Below bool
	// About are channels whose standing is to be in the answer, whatever came.
	About []Hash
	// Relearned are channels that this server had lost: what is not held yet of
	// one is in doubt.
	Relearned map[Hash]bool
	// Forks are proofs that the partner passes on, not checked yet.
	Forks []Fork
	// MetAfter is how long a dependency may be missing before it counts as met.
	MetAfter time.Duration
}

// Answer says what became of a batch, a channel each; what is not in it was of
// no channel known here.
type Answer struct {
	Channels map[Hash]*ChannelAnswer
}

// ChannelAnswer is the truth about one channel after a batch: how far each log
// is applied, what waits, and what was refused.
type ChannelAnswer struct {
	Control  Head
	Frontier []Head
	Waiting  []Waiting
	Refused  []Refusal
	Taken    []*Event // what was appended
	// Forks are proofs that are kept since.
	Forks []Fork
	// Astray are logs of which an authentic event names another one before it
	// than this server holds.
	Astray []LogID
}

// Waiting says that a log is held unapplied up to Seq for want of something.
type Waiting struct {
	LogID
	Seq int64
	For Want
}

// Want is what an event waits for: an earlier event of its log, a control
// event, a dependency, or its own time.
type Want struct {
	LogID       // ControlLog for a control event
	Seq   int64 // 0 where the clock alone is awaited
}

// Codes of refusals.
const (
	RefusedUnknownChannel = "unknown_channel"
	RefusedNotMember      = "not_member"
	RefusedRemoved        = "removed"
	RefusedOrigin         = "origin"
	RefusedChain          = "chain"
	RefusedBranch         = "branch"
	RefusedSignature      = "signature"
	RefusedKey            = "key"
	RefusedTime           = "time"
	RefusedFork           = "fork"
	RefusedRetryLater     = "retry_later"
	RefusedMalformed      = "malformed"
)

// NotInChannel is what a server hears that asks about a channel in which this one is not, or which is
// not the sender's business.
const NotInChannel = "this server is not in that channel"

// Refusal is one event that was not taken, and with it the rest of its log in
// this exchange.
type Refusal struct {
	Ref
	Index  int // in the batch
	Code   string
	Detail string
}
