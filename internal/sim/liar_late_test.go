package sim

import "meridian/threads"

// voidContent serves the contents of events that do not count, or no longer.
func (l *liar) voidContent() bool {
	to := l.victim()
	if to == nil {
		return false
	}
	var void []*threads.Event
	for _, e := range l.seen {
		c := l.node.channel(e.Channel())
		if e.Content != nil && e.Header.Log == threads.LogData && c != nil && c.Void(&e.Header) {
			void = append(void, e)
		}
	}
	if len(void) == 0 {
		return false
	}
	l.push(to, void[:min(len(void), 20)]...)
	return true
}

// writeAfterRemoval goes on in a log that its removal closed, for those who may
// not know of it.
func (l *liar) writeAfterRemoval() bool {
	ch, c := l.stage()
	to := l.victim()
	if c == nil || to == nil || c.RemovedAt(l.name) == 0 {
		return false
	}
	for _, head := range c.Frontier() {
		if head.Origin != l.name || head.Epoch>>32 >= c.RemovedAt(l.name) {
			continue
		}
		number := c.Logs[head.LogID].Control
		h := threads.Header{
			Channel: ch.id, Log: threads.LogData, Origin: l.name, Epoch: head.Epoch, Seq: head.Seq + 1, Prev: head.Hash,
			Control: threads.ControlRef{Number: number, Hash: c.HashAt(number)}, Time: threads.Next(l.now(), head.Time),
			Actor: l.people[0], Type: threads.TypeMessagePosted, Key: l.keyIn(c),
		}
		content := threads.AppendMessage(nil, &threads.Message{Thread: ch.id, Body: "late lie"}, l.salt())
		l.push(to, l.seal(h, content))
		return true
	}
	return false
}

// forgeErasure erases what others wrote, without being an owner.
func (l *liar) forgeErasure() bool {
	ch, c := l.stage()
	if c == nil || !c.IsMember(l.name) {
		return false
	}
	target := l.world.some(l.world.posts, ch)
	if target == nil || target.by == l.node {
		return false
	}
	pen := l.pen()
	pen.Now = l.now()
	actor := l.people[l.world.rng.IntN(3)]
	if c.Role(actor) == threads.RoleOwner {
		return false
	}
	e, err := c.SealData(threads.Draft{
		Type: threads.TypeMessageErased, Actor: actor, Erases: target.id,
		Content: threads.AppendTombstone(nil, threads.Tombstone{Thread: target.thread}, pen.Salt()),
	}, &pen)
	if tooMany(err) {
		return false
	}
	l.world.must(err)
	return l.keep(e)
}

// falseTombstone erases a message of its own and says that it stood elsewhere,
// or nowhere.
func (l *liar) falseTombstone() bool {
	ch, c := l.stage()
	if c == nil || !c.IsMember(l.name) {
		return false
	}
	target := l.world.some(l.world.posts, ch)
	if target == nil || target.by != l.node {
		return false
	}
	place := threads.Tombstone{Thread: target.thread, ReplyTo: target.thread}
	if l.world.rng.IntN(2) == 0 {
		place = threads.Tombstone{}
	}
	pen := l.pen()
	pen.Now = l.now()
	e, err := c.SealData(threads.Draft{
		Type: threads.TypeMessageErased, Actor: target.actor, Erases: target.id, Content: threads.AppendTombstone(nil, place, pen.Salt()),
	}, &pen)
	if tooMany(err) {
		return false
	}
	l.world.must(err)
	return l.keep(e)
}

func (l *liar) salt() string {
	pen := l.pen()
	return pen.Salt()
}
