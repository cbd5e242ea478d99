package threads

// Changeable refuses every change of members and settings in a channel whose
// host has shown two control histories.
func (c *Channel) Changeable() error {
	if !c.Split() {
		return nil
	}
	return Refuse(Conflict, "host_forked", "",
		"the channel's host has shown two histories of who is a member; nothing of that changes any more, conversation goes on; create a new channel to go on elsewhere")
}

// FreezeLog closes a forked log below its fork, for all members and for ever.
// The host does so by itself, on behalf of an owner; the server concerned goes
// on in a new log.
type FreezeLog struct {
	Channel Hash
	Log     LogID
}

// In is the channel.
func (c FreezeLog) In() Hash { return c.Channel }

// Decide seals log.frozen with the head of the log as it is here, which is
// right below the fork.
func (c FreezeLog) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil {
		return err
	}
	if !v.Channel.freezable(c.Log) {
		return nil
	}
	at, head := v.Channel.ForkOf(c.Log), v.Channel.LogOf(c.Log)
	w := writer{dst: []byte{'{'}}
	w.text("by", "server")
	w.key("cut")
	w.dst = AppendString(append(AppendInt(append(w.dst, '['), head.Seq), ','), head.Hash)
	w.dst = append(w.dst, ']')
	w.key("log")
	w.dst = AppendInt(append(AppendString(append(w.dst, '['), c.Log.Origin), ','), c.Log.Epoch)
	w.dst = append(w.dst, ']')
	w.key("proof")
	w.dst = AppendString(append(AppendString(append(w.dst, '['), at.First), ','), at.Second)
	w.dst = append(w.dst, ']')
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeLogFrozen, Content: append(w.dst, '}')})
}

// freezable reports whether the log is cut by a proof alone and held right up to
// there.
func (c *Channel) freezable(id LogID) bool {
	at, forked := c.forks[id]
	_, frozen := c.frozen[id]
	return forked && id != ControlLog && !frozen && c.cutsAt(Ref{id, at.Seq}) && c.LogOf(id).Seq == at.Seq-1
}

// FreezeDue lists the forked logs that server, as the channel's host, is to
// freeze now, and the owner on whose behalf.
func (c *Channel) FreezeDue(server string) (owner string, logs []LogID) {
	if c.Host != server || c.ControlDoubt != Sure || c.Split() {
		return "", nil
	}
	for _, at := range c.Forks() {
		if c.freezable(at.LogID) {
			logs = append(logs, at.LogID)
		}
	}
	if owner = c.Owner(server); owner == "" {
		return "", nil
	}
	return owner, logs
}
