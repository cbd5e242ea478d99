package threads

import (
	"errors"
	"testing"
	"time"
)

// writing is a channel of two servers in which Havel writes.
func writing(t *testing.T) (kobo, havel *actor, c *Channel, jan string) {
	kobo, havel = newActor(t, "kobo.example"), newActor(t, "havel.example")
	c, _ = created(kobo, kobo.person("ana"))
	jan = havel.person("jan")
	kobo.must(c, kobo.person("ana"), havel.join(c, jan, RoleMember))
	return kobo, havel, c, jan
}

func TestALogInDoubtIsLeftForANewOneUnderTheSameAdmission(t *testing.T) {
	_, havel, c, jan := writing(t)
	first := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	c.DoubtOwn("havel.example")
	if !c.InDoubt() {
		t.Error("nothing is in doubt")
	}
	second := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})[0]
	third := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Crane")})[0]
	if a, b := first.Header.Epoch, second.Header.Epoch; b <= a || a>>32 != b>>32 || second.Header.Seq != 1 || second.Header.Prev != "" {
		t.Errorf("after %d/%d comes %d/%d", a, first.Header.Seq, b, second.Header.Seq)
	}
	if third.Header.Epoch != second.Header.Epoch || third.Header.Seq != 2 {
		t.Errorf("the new log does not go on: %d/%d", third.Header.Epoch, third.Header.Seq)
	}
	if c.Void(&second.Header) || c.Void(&third.Header) {
		t.Error("events of the new log do not count")
	}
}

func TestAProvenLogGoesOn(t *testing.T) {
	_, havel, c, jan := writing(t)
	first := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	c.DoubtOwn("havel.example")
	c.Prove()
	if next := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})[0]; next.Header.Epoch != first.Header.Epoch || next.Header.Seq != 2 {
		t.Errorf("went on at %d/%d after %d/1", next.Header.Epoch, next.Header.Seq, first.Header.Epoch)
	}
}

func TestALogIsLeftOfWhichTheControlLogNamesMoreThanCameBack(t *testing.T) {
	kobo, havel, c, jan := writing(t)
	first := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	older := c.Clone()
	havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})
	named := kobo.must(c, kobo.person("ana"), NameHeads{Channel: c.ID})[0]
	older.DoubtOwn("havel.example")
	if err := older.ApplyControl(named); err != nil {
		t.Fatal(err)
	}
	older.Prove()
	if next := havel.must(older, jan, StartThread{Channel: c.ID, Content: title("Crane")})[0]; next.Header.Epoch == first.Header.Epoch {
		t.Errorf("it goes on at %d, of which the control log named another event", next.Header.Seq)
	}
}

// A disk that loses commits, and the mark with them, leaves a server that doubts nothing.
func TestALogIsLeftOfWhichTheControlLogNamesMoreThanIsHeld(t *testing.T) {
	kobo, havel, c, jan := writing(t)
	first := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	older := c.Clone()
	havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})
	named := kobo.must(c, kobo.person("ana"), NameHeads{Channel: c.ID})[0]
	if err := older.ApplyControl(named); err != nil {
		t.Fatal(err)
	}
	next := havel.must(older, jan, StartThread{Channel: c.ID, Content: title("Crane")})[0]
	if next.Header.Epoch == first.Header.Epoch {
		t.Errorf("it goes on at %d, of which the control log names another event", next.Header.Seq)
	}
}

func TestAForeignEventInAnOwnLogEndsItForGood(t *testing.T) {
	_, havel, c, jan := writing(t)
	havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})
	other := c.Clone()
	foreign := havel.must(other, jan, StartThread{Channel: c.ID, Content: title("By the other machine")})[0]
	c.Advance(foreign)
	if !c.Returned(foreign) {
		t.Error("no alarm")
	}
	c.Prove()
	if next := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})[0]; next.Header.Epoch == foreign.Header.Epoch {
		t.Error("it goes on in the log that another machine writes")
	}
}

