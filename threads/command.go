package threads

import (
	"errors"
	"unicode/utf8"
)

// Command is what somebody wants to happen. Decide checks it against the
// channel and seals the events that make it so, or refuses with an *Error and
// seals none.
type Command interface {
	// In is the channel it is about, "" when it makes one.
	In() Hash
	Decide(v *View) error
}

// View is what a command sees and the pen it writes with.
type View struct {
	Channel *Channel
	Actor   string // the person who commands
	Pen     *Pen
	// Find looks up an event of this channel; a *Error of kind NotFound when
	// this server does not hold it.
	Find func(id Hash) (Target, error)
	// Next is a channel that goes on from this one and in which the actor can
	// write; nil when there is none.
	Next   *Channel
	Events []*Event // sealed so far
}

// Target is an event that a command refers to.
type Target struct {
	Ref
	ID      Hash
	Channel Hash
	Type    string
	Actor   string
	Thread  Hash // of a message
	ReplyTo Hash
	Asks    []string // whom a message asks
	Hidden  bool     // void
	Erased  bool
}

func (v *View) data(d Draft) (*Event, error) {
	d.Actor = v.Actor
	e, err := v.Channel.SealData(d, v.Pen)
	if err != nil {
		return nil, err
	}
	v.Events = append(v.Events, e)
	return e, nil
}

func (v *View) control(d Draft) error {
	d.Actor = v.Actor
	e, err := v.Channel.SealControl(d, v.Pen)
	if err != nil {
		return err
	}
	v.Events = append(v.Events, e)
	return nil
}

// need refuses an actor without the right, as if the channel did not exist to
// those who are no members at all. RightNone is what every member may at any time.
func (v *View) need(right Right) error {
	role := v.Channel.Role(v.Actor)
	switch {
	case role == RoleNone:
		return Refuse(NotFound, "not_found", "", "there is no such channel, or you are not in it")
	case v.Channel.Archived && right != RightOwn && right != RightNone:
		return Refuse(Conflict, "archived", "", "the channel is archived; an owner can open it again")
	case !role.Gives(right):
		return Refuse(Forbidden, "role", "", "as "+string(role)+" you may not do this; an owner can change your role")
	}
	return nil
}

// needOpen is need, and refuses who can write in a channel that goes on from this
// one: what is still said here would be missed there. Nobody else is kept from
// writing, so that nobody is silenced by a channel that they are not in.
func (v *View) needOpen(right Right) error {
	if err := v.need(right); err != nil {
		return err
	}
	if v.Next != nil {
		return Refuse(Conflict, "succeeded", "", "the conversation goes on in the channel "+v.Next.ID+", "+v.Next.Settings.Name+"; write there, this one can be read and searched")
	}
	return nil
}

// needHost refuses a control command anywhere but at the host.
func (v *View) needHost(right Right) error {
	if err := v.Channel.Changeable(); err != nil && v.Channel.Role(v.Actor) != RoleNone {
		return err
	}
	if v.Channel.Host != v.Pen.Server {
		return Refuse(Elsewhere, "not_host", "", "only the channel's host, "+v.Channel.Host+", can do this")
	}
	return v.need(right)
}

// target looks up what a command refers to and refuses what cannot be referred to.
func (v *View) target(id Hash, field string, types ...string) (Target, error) {
	if !IsHash(id) {
		return Target{}, Refuse(Invalid, "invalid", field, "must be the id of an event, 43 characters")
	}
	t, err := v.Find(id)
	var refused *Error
	if errors.As(err, &refused) && refused.Kind == NotFound {
		return t, Refuse(NotFound, "not_found", field, "there is no such thing in this channel")
	}
	if err != nil {
		return t, err
	}
	for _, want := range types {
		if t.Type == want {
			return t, nil
		}
	}
	return t, Refuse(Invalid, "invalid", field, "refers to something of another kind")
}

// text checks a text that people wrote.
func text(s, field string, maxBytes int, required bool) error {
	switch {
	case required && s == "":
		return Refuse(Invalid, "required", field, "is required")
	case len(s) > maxBytes:
		return &Error{Kind: TooLarge, Code: "too_large", Field: field, Text: "is too long; at most " + itoa(maxBytes) + " bytes are possible"}
	case !utf8.ValidString(s) || CheckText(s) != nil:
		return Refuse(Invalid, "invalid", field, "must be valid UTF-8 without the character U+0000")
	}
	return nil
}

func itoa(n int) string { return string(AppendInt(nil, int64(n))) }
