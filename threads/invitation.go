package threads

import "time"

// MaxInvitations is how many undecided invitations one host may have lying with one person.
const MaxInvitations = 100

// Directions of an invitation.
const (
	InvitationIn  = "in"  // to a person of this server, by a host elsewhere or here
	InvitationOut = "out" // by this server as the channel's host
)

// States of an invitation.
const (
	InvitationPending  = "pending"
	InvitationAccepted = "accepted" // the person wants to join; the host has not let them in yet
	InvitationDeclined = "declined"
	InvitationJoined   = "joined"
	InvitationFailed   = "failed" // the host or the invited server refuses; Error says why
)

// IsInvitationState reports whether s is a state of an invitation.
func IsInvitationState(s string) bool {
	switch s {
	case InvitationPending, InvitationAccepted, InvitationDeclined, InvitationJoined, InvitationFailed:
		return true
	}
	return false
}

// Invitation asks a person to join a channel.
type Invitation struct {
	ID        string // UUIDv7, this server's own
	Direction string
	Offer     string // the host's id of it; equal to ID where the host made it
	Channel   Hash
	Host      string
	Name      string // of the channel when the invitation was made
	Purpose   string
	Role      Role
	Inviter   string // id of a person
	Invitee   string // id of a person, "" while only Address is known
	Address   string // of the person invited
	State     string
	Error     string // why it failed, in plain words
	Created   time.Time
	Changed   time.Time
}
