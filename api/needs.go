package api

import (
	"context"
	"io"
	"time"

	"meridian/threads"
)

// Needs are the parts of the house that the client interface reaches. All are
// required.
type Needs struct {
	Journal     Journal
	Entries     Entries
	Tokens      Tokens
	Accounts    Accounts
	People      People
	Directory   Directory
	Passwords   Passwords
	Eraser      Eraser
	Erasures    Erasures
	Channels    Channels
	States      States
	Threads     Threads
	Messages    Messages
	Fates       Fates
	Marks       Marks
	Search      Search
	Files       Files
	Membership  Membership
	Invitations Invitations
	Partners    Partners
	PartnerBook PartnerBook
	PartnerPace PartnerPace
	AuditLog    AuditLog
	Forks       Forks
	// Alone keeps people at other nodes of this organisation from changing a thing
	// until end is called; what was changed before is seen then. nil where there
	// are no other nodes.
	Alone func(ctx context.Context, id string) (end func(), err error)
}

// Journal carries out commands.
type Journal interface {
	// Do answers after the events of the command are durable, here or, for what
	// the host alone can do, there. Errors are *threads.Error; of kind
	// Unavailable where it is unknown whether anything was stored.
	Do(ctx context.Context, r Request) (Result, error)
	// Channel is the committed state of a channel, nil when it is unknown here.
	// It must not be changed.
	Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error)
}

// Request is a command of a person of this server. Key makes repeating it
// harmless, "" for none; Digest tells another request under the same key apart.
type Request struct {
	Actor   string
	Command threads.Command
	Now     time.Time
	Key     string
	Digest  threads.Hash
}

// Result is what a command came to. Of a repeated one only the ids of its
// events are at hand.
type Result struct {
	IDs      []threads.Hash
	Events   []*threads.Event
	Last     int64 // journal position of the last of Events
	Repeated bool
}

// Entries reads the journal in commit order.
type Entries interface {
	// Entries are at most limit entries after the position.
	Entries(ctx context.Context, after int64, limit int) ([]threads.Entry, error)
	// Last is the newest position.
	Last(ctx context.Context) (int64, error)
	// Changed is closed at the next commit.
	Changed() <-chan struct{}
}

// Tokens knows whom a token lets in. Secrets are stored as hashes.
type Tokens interface {
	// PersonByToken is for whom the bearer acts, and the token's id; NotFound
	// for one that is unknown, expired or revoked, and for a disabled person.
	PersonByToken(ctx context.Context, secret string, now time.Time) (threads.PersonRecord, string, error)
	AddToken(ctx context.Context, t threads.Token, secret string) error
	Tokens(ctx context.Context, person string, page threads.Page) ([]threads.Token, string, error)
	// RevokeToken is recorded where by names somebody.
	RevokeToken(ctx context.Context, person, id string, by threads.Act) error
}

// Accounts are the people of this server.
type Accounts interface {
	// Credentials are the record and the PHC string of the password.
	Credentials(ctx context.Context, name string) (threads.PersonRecord, string, error)
	CreatePerson(ctx context.Context, n threads.NewPerson) (threads.PersonRecord, error)
	// ChangeProfile refuses with Conflict a change to another version.
	ChangeProfile(ctx context.Context, c threads.ProfileChange) (threads.PersonRecord, error)
	People(ctx context.Context, page threads.Page) ([]threads.PersonRecord, string, error)
}

// Directory lets administrators shut people of this server out and in again;
// both revoke every token of theirs, and are recorded as done by whom by names.
type Directory interface {
	Disable(ctx context.Context, person string, by threads.Act) error
	Enable(ctx context.Context, person string, by threads.Act) error
}

// Eraser forgets people of this server.
type Eraser interface {
	// ErasePerson erases a person with all that they wrote, for good; partners
	// are told as soon as they can be.
	ErasePerson(ctx context.Context, person string, by threads.Act) error
}

// Erasures tell what became of what people of this server erased.
type Erasures interface {
	// ErasureOf is that of a message by the person, or with "" by anybody;
	// NotFound where there is none.
	ErasureOf(ctx context.Context, person string, message threads.Hash) (threads.Erasure, error)
	// Erasures lists them, the newest first.
	Erasures(ctx context.Context, page threads.Page) ([]threads.Erasure, string, error)
}

// Passwords are what the people of this server sign in with.
type Passwords interface {
	// ChangePassword replaces the PHC string and ends the person's sessions but
	// the one whose token has the id keep; programs' tokens stay.
	ChangePassword(ctx context.Context, person, phc, keep string) error
}

// People are the persons known here, of this server and others.
type People interface {
	Person(ctx context.Context, id string) (threads.PersonRecord, error)
	PersonByAddress(ctx context.Context, address string) (threads.PersonRecord, error)
	// PeopleByID leaves out whom it does not know.
	PeopleByID(ctx context.Context, ids []string) (map[string]threads.PersonRecord, error)
}

// Channels are what a person is a member of.
type Channels interface {
	Channels(ctx context.Context, person string, page threads.Page) ([]threads.ChannelRecord, string, error)
	// Channel is NotFound for who is no member.
	Channel(ctx context.Context, person string, id threads.Hash) (threads.ChannelRecord, error)
}

// States tells how far this server's replica of a channel has come.
type States interface {
	// StateHash does not check membership.
	StateHash(ctx context.Context, channel threads.Hash) (State, error)
}

// State stands for the state of a channel: the hash is equal at replicas with
// equal frontiers, control head, start and rules.
type State struct {
	Hash     threads.Hash
	Frontier []threads.Head // the newest event of each data log
	Control  threads.Head
	Start    []threads.Head // of each data log that is not held from its first event: the one before
	Rules    int
}

