package threads

import "time"

// What is derived from the log, as it is read back. A record names people by
// their ids; addresses come from profiles.

// ChannelRecord is a channel as one of its members sees it.
type ChannelRecord struct {
	ID       Hash
	Host     string
	Settings Settings
	Archived bool
	Created  time.Time
	Follows  Hash // the channel that it goes on from; "" for none
	Next     Hash // the one that goes on from it, the first that came here; "" while there is none
	Role     Role // of the person who asks
	Unread   int64
	Forked   bool // some log of it shows two histories
}

// ThreadRecord is a thread with its registers.
type ThreadRecord struct {
	ID        Hash
	Channel   Hash
	Author    string
	Created   time.Time
	Title     string
	Objective string
	State     string
	Assignee  string
	Start     string
	Due       string
	Labels    []string
	BlockedBy []Hash
	Hidden    bool // void
	Messages  int64
	LastTime  time.Time // of the newest message, else of the thread
	Following bool      // by the person who asks
	Unread    int64
	Version   int64 // journal position of the newest event that changed it
}

// MessageRecord is a message in its thread.
type MessageRecord struct {
	ID           Hash
	Channel      Hash
	Thread       Hash
	ReplyTo      Hash
	Author       string
	Time         time.Time // by which the thread shows it
	Received     int64     // journal position: the order in which this server got it
	Body         string    // the newest text; "" when Erased or Missing
	Edited       time.Time // zero when never
	Erased       bool
	Hidden       bool
	Missing      bool // the content is not held yet
	AttributedTo string
	InReplyTo    string
	OriginalID   string
	Mentions     []string
	Attachments  []AttachmentRecord
	Reactions    []Reaction
	Ask          *Ask        // as it was put; nil for none, and of what is erased
	Asks         []AskRecord // what became of it, by person; empty while the message is hidden
	Version      int64
}

// AskRecord is what a message asks of one person, and what became of it.
type AskRecord struct {
	Asked
	Message     Hash
	Channel     Hash
	Thread      Hash
	ThreadTitle string
	Author      string
	Time        time.Time // of the message
	Urgency     Urgency
	State       AskState
	Answer      Hash // the message that answered it first; "" for none
}

// AskView is which open asks are listed.
type AskView int

// Views of open asks.
const (
	AsksOfMe     AskView = iota // what waits for the person
	AsksOfOthers                // what the person waits for
)

// AttachmentRecord is a file of a message, and whether its bytes are here.
type AttachmentRecord struct {
	Attachment // with the true size once it is held
	State      FileState
}

// FileState says where the bytes of a file are.
type FileState string

// States of a file.
const (
	FileHeld     FileState = "held"     // here, checked
	FileRemote   FileState = "remote"   // at other servers; fetched when somebody asks for it
	FileFetching FileState = "fetching" // on its way
	FileMissing  FileState = "missing"  // no server gave it so far; tried again now and then
)

// Reaction is one emoji on a message and who set it, by id in order.
type Reaction struct {
	Emoji  string
	People []string
}

// Edition is one text that a message had.
type Edition struct {
	Time time.Time
	Body string
}

// PersonRecord is a person, of this server or another, as far as it is known here.
type PersonRecord struct {
	ID       string
	Address  string // ana@acme.example; "" while only the id is known
	Name     string
	Zone     string
	Server   string
	Local    bool
	Admin    bool
	Bot      bool
	Disabled bool
	Hours    string    // working hours, JSON as the client interface takes it; "" for the default
	Digest   string    // times of day for digests, JSON; "" for the default; never told to partners
	Created  time.Time // of a person of this server
	Version  int64     // the newest profile has the greatest; 0 while only the id is known
	// Signed is another server's profile as that server signed it, so that it can
	// be given back to a server that lost it; nil where it is not at hand.
	Signed []byte
}

// Entry is an event at its place in the journal.
type Entry struct {
	Pos    int64
	Event  *Event
	Void   bool
	Filled bool // the event came before: here its content did, or a file of it, which was missing
}

// Fate is a message of this server whose outcome at a partner has changed.
type Fate struct {
	Message, Channel Hash
	Author           string
	Outcome
}

// Outcome is what became of a message at one partner.
type Outcome struct {
	Partner  string
	State    string // queued, delivered, rejected, parked, removed
	Since    time.Time
	Attempts int64
	Error    string
	Remedy   string
}
