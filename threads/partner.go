package threads

import "time"

// PartnerState is whether this server exchanges with a partner at all.
type PartnerState string

// States of a partner.
const (
	PartnerPending PartnerState = "pending" // seen, not decided by an administrator
	PartnerAllowed PartnerState = "allowed"
	PartnerBlocked PartnerState = "blocked"
)

// Partner is another organisation's server as this one knows it.
type Partner struct {
	Name        string // canonical server name
	State       PartnerState
	Key         Key         // pinned; zero until an administrator allows the partner
	Keys        []SignedKey // that it had one after another, as they prove themselves, the newest last; empty where only one is known
	Fingerprint string      // of Key, of the key first seen, or of the one an administrator expects
	Verified    bool        // its .well-known over TLS gave Key
	Hold        string      // why nothing is exchanged for now, in plain words; "" when it is
	Paused      bool        // nothing is exchanged until an administrator resumes it
	Added       time.Time
	Exchange
}

// Exchange is how it goes with a partner.
type Exchange struct {
	ContactIn  time.Time // last authenticated request from it; zero for never
	ContactOut time.Time // last answer of it to a request of ours
	Error      string    // the last one, in plain words; "" since it went well
	Remedy     string    // what helps against Error
	Reason     string    // Error in one word, of a closed set
	Attempts   int64     // failed in a row
	NextTry    time.Time
	ClockDiff  time.Duration // its clock less ours
	CertUntil  time.Time     // end of the certificate that it showed last; zero where it showed none
	Cursor     int64         // journal position up to which it was offered everything
	Versions   []int64       // protocol versions that it speaks
}

// States of a message at a partner.
const (
	OutcomeQueued    = "queued" // and tried again for ever
	OutcomeDelivered = "delivered"
	OutcomeRejected  = "rejected" // by the partner, as it is
	OutcomeParked    = "parked"   // the partner takes nothing of the channel
	OutcomeRemoved   = "removed"  // the partner is no member any more
)

// States of a channel at a partner, kept only while the channel is not abreast.
const (
	ChannelBehind   = "behind"   // it has less than Cursor says: more is to be sent
	ChannelParked   = "parked"   // refused as a whole: an administrator has to look
	ChannelRejected = "rejected" // the event after Have is refused, what came before is there
)

// PartnerSight is what an administrator sees of a partner.
type PartnerSight struct {
	Partner
	Backlog
	Parked     []PartnerChannel // parked or rejected there, at most 100
	Channels   []NamedChannel   // that it is a member of, at most 1,000; only where one partner is looked at
	Resembles  string           // another server whose name people can take for this one's, "" for none; only where one partner is looked at
	OwnCertEnd time.Time        // of this server's certificate; zero where a proxy or nobody shows one
}

// NamedChannel is a channel and what people call it.
type NamedChannel struct {
	ID   Hash
	Name string
}

// PartnerChannel is one channel at one partner while it is behind, parked or
// rejected there.
type PartnerChannel struct {
	Partner  string
	Channel  Hash
	State    string
	Epoch    int64 // of this server's log in the channel
	Have     int64 // seq up to which the partner has applied it
	Since    time.Time
	Attempts int64
	Error    string
	Remedy   string
}

// Backlog is what a partner has not applied yet of this server's own events.
type Backlog struct {
	Events int64     // those within 10,000 journal positions of its cursor are counted
	Oldest time.Time // when the oldest was written; zero when there is none
}
