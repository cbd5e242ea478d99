package threads

import (
	"encoding/base64"
	"encoding/binary"
)

// Effects are what one data event does to what people see. All of it is sets
// and registers: a register keeps the write with the greatest stamp among those
// that count, so the order in which effects are taken up does not matter.
type Effects struct {
	Thread  Hash     // the thread that the event makes, its own id
	Message *Message // the message that the event makes
	Writes  []Write
	Erases  *Tombstone
}

// Message is what a message.posted or the erasure of one says of its place and text.
type Message struct {
	Thread       Hash
	ReplyTo      Hash // "" for a message that answers none
	Body         string
	Published    Time   // of an imported message, else 0
	AttributedTo string // author of an imported message as the archive names them
	OriginalID   string // Message-ID of an imported message
	InReplyTo    string // Message-ID of a parent that the archive does not hold
	Mentions     []string
	Attachments  []Attachment
	Ask          *Ask // nil for none
}

// Tombstone is what an erasure says of the place of what it erases, so that the
// place outlives the content at every replica.
type Tombstone struct {
	Target  Hash
	Thread  Hash
	ReplyTo Hash
}

// Write sets one register of one object to a canonical JSON value. SameActor
// registers count only writes by the object's own actor.
type Write struct {
	Object    Hash
	Field     string
	Value     string
	SameActor bool
}

// FieldBody is the register of a message's text; reactions stand in registers
// named FieldReaction + emoji + " " + person, labels in FieldLabel + label.
const (
	FieldBody     = "body"
	FieldReaction = "reaction "
	FieldLabel    = "label "
	FieldBlocked  = "blocked_by "
)

// EffectsOf are the effects of a data event whose content is held. An unknown
// type, and a content that its type does not allow, has none: the header keeps
// its place in the log and everything else goes on.
func EffectsOf(e *Event) Effects {
	var out Effects
	t := TypeOf(e.Header.Type)
	if t.effects == nil || e.Content == nil {
		return out
	}
	o, err := ParseCanonical(e.Content, MaxContent)
	if err != nil || checkSalt(o) != nil {
		return out
	}
	if t.effects(e, o, &out) != nil {
		return Effects{}
	}
	return out
}

// Stamp orders the writes of a register and the messages of a thread: by time,
// then origin, epoch, seq and hash. Stamps compare as bytes.
func Stamp(e *Event) []byte {
	h := &e.Header
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 64+len(h.Origin)), uint64(h.Time))
	b = append(append(b, h.Origin...), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Seq))
	raw, _ := base64.RawURLEncoding.DecodeString(e.ID)
	return append(b, raw...)
}

// SortTime is the instant by which a thread shows the message: when it was
// published for an imported one, else when it was appended.
func (m *Message) SortTime(e *Event) Time {
	if m.Published != 0 {
		return m.Published
	}
	return e.Header.Time
}
