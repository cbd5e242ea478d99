package threads

import (
	"testing"
	"time"
)

// guestbook is a channel of kobo with mia of havel in it, known at both.
type guestbook struct {
	kobo, havel *actor
	ana, mia    string
	host        *Channel // kobo's
	away        *Channel // havel's
	control     []*Event
}

func newGuestbook(t *testing.T) *guestbook {
	g := &guestbook{kobo: newActor(t, "kobo.example"), havel: newActor(t, "havel.example")}
	g.ana, g.mia = g.kobo.person("ana"), g.havel.person("mia")
	g.host, g.control = created(g.kobo, g.ana)
	g.command(g.havel.join(g.host, g.mia, RoleMember))
	g.away = replica(t, g.control)
	return g
}

// command has the host write control events that havel does not hear of.
func (g *guestbook) command(cmd Command) {
	g.control = append(g.control, g.kobo.must(g.host, g.ana, cmd)...)
}

// hear brings havel up to the host's control log.
func (g *guestbook) hear() {
	for _, e := range g.control[g.away.Control.Seq:] {
		if err := g.away.ApplyControl(e); err != nil {
			g.kobo.t.Fatal(err)
		}
	}
}

// write has mia start a thread at havel.
func (g *guestbook) write(s string) *Event {
	return g.havel.must(g.away, g.mia, StartThread{Channel: g.away.ID, Content: title(s)})[0]
}

// arrive applies mia's events at the host.
func (g *guestbook) arrive(events ...*Event) {
	g.kobo.t.Helper()
	for _, e := range events {
		placement, want, refused := g.host.Place(e, "kobo.example", testNow.Add(time.Hour), testNow, time.Hour)
		if placement != Fits {
			g.kobo.t.Fatalf("event %d does not fit: %v %v %v", e.Header.Seq, placement, want, refused)
		}
		g.host.Advance(e)
	}
}

func TestRemovalOfAPersonVoidsWhatLiesBeyondTheCut(t *testing.T) {
	g := newGuestbook(t)
	before, known := g.write("before"), g.write("known to the host")
	g.arrive(before, known)
	late := g.write("written while cut off")
	if g.host.Void(&late.Header) {
		t.Error("an event is void before any removal")
	}
	g.command(RemoveMember{Channel: g.host.ID, Person: g.mia})
	for e, want := range map[*Event]bool{before: false, known: false, late: true} {
		if got := g.host.Void(&e.Header); got != want {
			t.Errorf("event %d: void = %v, want %v", e.Header.Seq, got, want)
		}
	}
}

func TestRemovalOfAServerClosesItsLogsAtTheCut(t *testing.T) {
	g := newGuestbook(t)
	first := g.write("first")
	g.arrive(first)
	late := g.write("late")
	g.command(RemoveServer{Channel: g.host.ID, Server: "havel.example"})
	if g.host.Void(&first.Header) || !g.host.Void(&late.Header) {
		t.Error("the cut does not divide what counts from what is void")
	}
	placement, _, refused := g.host.Place(late, "kobo.example", testNow.Add(time.Hour), testNow, time.Hour)
	if placement != Misfits || refused.Code != RefusedRemoved {
		t.Errorf("an event beyond the cut: %v %v, want refused as removed", placement, refused)
	}
}

func TestALaterGrantDoesNotReviveWhatARemovalVoided(t *testing.T) {
	g := newGuestbook(t)
	g.arrive(g.write("first"))
	late := g.write("late")
	g.command(RemoveServer{Channel: g.host.ID, Server: "havel.example"})
	g.command(g.havel.join(g.host, g.mia, RoleMember))
	if !g.host.Void(&late.Header) {
		t.Error("an event beyond the cut counts again after re-admission")
	}
	g.hear()
	g.havel.now = g.havel.now.Add(time.Minute)
	again := g.write("after re-admission")
	if again.Header.LogID() == late.Header.LogID() {
		t.Error("re-admission did not open a new epoch")
	}
	if g.host.Void(&again.Header) {
		t.Error("an event after re-admission is void")
	}
}

