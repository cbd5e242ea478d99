package sim

import (
	"context"
	"fmt"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// found makes the first channel, with everybody in it.
func (w *world) found() {
	host := w.nodes[0]
	for len(w.channels) == 0 {
		w.createChannel(host, "full")
		w.retry()
	}
	for _, n := range w.nodes[1:] {
		w.inviteTo(w.channels[0], n, 0, threads.RoleOwner)
		w.inviteTo(w.channels[0], n, 1, threads.RoleMember)
	}
	for range 6 {
		w.now = w.now.Add(5 * time.Second)
		for _, n := range w.nodes {
			w.answer(n, true)
			w.step(n)
		}
	}
}

func (w *world) createChannel(n *node, history string) bool {
	settings := threads.Settings{Name: fmt.Sprint("channel ", len(w.channels)), Kind: "work", History: history}
	return w.try(n, n.people[0], threads.CreateChannel{Settings: settings}, func(ids []threads.Hash) {
		w.channels = append(w.channels, &channel{id: ids[0], maker: n})
	})
}

func (w *world) newChannel() bool {
	n := w.pick()
	return n.up() && len(w.channels) < 4 && w.createChannel(n, []string{"full", "joined"}[w.rng.IntN(2)])
}

// invite has an owner, at the host or elsewhere, invite somebody.
func (w *world) invite() bool {
	return w.inviteTo(w.anyChannel(), w.pick(), w.rng.IntN(3), roles[w.rng.IntN(len(roles))])
}

func (w *world) inviteTo(ch *channel, to *node, person int, role threads.Role) bool {
	n, actor := w.owner(ch)
	if n == nil {
		return false
	}
	_, err := n.exchange.Invite(context.Background(), actor, ch.id, fmt.Sprintf("p%d@%s", person, to.name), role)
	w.note("%s invites p%d@%s as %s: %v", n.name, person, to.name, role, err)
	return err == nil
}

// owner is somebody who may command the channel, at its host or another server
// that is up.
func (w *world) owner(ch *channel) (*node, string) {
	n := w.host(ch)
	if w.rng.IntN(3) == 0 {
		n = w.pick()
	}
	if !n.up() {
		return nil, ""
	}
	if c := n.channel(ch.id); c != nil {
		for _, person := range n.people {
			if c.Role(person) == threads.RoleOwner {
				return n, person
			}
		}
	}
	return nil, ""
}

// answerSome has a server's people answer their invitations, mostly by accepting.
func (w *world) answerSome() bool {
	n := w.pick()
	return n.up() && w.answer(n, w.rng.IntN(8) > 0)
}

func (w *world) answer(n *node, accept bool) (did bool) {
	ctx := context.Background()
	for _, person := range n.people {
		open, _, err := n.store.Invitations(ctx, person, threads.Page{Limit: 50})
		w.must(err)
		for _, i := range open {
			if i.State != threads.InvitationPending {
				continue
			}
			if ch := w.channelOf(i.Channel); accept && ch != nil && !w.joins(ch) {
				continue
			}
			answered, err := n.exchange.Answer(ctx, person, i.ID, accept)
			w.note("%s answers an invitation: %s %v", n.name, answered.State, err)
			did = did || err == nil
		}
	}
	return did
}

// joins takes note that somebody is about to join a channel.
func (w *world) joins(ch *channel) bool {
	c := w.known(ch)
	if c == nil {
		return false
	}
	w.counts.add("join " + c.Settings.History)
	return true
}

// known is the channel as the server has it that holds most of its control log,
// nil while none is up that holds any.
func (w *world) known(ch *channel) *threads.Channel {
	var most *threads.Channel
	for _, n := range w.nodes {
		if !n.up() {
			continue
		}
		if c := n.channel(ch.id); c != nil && (most == nil || c.Control.Seq > most.Control.Seq) {
			most = c
		}
	}
	return most
}

// host is the channel's host, as far as anybody knows who is up.
func (w *world) host(ch *channel) *node {
	if c := w.known(ch); c != nil {
		return w.net.nodes[c.Host]
	}
	return ch.maker
}

var roles = []threads.Role{threads.RoleMember, threads.RoleMember, threads.RoleMember, threads.RoleOwner, threads.RoleReader, threads.RoleGuest}

func (w *world) anyChannel() *channel { return w.channels[w.rng.IntN(len(w.channels))] }

// command has an owner ask for a control event: the host carries it out,
// everybody else passes it on to the host.
func (w *world) command(ch *channel, c threads.Command) bool {
	ctx := context.Background()
	n, actor := w.owner(ch)
	host := w.host(ch)
	w.net.prompt, host.gathers = w.pick().name, true
	defer func() { host.gathers = false }()
	switch {
	case n == nil:
		return false
	case n.channel(ch.id).Host == n.name:
		if err := n.exchange.BeforeCommand(ctx, c); err != nil {
			w.note("%s: before %T: %v", n.name, c, err)
			return false
		}
		return w.try(n, actor, c, nil)
	}
	err := n.exchange.Command(ctx, federation.Order{Actor: actor, Key: w.newID(), Now: n.now(), Command: c})
	w.note("%s has the host do %T: %v", n.name, c, err)
	if err == nil {
		w.counts.add("command from elsewhere")
	}
	return err == nil
}

func (w *world) changeRole() bool {
	ch := w.anyChannel()
	return w.command(ch, threads.ChangeRole{
		Channel: ch.id, Person: personID(w.pick().name, w.rng.IntN(3)), Role: roles[w.rng.IntN(len(roles))],
	})
}

func (w *world) removePerson() bool {
	ch := w.anyChannel()
	return w.command(ch, threads.RemoveMember{Channel: ch.id, Person: personID(w.pick().name, 1+w.rng.IntN(2))})
}

func (w *world) removeServer() bool {
	ch, n := w.anyChannel(), w.pick()
	if w.rng.IntN(2) == 0 {
		n = w.nodes[len(w.nodes)-1] // the liar, where there is one
	}
	return w.command(ch, threads.RemoveServer{Channel: ch.id, Server: n.name})
}

// changeSettings gives a channel another purpose, or lets newcomers see other
// history from then on.
func (w *world) changeSettings() bool {
	ch := w.anyChannel()
	settings := threads.Settings{Purpose: w.word()}
	if w.rng.IntN(3) == 0 {
		settings.History = []string{"full", "joined"}[w.rng.IntN(2)]
	}
	return w.command(ch, threads.ChangeSettings{Channel: ch.id, Settings: settings})
}

func (w *world) nameHeads() bool {
	ch := w.anyChannel()
	return w.command(ch, threads.NameHeads{Channel: ch.id})
}

func (w *world) partition() bool {
	a, b := w.pick(), w.pick()
	if a == b {
		return false
	}
	if w.rng.IntN(2) == 0 { // one server against the rest
		for _, n := range w.nodes {
			w.net.cut[pair(a.name, n.name)] = true
		}
	}
	w.net.cut[pair(a.name, b.name)] = true
	w.note("cut off %s", a.name)
	return true
}

func (w *world) reconnect() bool {
	if len(w.net.cut) == 0 {
		return false
	}
	clear(w.net.cut)
	w.note("reconnected")
	return true
}

func (w *world) crash() bool {
	n := w.pick()
	if !n.up() {
		return false
	}
	n.crash()
	w.note("%s crashed", n.name)
	if w.rng.IntN(2) == 0 {
		n.start()
		w.counts.add("restart")
	}
	return true
}

func (w *world) restart() bool {
	n := w.pick()
	if n.up() {
		return false
	}
	n.start()
	w.note("%s started", n.name)
	return true
}

func (w *world) jumpClock() bool {
	n := w.pick()
	w.offClock = w.now
	jumps := []time.Duration{0, 0, 0, 2 * time.Second, -2 * time.Second, 30 * time.Second, 4 * time.Minute, -4 * time.Minute, time.Hour}
	n.ahead = jumps[w.rng.IntN(len(jumps))]
	if now := n.now(); now.After(w.latest) {
		w.latest = now
	}
	w.note("clock of %s is %s off", n.name, n.ahead)
	return true
}

// action is one kind of thing that can happen; do reports whether it did.
type action struct {
	name   string
	weight int
	do     func(*world) bool
}

var actions = []action{
	{"start thread", 8, (*world).startThread},
	{"post", 20, func(w *world) bool { return w.write(false) }},
	{"attach", 6, (*world).attach},
	{"lose file", 1, func(w *world) bool { return w.damageFile(true) }},
	{"spoil file", 1, func(w *world) bool { return w.damageFile(false) }},
	{"reply", 20, func(w *world) bool { return w.write(true) }},
	{"edit", 8, (*world).edit},
	{"erase", 6, (*world).erase},
	{"erase person", 1, (*world).erasePerson},
	{"react", 6, (*world).react},
	{"change thread", 6, (*world).changeThread},
	{"repeat", 3, (*world).again},
	{"create channel", 2, (*world).newChannel},
	{"invite", 8, (*world).invite},
	{"answer invitation", 6, (*world).answerSome},
	{"change role", 5, (*world).changeRole},
	{"remove person", 3, (*world).removePerson},
	{"remove server", 2, (*world).removeServer},
	{"name heads", 2, (*world).nameHeads},
	{"change settings", 2, (*world).changeSettings},
	{"hand over", 3, (*world).handOver},
	{"rotate key", 2, func(w *world) bool { return w.rekey(false) }},
	{"revoke key", 1, func(w *world) bool { return w.rekey(true) }},
	{"partition", 3, (*world).partition},
	{"reconnect", 3, (*world).reconnect},
	{"crash", 2, (*world).crash},
	{"restart", 3, (*world).restart},
	{"clock jump", 2, (*world).jumpClock},
	{"back up", 2, (*world).backUp},
	{"roll back", 2, (*world).rollBack},
	{"lose database", 2, (*world).loseDatabase},
	{"torn write", 3, (*world).cutPower},
	{"lose commits", 1, (*world).loseCommits},
	{"lose commits and mark", 1, (*world).loseCommitsAndMark},
	{"lie", 14, (*world).lie},
}

// act has something happen.
func (w *world) act() {
	w.retry()
	w.happen(actions)
}

// happen has one of the actions happen.
func (w *world) happen(actions []action) {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := w.rng.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n >= 0 {
			continue
		}
		if a.do(w) {
			w.counts.add(a.name)
		}
		return
	}
}
