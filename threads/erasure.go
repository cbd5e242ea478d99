package threads

import "time"

// ErasePerson takes the texts of all messages and edits that the actor wrote in
// a channel, and the actor's profile, everywhere and for good. Who was a member
// once may do it at any time, in an archived channel too.
type ErasePerson struct {
	Channel Hash
}

// In is the channel.
func (c ErasePerson) In() Hash { return c.Channel }

// Decide seals person.erased.
func (c ErasePerson) Decide(v *View) error {
	if v.Channel.RoleSince(v.Actor) == 0 {
		return Refuse(NotFound, "not_found", "", "there is no such channel, or you never were in it")
	}
	if !v.Channel.IsMember(v.Pen.Server) {
		return Refuse(Conflict, "removed", "", "this server is no longer a member of the channel and can write nothing in it")
	}
	content := AppendErasedPerson(nil, v.Pen.Salt())
	_, err := v.data(Draft{Type: TypePersonErased, Content: content})
	return err
}

// AppendErasedPerson appends the canonical content of person.erased with its
// salt; whom it is about stands in the header.
func AppendErasedPerson(dst []byte, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.text("salt", salt)
	w.text("type", "Tombstone")
	return append(w.dst, '}')
}

// personErased has no effects beside what its header says.
func personErased(*Event, Object, *Effects) error { return nil }

// What became of an erasure at another server, and what a server answers about
// an event whose content was erased.
const (
	ErasureConfirmed   = "confirmed"   // nothing of it is held there
	ErasureRefused     = "refused"     // it has the erasure, or was removed, and still holds the content
	ErasureUnreachable = "unreachable" // it does not answer, or nothing is exchanged with it
	ErasurePending     = "pending"     // it was not asked yet, or the erasure is on its way

	AnswerErased  = "erased"
	AnswerHeld    = "held"
	AnswerUnknown = "unknown"
)

// Erasure is an erasure that somebody of this server made.
type Erasure struct {
	ID      Hash   // of the erasing event
	Kind    string // its type
	Channel Hash
	Target  Hash   // the message; "" where all of a person's were erased
	Actor   string // who erased
	At      time.Time
	// Receipts is what each other server that may have held the content said.
	Receipts []Receipt
}

// Inquiry is an event about whose content another server is to be asked.
type Inquiry struct {
	Pos   int64 // journal position of the erasing event
	Event Hash  // the message, or the erasing event where that takes all of a person's
}

// Holding is what is held of the content of an event in a channel.
type Holding struct {
	Channel Hash
	Answer  string // AnswerErased and so on
}

// Receipt is what one other server said of an erasure.
type Receipt struct {
	Partner  string
	State    string    // ErasureConfirmed and so on
	Answered time.Time // zero before the first answer
	Error    string
	Remedy   string
}
