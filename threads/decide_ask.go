package threads

import "slices"

// checkAsk refuses an ask that nobody could answer.
func (v *View) checkAsk(a *Ask) error {
	if a == nil {
		return nil
	}
	if err := v.need(RightWork); err != nil {
		return err
	}
	if field, fault := a.fault(); fault != "" {
		return Refuse(Invalid, "invalid", field, fault)
	}
	for i, one := range a.Of {
		field := "/ask/of/" + itoa(i)
		switch {
		case one.Person == v.Actor:
			return Refuse(Invalid, "invalid", field, "is yourself: ask somebody else")
		case v.Channel.Role(one.Person) == RoleNone:
			return Refuse(Invalid, "invalid", field, "is not a member of the channel: an owner can invite them")
		case !one.Due.After(v.Pen.Now):
			return Refuse(Invalid, "invalid", "/ask/due", "must lie in the future")
		}
	}
	return nil
}

// DeclineAsk says that one will not answer what one is asked.
type DeclineAsk struct {
	Channel Hash
	Target  Hash
}

// In is the channel.
func (c DeclineAsk) In() Hash { return c.Channel }

// Decide seals ask.declined.
func (c DeclineAsk) Decide(v *View) error {
	if err := v.need(RightReact); err != nil {
		return err
	}
	t, err := v.target(c.Target, "/message", TypeMessagePosted)
	if err != nil {
		return err
	}
	if !slices.Contains(t.Asks, v.Actor) {
		return Refuse(Conflict, "not_asked", "/message", "asks nothing of you")
	}
	content := AppendAboutAsk(nil, c.Target, v.Pen.Salt())
	_, err = v.data(Draft{Type: TypeAskDeclined, Content: content, Targets: []Ref{t.Ref}})
	return err
}

// WithdrawAsk takes back what one's own message asks, of everybody.
type WithdrawAsk struct {
	Channel Hash
	Target  Hash
}

// In is the channel.
func (c WithdrawAsk) In() Hash { return c.Channel }

// Decide seals ask.withdrawn.
func (c WithdrawAsk) Decide(v *View) error {
	if err := v.need(RightReact); err != nil {
		return err
	}
	t, err := v.target(c.Target, "/message", TypeMessagePosted)
	if err != nil {
		return err
	}
	switch {
	case len(t.Asks) == 0:
		return Refuse(Conflict, "no_ask", "/message", "asks nothing of anybody")
	case t.Actor != v.Actor:
		return Refuse(Forbidden, "not_author", "/message", "only its author can withdraw an ask")
	}
	content := AppendAboutAsk(nil, c.Target, v.Pen.Salt())
	_, err = v.data(Draft{Type: TypeAskWithdrawn, Content: content, Targets: []Ref{t.Ref}})
	return err
}
