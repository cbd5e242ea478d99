package threads

// Void reports whether a data event does not count. It is a pure function of
// the header and the control log (protocol.md §5): whatever the order, route
// and time of arrival, every replica that applied the same control events says
// the same.
//
// The newest grant that the author's server had applied must give the right. A
// lessening voids what was written knowing of it. The next removal voids what
// lies beyond its cut of the log, whatever roles the person had in between: its
// reach ends with the grant that follows it and with nothing else. A person who
// was once let in can be erased at any time after: a removal takes the right to
// write, not the right to be forgotten.
func (c *Channel) Void(h *Header) bool {
	if cut, closed := c.CutOf(h.LogID()); closed && h.Seq > cut.Seq {
		return true
	}
	if h.Type == TypePersonErased {
		return newestGiving(c.people[h.Actor], h.Control.Number, RightReact) < 0
	}
	return !c.May(h, max(TypeOf(h.Type).Who, RightReact))
}

// May reports whether the actor had the right for this event: Void is its
// answer for the type's own right; an erasure of another's message needs
// RightOwn besides.
func (c *Channel) May(h *Header, right Right) bool {
	grants := c.people[h.Actor]
	given := newestGiving(grants, h.Control.Number, right)
	if given < 0 {
		return false
	}
	for _, g := range grants[given+1:] {
		if g.number <= h.Control.Number {
			return false
		}
		if g.removal {
			return h.Seq <= g.cuts[h.LogID()].Seq
		}
	}
	return true
}

func newestGiving(grants []grant, number int64, need Right) int {
	for i := len(grants) - 1; i >= 0; i-- {
		if grants[i].number <= number && grants[i].role.Gives(need) {
			return i
		}
	}
	return -1
}

// LowestCut is the least seq at which a removal that is numbered beyond after
// cuts the log, or at which the log has to end: what lies at or below it is
// judged as before. found is false when nothing of the kind reaches the log.
func (c *Channel) LowestCut(id LogID, after int64) (seq int64, found bool) {
	lower := func(to int64) {
		if !found || to < seq {
			seq, found = to, true
		}
	}
	if bound, ok := c.Bound(id); ok {
		lower(bound.Seq)
	}
	for person, grants := range c.people {
		for _, g := range grants {
			if g.removal && g.number > after && ServerOf(person) == id.Origin {
				lower(g.cuts[id].Seq)
			}
		}
	}
	if m := c.servers[id.Origin]; m != nil {
		for _, a := range m.admissions {
			if a.removed > after {
				lower(a.cuts[id].Seq)
			}
		}
	}
	return seq, found
}