// Threads reads threads as a person sees them; what they may not see is NotFound.
type Threads interface {
	Threads(ctx context.Context, person string, channel threads.Hash, page threads.Page) ([]threads.ThreadRecord, string, error)
	Thread(ctx context.Context, person string, id threads.Hash) (threads.ThreadRecord, error)
}

// Messages reads messages as a person sees them; what they may not see is
// NotFound.
type Messages interface {
	// Messages are in the order in which the thread shows them.
	Messages(ctx context.Context, person string, thread threads.Hash, page threads.Page) ([]threads.MessageRecord, string, error)
	Message(ctx context.Context, person string, id threads.Hash) (threads.MessageRecord, error)
	// Asks are open ones, what is due first foremost.
	Asks(ctx context.Context, person string, view threads.AskView, page threads.Page) ([]threads.AskRecord, string, error)
}

// Fates tell what became of a message that the person may see.
type Fates interface {
	// Editions are all texts that the message had, oldest first.
	Editions(ctx context.Context, person string, message threads.Hash) ([]threads.Edition, error)
	// Delivery is one outcome for each other member server of the channel.
	Delivery(ctx context.Context, person string, message threads.Hash) ([]threads.Outcome, error)
}

// Marks are a person's own: nobody else learns of them.
type Marks interface {
	// MarkRead notes that the person has read what this server had of the thread
	// when it got the message. A mark never moves back.
	MarkRead(ctx context.Context, person string, thread, upTo threads.Hash) error
	Follow(ctx context.Context, person string, thread threads.Hash, on bool) error
}

// Search finds what a person may read.
type Search interface {
	Search(ctx context.Context, person, query string, page threads.Page) ([]threads.Hit, string, error)
}

// Files keeps the bytes of what is attached to messages.
type Files interface {
	// Upload stores what body yields and answers, after it is durable, with what
	// is known of it. It is kept for a day, and as long as messages name it.
	Upload(ctx context.Context, person string, declared threads.Attachment, body io.Reader) (threads.Attachment, error)
	// Attachable is a file that the person uploaded, or may read; NotFound for
	// any other.
	Attachable(ctx context.Context, person string, digest threads.Hash) (threads.Attachment, error)
	// Open opens a file that the person may read; Unavailable while its bytes are
	// not here.
	Open(ctx context.Context, person string, digest threads.Hash) (threads.Attachment, io.ReadSeekCloser, error)
}

// Membership brings people of other servers into channels.
type Membership interface {
	// Invite offers the channel to the person whom the address names and answers
	// with the invitation; repeating it changes nothing.
	Invite(ctx context.Context, i Invite) (threads.Invitation, error)
	// Answer accepts or declines an invitation to a person of this server;
	// NotFound for one to somebody else.
	Answer(ctx context.Context, person, invitation string, accept bool) (threads.Invitation, error)
}

// Invite asks a person into a channel.
type Invite struct {
	Actor   string
	Channel threads.Hash
	Address string
	Role    threads.Role
}

// Invitations are kept here for people of this server and for channels that it
// hosts.
type Invitations interface {
	// Invitations lists those to the person, newest first.
	Invitations(ctx context.Context, person string, page threads.Page) ([]threads.Invitation, string, error)
	// InvitationsOf lists those that this server made into the channel.
	InvitationsOf(ctx context.Context, channel threads.Hash, page threads.Page) ([]threads.Invitation, string, error)
}

// Partners are the servers that this one knows.
type Partners interface {
	// Partners lists them by name: all, or those in one state.
	Partners(ctx context.Context, state threads.PartnerState, page threads.Page) ([]threads.PartnerSight, string, error)
	// Partner is one of them, with the channels that it is a member of.
	Partner(ctx context.Context, name string) (threads.PartnerSight, error)
}

// PartnerBook is where an administrator, by, decides about partners.
type PartnerBook interface {
	// AddPartner asks the server who it is and keeps it as pending.
	AddPartner(ctx context.Context, by, name string) (threads.Partner, error)
	// AllowPartner pins the key with the fingerprint, "" for the one that
	// AddPartner showed. A name that people can take for another's is refused.
	AllowPartner(ctx context.Context, by, name, fingerprint string) (threads.Partner, error)
	// AllowConfusable is AllowPartner where the name may resemble another's.
	AllowConfusable(ctx context.Context, by, name, fingerprint string) (threads.Partner, error)
	BlockPartner(ctx context.Context, by, name string) (threads.Partner, error)
}

// AuditLog is the record of what was decided and found on this server.
type AuditLog interface {
	// AuditLog lists it, newest first.
	AuditLog(ctx context.Context, page threads.Page) ([]threads.AuditEntry, string, error)
}

// Forks are the proofs that servers signed two histories.
type Forks interface {
	// Proofs lists them as they were learnt.
	Proofs(ctx context.Context, page threads.Page) ([]threads.ForkSight, string, error)
}

// PartnerPace is how an administrator, by, stops and hurries the exchange with a
// partner; NotFound for one that is not known.
type PartnerPace interface {
	// PausePartner has nothing sent or fetched until ResumePartner.
	PausePartner(ctx context.Context, by, name string) (threads.Partner, error)
	ResumePartner(ctx context.Context, by, name string) (threads.Partner, error)
	// RetryPartner ends every wait, ResyncPartner also compares everything again.
	RetryPartner(ctx context.Context, by, name string) (threads.Partner, error)
	ResyncPartner(ctx context.Context, by, name string) (threads.Partner, error)
}