func TestTwoServersWithOneKeyDoNotChaseEachOtherThroughEpochs(t *testing.T) {
	_, havel, c, jan := writing(t)
	mine := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	copied := c.Clone()
	copied.DoubtOwn("havel.example")
	theirs := havel.must(copied, jan, StartThread{Channel: c.ID, Content: title("By the other machine")})[0]
	c.Advance(theirs)
	if c.Returned(theirs) {
		t.Error("a log that is not held is none to be alarmed about")
	}
	if next := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})[0]; next.Header.Epoch != mine.Header.Epoch {
		t.Errorf("went on in %d, not in its own %d", next.Header.Epoch, mine.Header.Epoch)
	}
}

func TestLogsOfOneAdmissionEndAtTheirNumber(t *testing.T) {
	_, havel, c, jan := writing(t)
	for range MaxLogs {
		havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})
		c.DoubtOwn("havel.example")
	}
	_, err := havel.do(c, jan, StartThread{Channel: c.ID, Content: title("One too many")})
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != "too_many_logs" {
		t.Errorf("log %d: %v", MaxLogs+1, err)
	}
}

func TestALogFarAheadOfTheClockIsLeft(t *testing.T) {
	_, havel, c, jan := writing(t)
	right := havel.now
	havel.now = right.Add(24 * time.Hour)
	ahead := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Tomorrow")})[0]
	havel.now = right
	next := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Today"), Body: "now"})
	for _, e := range next {
		if h := e.Header; h.Epoch == ahead.Header.Epoch || h.Time.Wall().After(right.Add(MaxAhead)) {
			t.Errorf("%s at %v in epoch %d", h.Type, h.Time.Wall(), h.Epoch)
		}
	}
}

func TestAClockFarBehindTheControlLogOpensOneLog(t *testing.T) {
	_, havel, c, jan := writing(t)
	havel.now = havel.now.Add(-time.Hour)
	first := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	second := havel.must(c, jan, StartThread{Channel: c.ID, Content: title("Quay")})[0]
	if second.Header.Epoch != first.Header.Epoch {
		t.Errorf("a log each: %d, then %d", first.Header.Epoch, second.Header.Epoch)
	}
}

func TestAHostInDoubtAppendsNothingToTheControlLog(t *testing.T) {
	kobo, havel, c, _ := writing(t)
	c.DoubtOwn("kobo.example")
	ana := kobo.person("ana")
	v := &View{Channel: c.Clone(), Actor: ana, Pen: kobo.pen(), Find: findNothing}
	v.Pen.Awaited = func(*Channel) []string { return []string{havel.name} }
	err := ChangeSettings{Channel: c.ID, Settings: Settings{Name: "Renamed"}}.Decide(v)
	var refused *Error
	if !errors.As(err, &refused) || refused.Kind != Unavailable || refused.Code != "control_in_doubt" {
		t.Errorf("refused with %v", err)
	}
	if owner, due := c.NamingDue("kobo.example", testNow.Add(48*time.Hour)); due {
		t.Errorf("heads are to be named on behalf of %s", owner)
	}
	c.Prove()
	kobo.must(c, ana, ChangeSettings{Channel: c.ID, Settings: Settings{Name: "Renamed"}})
}

func TestALogIsLeftOfWhichAServerThatWasRemovedSinceMayHoldMore(t *testing.T) {
	kobo, _, c, _ := writing(t)
	ana := kobo.person("ana")
	first := kobo.must(c, ana, StartThread{Channel: c.ID, Content: title("Pump")})[0]
	kobo.must(c, ana, RemoveServer{Channel: c.ID, Server: "havel.example"})
	c.DoubtOwn("kobo.example")
	c.Prove()
	if next := kobo.must(c, ana, StartThread{Channel: c.ID, Content: title("Crane")})[0]; next.Header.Epoch == first.Header.Epoch {
		t.Errorf("it goes on at %d, where the removed server may hold another event", next.Header.Seq)
	}
}
