package sim

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"meridian/federation"
)

var outages = flag.Int("sim.outages", 24, "how many outages of links to live through")

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// What T02 asks for.
const (
	longestOutage  = 10 * time.Minute
	convergeWithin = time.Minute
	outagesASeed   = 12
)

// living is a world whose servers are called at the instants at which they want
// to be, and when something woke them, as the runner of a real server does.
type living struct {
	*world
	steps  []*called
	chores time.Time // when what is done beside couriers is done next
	broken []outage
}

// called is one courier's step.
type called struct {
	courier *federation.Courier
	node    *node
	due     time.Time
	changed <-chan struct{} // closed by a commit since the last call
	failed  bool            // then nothing but time calls it
}

// outage is one link that carries nothing for a while.
type outage struct {
	link     [2]string
	from, to time.Time
}

func newLiving(t testing.TB, seed uint64) *living {
	w := newWorld(t, seed)
	w.rerun = "Outages"
	w.net.faults = faults{}
	l := &living{world: w, chores: w.now}
	for _, n := range w.nodes {
		l.follow(n)
	}
	return l
}

// follow has a server's steps called that has just started.
func (l *living) follow(n *node) {
	l.steps = slices.DeleteFunc(l.steps, func(s *called) bool { return s.node == n })
	couriers, err := n.exchange.Couriers(context.Background())
	l.must(err)
	for _, c := range couriers {
		l.steps = append(l.steps, &called{courier: c, node: n, due: l.now})
	}
}

// wake has everything due whose server committed, or was left a hint.
func (l *living) wake() {
	for _, s := range l.steps {
		if s.failed {
			continue
		}
		select {
		case <-s.changed:
			s.due, s.changed = l.now, nil
		case <-s.courier.Woken():
			s.due = l.now
		default:
		}
	}
}

// live lets time pass until the instant.
func (l *living) live(until time.Time) {
	for {
		l.wake()
		next := l.chores
		for _, s := range l.steps {
			if s.node.up() && s.due.Before(next) {
				next = s.due
			}
		}
		if next.After(until) {
			l.now = until
			return
		}
		if next.After(l.now) {
			l.now = next
		}
		for _, s := range l.steps {
			if s.node.up() && !s.due.After(l.now) {
				l.call(s)
			}
		}
		if !l.chores.After(l.now) {
			l.doChores()
		}
	}
}

func (l *living) call(s *called) {
	s.changed = s.node.journal.Changed()
	next, err := s.courier.Step(context.Background(), l.now)
	s.due, s.failed = l.now.Add(min(max(next.Sub(l.now), time.Millisecond), time.Minute)), err != nil
	if err != nil {
		l.note("%s: courier to %s: %v", s.node.name, s.courier.Name(), err)
		s.due = l.now.Add(time.Second)
	}
}

func (l *living) doChores() {
	ctx := context.Background()
	for _, n := range l.nodes {
		if !n.up() {
			continue
		}
		_, err := n.exchange.Couriers(ctx) // it takes note of newcomers
		l.must(err)
		l.must(n.journal.Settle(ctx, l.now, time.Hour))
		_, err = n.exchange.SettleDoubts(ctx, l.now)
		l.must(err)
	}
	l.chores = l.now.Add(5 * time.Second)
}

// working is what people do while links break, the changes of members with them.
var working = []action{
	{"start thread", 8, (*world).startThread},
	{"post", 30, func(w *world) bool { return w.write(false) }},
	{"reply", 30, func(w *world) bool { return w.write(true) }},
	{"edit", 8, (*world).edit},
	{"erase", 4, (*world).erase},
	{"react", 8, (*world).react},
	{"change thread", 6, (*world).changeThread},
	{"create channel", 1, (*world).newChannel},
	{"invite", 4, (*world).invite},
	{"answer invitation", 4, (*world).answerSome},
	{"change role", 2, (*world).changeRole},
	{"remove person", 2, (*world).removePerson},
	{"remove server", 1, (*world).removeServer},
	{"change settings", 1, (*world).changeSettings},
}

// suffer breaks links again and again, while people go on, and returns when the
// last of them carries again.
func (l *living) suffer(outages int) {
	end := l.now
	for len(l.broken) < outages {
		end = later(end, l.breakLinks())
	}
	for l.now.Before(end) {
		pause := time.Duration(l.rng.Int64N(int64(5 * time.Second)))
		if l.now.Add(pause).After(end) {
			break
		}
		l.pass(l.now.Add(pause))
		l.happen(working)
	}
	l.pass(end)
	l.counts.more("outage", len(l.broken))
}

// breakLinks plans for a link, or for all of one server's, to carry nothing for
// a while, and returns until when.
func (l *living) breakLinks() time.Time {
	a, b := l.pick(), l.pick()
	from := l.now.Add(time.Duration(l.rng.Int64N(int64(longestOutage * 3 / 2))))
	to := from.Add(time.Second + time.Duration(l.rng.Int64N(int64(longestOutage-time.Second))))
	for _, n := range l.nodes {
		if n != a && (n == b || a == b) {
			l.broken = append(l.broken, outage{pair(a.name, n.name), from, to})
		}
	}
	return to
}

// pass lets time pass until the instant, with links that break and heal on the way.
func (l *living) pass(until time.Time) {
	for {
		next := until
		for _, o := range l.broken {
			for _, at := range []time.Time{o.from, o.to} {
				if at.After(l.now) && at.Before(next) {
					next = at
				}
			}
		}
		l.live(next)
		clear(l.net.cut)
		for _, o := range l.broken {
			if !l.now.Before(o.from) && l.now.Before(o.to) {
				l.net.cut[o.link] = true
			}
		}
		if !next.Before(until) {
			return
		}
	}
}

// converge returns how long it takes after the last link is whole until all
// members of every channel hold the same.
func (l *living) converge() time.Duration {
	healed := l.now
	for {
		unequal := cmp.Or(l.unequal(), l.outdated())
		if unequal == "" {
			return l.now.Sub(healed)
		}
		if l.now.Sub(healed) >= convergeWithin {
			l.fail("not equal %s after the last link is whole: %s", l.now.Sub(healed), unequal)
		}
		l.live(l.now.Add(time.Second))
	}
}

// T02: links break, each for 1 s to 10 min, while people write, are let in and
// removed. Within a minute after the last of them is whole all members hold the
// same, and nothing is lost.
func TestOutagesOfLinksLeaveNothingBehind(t *testing.T) {
	total := &counts{}
	slowest := time.Duration(0)
	worlds := uint64(*outages / outagesASeed)
	if testing.Short() {
		worlds = 1
	}
	for s := range worlds {
		s = 4 * (s + 1) // nobody lies
		if *seed != 0 && *seed != s {
			continue
		}
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			l := newLiving(t, s)
			defer l.close()
			l.found()
			l.suffer(outagesASeed)
			took := l.converge()
			l.check()
			slowest = max(slowest, took)
			for what, n := range l.counts.n {
				total.more(what, n)
			}
			t.Logf("%d servers, %d messages, equal %s after the last link was whole", len(l.nodes), len(l.posts), took)
		})
	}
	t.Logf("equal at most %s after the last; %s", slowest, total)
}
