package federation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// lost has the host of a stage write control events that it then does not hold: as if it had been set
// back to before them.
func (s *stage) lost(from *threads.Channel, commands ...func(c *threads.Channel) threads.Command) []*threads.Event {
	s.liar.t.Helper()
	c := from.Clone()
	pen := s.a.ring.Pen(s.a.name, random16)
	v := &threads.View{Channel: c, Actor: s.ana.ID, Pen: &pen}
	for _, command := range commands {
		pen.Now = time.Now()
		if err := command(c).Decide(v); err != nil {
			s.liar.t.Fatal(err)
		}
	}
	return v.Events
}

func (s *stage) renamed(name string) func(*threads.Channel) threads.Command {
	return func(*threads.Channel) threads.Command {
		return threads.ChangeSettings{Channel: s.channel, Settings: threads.Settings{Name: name}}
	}
}

// again lets the liar's person in once more, with its word for that place of the control log.
func (s *stage) again(c *threads.Channel) threads.Command {
	key, _ := c.KeyOf(s.liar.name)
	a := threads.Acceptance{Channel: s.channel, Host: s.a.name, Person: s.ben.ID, Role: threads.RoleMember, Prev: c.Control.Hash, Key: threads.Key{ID: key.ID, Public: key.Public}}
	return threads.Join{
		Channel: s.channel, Request: threads.Request{ID: "again"}, Person: a.Person, Role: a.Role, Key: a.Key,
		Acceptance: s.liar.sign(a.SigningBytes()), Prev: a.Prev,
	}
}

func (s *stage) removed(*threads.Channel) threads.Command {
	return threads.RemoveServer{Channel: s.channel, Server: s.liar.name}
}

// A host in doubt takes of a former member what it wrote itself, and nothing else: no forged event, none
// after a gap or of another branch, no data, and no part that would let the former member in again.
func TestAHostInDoubtTakesOfAFormerMemberWhatItWroteItself(t *testing.T) {
	s := newStage(t)
	said := s.next("Said after the removal.")
	s.a.do(s.ana.ID, threads.RemoveServer{Channel: s.channel, Server: s.liar.name})
	at := s.a.channel(s.channel)
	lost := s.lost(at, s.renamed("Lost"), s.again, s.removed, s.renamed("Found"))
	forged := *lost[0]
	forged.Sig = s.liar.sign(threads.SigningBytes(forged.HeaderBytes))
	refused := func(what string, events ...*threads.Event) {
		t.Helper()
		got := s.liar.push(s.a, events...)
		if c := s.a.channel(s.channel); c.Control != at.Control || !strings.Contains(got.body, `"code":"removed"`) {
			t.Errorf("%s: answered with %d %s; the control log ends at %d", what, got.status, got.body, c.Control.Seq)
		}
	}
	refused("without doubt", lost...)
	if s.a.channel(s.channel).InDoubt() {
		t.Error("what a former member brings put the host in doubt")
	}
	eventually(t, time.Minute, "in doubt", func() bool { // a courier may just have looked at the channel
		if err := s.a.journal.Doubt(context.Background()); err != nil {
			t.Fatal(err)
		}
		return s.a.channel(s.channel).InDoubt()
	})
	refused("forged", &forged)
	refused("after a gap", lost[1:]...)
	refused("data", said)
	refused("of another branch", s.lost(at, s.renamed("A"), s.renamed("B"))[1])
	s.liar.push(s.a, lost[:2]...)
	if c := s.a.channel(s.channel); c.Control.Hash != lost[1].ID || !c.IsMember(s.liar.name) {
		t.Errorf("the part in which it was let in again: the control log ends at %d, and the former member is in: %v", c.Control.Seq, c.IsMember(s.liar.name))
	}
	s.liar.push(s.a, append(lost, said)...)
	if c := s.a.channel(s.channel); c.Control.Hash != lost[3].ID || c.IsMember(s.liar.name) || s.holds(said.ID) > 0 {
		t.Errorf("all of it: the control log ends at %d, and the former member is in: %v", c.Control.Seq, c.IsMember(s.liar.name))
	}
}

// Only the host hears of channels that a former member holds, in doubt and with its own key.
func TestOnlyTheHostHearsOfTheChannelsOfAFormerMember(t *testing.T) {
	a, b, c := newSite(t), newSite(t), newSite(t)
	for _, pair := range [][2]*site{{a, b}, {a, c}, {b, c}} {
		befriend(t, pair[0], pair[1])
	}
	ana, ben, cem := a.person("ana"), b.person("ben"), c.person("cem")
	channel, _, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	join(t, a, ana.ID, channel, c, cem)
	a.do(ana.ID, threads.RemoveServer{Channel: channel, Server: b.name})
	eventually(t, time.Minute, "the former member knows", func() bool { return !b.channel(channel).IsMember(b.name) })
	hears := func(from *site, body string) bool {
		l := liar{t, from.name, from.key}
		return strings.Contains(l.send(l.request(b, "/federation/v1/digest", "application/json", body, time.Now())).body, channel)
	}
	if !hears(a, `{"buckets":{},"doubt":true}`) {
		t.Error("the host in doubt is not told")
	}
	if hears(a, `{"buckets":{}}`) {
		t.Error("a host that is not in doubt is told")
	}
	if hears(c, `{"buckets":{},"doubt":true}`) {
		t.Error("another member is told")
	}
}
