package federation

import (
	"context"
	"time"

	"meridian/threads"
)

// Journal is the one pen, and what it has committed.
type Journal interface {
	// Ingest takes in what a partner sent and answers once that is durable.
	Ingest(ctx context.Context, b threads.Batch) (threads.Answer, error)
	// Channel is the committed state of a channel, nil when it is unknown here; it is never changed.
	Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error)
	// Changed is closed at the next commit.
	Changed() <-chan struct{}
	// Prove ends the doubts of a channel of which every member server delivered what it holds.
	Prove(ctx context.Context, channel threads.Hash) error
}

// Logs reads events in their stored bytes as partners may have them: a content is nil where it is not
// held, was erased, or is that of a void event.
type Logs interface {
	// OwnEvents lists, in journal order, at most limit events after the position that stand in this
	// server's own data logs or, while it is the host, in control logs. through is the position up
	// to which there are no others.
	OwnEvents(ctx context.Context, after int64, limit int) (entries []threads.Entry, through int64, err error)
	// LogEvents lists at most limit events of one log from a seq upwards.
	LogEvents(ctx context.Context, channel threads.Hash, from threads.Ref, limit int) ([]*threads.Event, error)
	// EventsByID lists those of the channel's events that are held, at most 500.
	EventsByID(ctx context.Context, channel threads.Hash, ids []threads.Hash) ([]*threads.Event, error)
	// MissingContents lists at most limit events of the channel, neither void nor erased, whose
	// contents are not held.
	MissingContents(ctx context.Context, channel threads.Hash, limit int) ([]threads.Hash, error)
	// Forks are the proofs that are kept of the channel's logs, at most limit.
	Forks(ctx context.Context, channel threads.Hash, limit int) ([]threads.Fork, error)
}

// Neighbours knows which servers share channels with this one.
type Neighbours interface {
	// Servers lists all servers but this one that are members of a channel held here.
	Servers(ctx context.Context) ([]string, error)
	// ChannelsWith lists, by id, at most limit channels after the given one of which the server is
	// or was a member.
	ChannelsWith(ctx context.Context, server string, after threads.Hash, limit int) ([]threads.Hash, error)
	// InDoubt lists likewise the channels of which a log of this server's own is in doubt.
	InDoubt(ctx context.Context, after threads.Hash, limit int) ([]threads.Hash, error)
}

// Partners is the book of partners.
type Partners interface {
	// Partner is *threads.Error of kind NotFound where there is none of that name.
	Partner(ctx context.Context, name string) (threads.Partner, error)
	// Partners lists those in one state, by name.
	Partners(ctx context.Context, state threads.PartnerState, page threads.Page) ([]threads.Partner, string, error)
	// SavePartner makes a partner or replaces what was decided about it, not how the exchange goes; by is
	// for the audit log.
	SavePartner(ctx context.Context, p threads.Partner, by threads.Act) error
	// NotePartner remembers a server that nobody decided about as pending, boundedly.
	NotePartner(ctx context.Context, name, fingerprint string, now time.Time) (threads.Partner, error)
}

// Deliveries keeps how far each partner has been served, so that a restart goes on from there. What is
// written under a fence that another node has passed is refused.
type Deliveries interface {
	// SaveExchange replaces how it goes with a partner, its cursor included.
	SaveExchange(ctx context.Context, f threads.Fence, name string, e threads.Exchange) error
	// PartnerChannels lists the channels that are not abreast at the partner, by id.
	PartnerChannels(ctx context.Context, partner string, page threads.Page) ([]threads.PartnerChannel, string, error)
	SavePartnerChannel(ctx context.Context, f threads.Fence, c threads.PartnerChannel) error
	// Backlog is what lies beyond the cursor that was saved last.
	Backlog(ctx context.Context, partner string) (threads.Backlog, error)
	// ClearPartnerChannel says that the channel is abreast at the partner.
	ClearPartnerChannel(ctx context.Context, f threads.Fence, partner string, channel threads.Hash) error
}

// Invitations keeps who was asked to join what.
type Invitations interface {
	// AddInvitation keeps one, or returns the one known already by direction, host and offer.
	AddInvitation(ctx context.Context, i threads.Invitation) (threads.Invitation, error)
	// Invitation is *threads.Error of kind NotFound where there is none of that id.
	Invitation(ctx context.Context, id string) (threads.Invitation, error)
	// InvitationByOffer is *threads.Error of kind NotFound where there is none.
	InvitationByOffer(ctx context.Context, direction, host, offer string) (threads.Invitation, error)
	// Expect notes that this server accepts an invitation into the channel, so that its control log is
	// taken in.
	Expect(ctx context.Context, channel threads.Hash) error
	// InvitationsIn lists those of one direction and state.
	InvitationsIn(ctx context.Context, direction, state string, page threads.Page) ([]threads.Invitation, string, error)
	// SetInvitation changes state, error, invitee and date of one whose state is still from.
	SetInvitation(ctx context.Context, i threads.Invitation, from string) error
}

// Erasures knows what was erased here, and keeps what other servers say of it.
type Erasures interface {
	// Erased says of each event what is held of its content; those that are not known are left out.
	Erased(ctx context.Context, events []threads.Hash) (map[threads.Hash]threads.Holding, error)
	// Inquiries lists at most limit erasures about which the partner is to be asked at now, and tells
	// when there will be more; zero for never.
	Inquiries(ctx context.Context, partner string, now time.Time, limit int) ([]threads.Inquiry, time.Time, error)
	// SaveReceipt keeps what the partner said.
	SaveReceipt(ctx context.Context, partner string, i threads.Inquiry, answer string, now time.Time) error
}

// People knows persons and their profiles.
type People interface {
	// PersonByAddress is *threads.Error of kind NotFound where nobody of this server has it.
	PersonByAddress(ctx context.Context, address string) (threads.PersonRecord, error)
	PeopleByID(ctx context.Context, ids []string) (map[string]threads.PersonRecord, error)
	// LearnProfile stores a partner's profile if it is newer than the one known.
	LearnProfile(ctx context.Context, p threads.PersonRecord) (bool, error)
}

// Order is a command to be carried out for a person.
type Order struct {
	Actor   string
	Key     string // makes repeating the order harmless; "" for none
	Now     time.Time
	Command threads.Command
}