func TestALesserRoleBindsOnlyWhatKnewOfIt(t *testing.T) {
	g := newGuestbook(t)
	unknowing := g.write("written before word of it came")
	g.command(ChangeRole{Channel: g.host.ID, Person: g.mia, Role: RoleReader})
	if g.host.Void(&unknowing.Header) {
		t.Error("a lesser role voided what was written without knowing of it")
	}
	knowing := *unknowing
	knowing.Header.Control = ControlRef{g.host.Control.Seq, g.host.Control.Hash}
	if !g.host.Void(&knowing.Header) {
		t.Error("a reader's thread counts")
	}
	knowing.Header.Type = TypeReactionSet
	if g.host.Void(&knowing.Header) {
		t.Error("a reader's reaction is void")
	}
}

func TestBackDatingTheControlNumberGainsNothing(t *testing.T) {
	g := newGuestbook(t)
	g.arrive(g.write("first"))
	g.command(RemoveMember{Channel: g.host.ID, Person: g.mia})
	forged := g.write("written after the removal, naming the control event before it")
	if !g.host.Void(&forged.Header) {
		t.Error("a back-dated event counts")
	}
}

func TestNobodyWritesBeforeTheirAdmission(t *testing.T) {
	g := newGuestbook(t)
	e := *g.write("early")
	e.Header.Control = ControlRef{1, g.host.HashAt(1)}
	if !g.host.Void(&e.Header) {
		t.Error("an event that names a control event before its author's grant counts")
	}
	placement, _, _ := g.host.Place(&e, "kobo.example", testNow.Add(time.Hour), testNow, time.Hour)
	if placement != Misfits {
		t.Errorf("placement %v, want refused", placement)
	}
}

func TestOnlyTheHostExtendsTheControlLog(t *testing.T) {
	g := newGuestbook(t)
	forger := &Channel{}
	*forger = *g.away
	forger.own()
	forger.Host = "havel.example"
	events := g.havel.must(forger, g.ana, ChangeSettings{Channel: g.away.ID, Settings: Settings{Name: "Mine"}})
	if err := g.host.CheckControl(events[0]); err == nil {
		t.Error("a control event of a server that is not the host was taken")
	}
}

func TestAnAcceptanceHoldsForOnePlaceOfOneLogAlone(t *testing.T) {
	g := newGuestbook(t)
	eva := g.havel.person("eva")
	stale := g.havel.join(g.host, eva, RoleMember)
	g.command(ChangeSettings{Channel: g.host.ID, Settings: Settings{Purpose: "moved on"}})
	if _, err := g.kobo.do(g.host, g.ana, stale); err == nil {
		t.Error("an acceptance for an earlier place was taken")
	}
	stale.Prev = g.host.Control.Hash
	if _, err := g.kobo.do(g.host, g.ana, stale); err == nil {
		t.Error("an acceptance whose signature is over another place was taken")
	}
	owner := g.havel.join(g.host, eva, RoleReader)
	owner.Role = RoleOwner
	if _, err := g.kobo.do(g.host, g.ana, owner); err == nil {
		t.Error("the role was raised above the one accepted")
	}
	g.command(g.havel.join(g.host, eva, RoleReader))
	if g.host.Role(eva) != RoleReader {
		t.Error("a fresh acceptance was not taken")
	}
}

func TestRemovingTheLastPersonRemovesTheServer(t *testing.T) {
	g := newGuestbook(t)
	g.command(RemoveMember{Channel: g.host.ID, Person: g.mia})
	if g.host.IsMember("havel.example") {
		t.Error("a server without people is still a member")
	}
}

func TestAHostNamesHeadsOnceADayWhereThereIsSomethingNew(t *testing.T) {
	g := newGuestbook(t)
	day := testNow.Add(25 * time.Hour)
	if _, due := g.host.NamingDue("kobo.example", day); due {
		t.Error("heads are to be named where nothing was written")
	}
	e := g.write("something new")
	g.arrive(e)
	if _, due := g.host.NamingDue("kobo.example", testNow.Add(time.Hour)); due {
		t.Error("heads are to be named within a day of the channel's creation")
	}
	owner, due := g.host.NamingDue("kobo.example", day)
	if !due || owner != g.ana {
		t.Fatalf("naming due = %v for %q, want due on behalf of the host's owner", due, owner)
	}
	if _, due := g.host.NamingDue("havel.example", day); due {
		t.Error("a server that is not the host is to name heads")
	}
	g.kobo.now = day
	g.command(NameHeads{Channel: g.host.ID})
	if g.host.FinalAt(e.Header.Ref()) != e.ID {
		t.Error("the head named is not final")
	}
	if _, due := g.host.NamingDue("kobo.example", day.Add(26*time.Hour)); due {
		t.Error("heads are to be named again though nothing is new")
	}
}
