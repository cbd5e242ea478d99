package sim

import (
	"cmp"
	"flag"
	"slices"
	"testing"
	"time"

	"meridian/threads"
)

var weekEvents = flag.Int("sim.week", 0, "events of a week in which every server is away for a while")

const (
	aWeek       = 7 * 24 * time.Hour
	weekServers = 5
	weekRest    = 10 * time.Minute // within which all replicas have to be equal afterwards
	weekPause   = 2 * time.Second  // between two looks of a server at what is due, at the most
)

// A week is a world of honest servers over seven days.
type week struct {
	*world
	events int
	looks  int    // minutes between two looks of each server at what is due
	backup []byte // of the restored server's database, from the middle of the week
	wrote  map[threads.Hash]*node
}

// After a week in which each of five servers was away for more than a day, the network was cut now and
// then, one was restored from a backup of the middle of the week, and one lost all but its key, all
// start together: within ten minutes, with nobody writing anything, all replicas are equal.
func TestAWeekAway(t *testing.T) {
	w := &week{world: emptyWorld(t, 1), events: *weekEvents, looks: 10, wrote: map[threads.Hash]*node{}}
	if w.events == 0 {
		w.events, w.looks = 400, 180
	}
	if testing.Short() {
		w.events, w.looks = 100, 360
	}
	defer w.close()
	w.populate(weekServers)
	w.found()
	w.foundMore()
	began := time.Now()
	w.live()
	lived := time.Since(began)
	restored, lost := w.nodes[2], w.nodes[3]
	w.stopAll()
	w.setBack(restored, w.backup)
	w.setBack(lost, w.empty)
	w.makePeople(lost)
	w.net.heal()
	for _, n := range w.nodes {
		if !n.up() {
			n.start()
		}
	}
	w.partnerAgain(lost)
	took := w.rests()
	acknowledged := len(w.wrote)
	all := w.complete(restored, lost)
	t.Logf("a week of %d events in %d channels lived in %s; all equal after %s, simulated; %d acknowledged, %s",
		all, len(w.channels), lived.Round(time.Second), took, acknowledged, w.counts)
}

// foundMore makes a channel at each of the other servers, with everybody in it.
func (w *week) foundMore() {
	for _, host := range w.nodes[1:] {
		w.createChannel(host, "full")
		ch := w.channels[len(w.channels)-1]
		for _, n := range w.nodes {
			for n != host && !w.inviteTo(ch, n, 0, threads.RoleMember) {
				w.note("somebody asked to invite %s is no owner", n.name)
			}
		}
	}
	for range 60 {
		w.now = w.now.Add(5 * time.Second)
		for _, n := range w.nodes {
			w.answer(n, true)
			w.step(n)
		}
	}
	for _, ch := range w.channels {
		for _, n := range w.nodes {
			if c := n.channel(ch.id); c == nil || !c.IsMember(n.name) {
				w.fail("%s is not in channel %.8s", n.name, ch.id)
			}
		}
	}
}

// live has a week pass, minute by minute.
func (w *week) live() {
	minutes := int(aWeek / time.Minute)
	done := 0
	for minute := range minutes {
		w.now = w.now.Add(time.Minute)
		w.comeAndGo(minute)
		for done*minutes < w.events*minute {
			w.write()
			done++
		}
		if minute%w.looks == 0 {
			w.stepAll()
		}
	}
}

// comeAndGo takes each server away for 30 hours, one after the other, cuts the network for some hours a
// day, and backs up one server in the middle of the week.
func (w *week) comeAndGo(minute int) {
	for i, n := range w.nodes {
		from := i * 26 * 60
		if away := minute >= from+60 && minute < from+31*60; away == n.up() {
			if away {
				n.crash()
			} else {
				n.start()
			}
			w.counts.add("away and back")
		}
	}
	switch minute % (24 * 60) {
	case 9 * 60:
		w.partition()
	case 13 * 60:
		w.reconnect()
	}
	if minute == int(aWeek/time.Minute)/2 {
		w.middle()
	}
}

// middle backs up the server that will be restored.
func (w *week) middle() {
	n := w.nodes[2]
	wasUp := n.up()
	if wasUp {
		n.crash()
	}
	w.backup = w.databaseOf(n)
	if wasUp {
		n.start()
	}
}

// write has somebody write something, at a server that is up.
func (w *week) write() {
	before := len(w.acked)
	for range 50 {
		did := false
		switch dice := w.rng.IntN(100); {
		case dice < 4:
			did = w.startThread()
		case dice < 80:
			did = w.world.write(dice%2 == 0)
		case dice < 86:
			did = w.edit()
		case dice < 89:
			did = w.erase()
		case dice < 95:
			did = w.react()
		default:
			did = w.changeThread()
		}
		if did {
			break
		}
	}
	for _, a := range w.acked[before:] {
		for _, id := range a.ids {
			w.wrote[id] = a.node
		}
	}
	w.acked = w.acked[:before]
}

func (w *week) stepAll() {
	for _, i := range w.rng.Perm(len(w.nodes)) {
		w.step(w.nodes[i])
	}
}

func (w *week) stopAll() {
	for _, n := range w.nodes {
		if n.up() {
			n.crash()
		}
	}
}

// rests has every server do what is due until all replicas are equal, and returns how long that took.
func (w *week) rests() time.Duration {
	began := w.now
	unequal := ""
	for w.now.Sub(began) < weekRest {
		w.now = w.now.Add(weekPause)
		w.stepAll()
		if unequal = w.apart(); unequal != "" {
			continue
		}
		if unequal = cmp.Or(w.unequal(), w.outdated()); unequal == "" {
			return w.now.Sub(began)
		}
	}
	w.fail("not equal after %s: %s", weekRest, unequal)
	return 0
}

// apart says which member lacks something that another has, by the heads alone.
func (w *week) apart() string {
	for _, ch := range w.channels {
		truth := w.truth(ch)
		if truth == nil {
			return "nobody holds a channel"
		}
		for _, n := range w.nodes {
			if n.channel(ch.id) == nil {
				return n.name + " lacks a channel"
			}
		}
		if diff := w.heads(ch, truth); diff != "" {
			return diff
		}
	}
	return ""
}

// complete checks that everything acknowledged is there, but what the two servers that lost something
// had not passed on yet, and returns how many events there are at each server.
func (w *week) complete(setBack ...*node) (all int) {
	first := w.nodes[0]
	for _, e := range first.entries() {
		delete(w.wrote, e.Event.ID)
		all++
	}
	for id, n := range w.wrote {
		if !slices.Contains(setBack, n) {
			w.fail("%s, acknowledged by %s, is nowhere", id, n.name)
		}
		w.counts.add("lost with its only copy")
	}
	return all
}
