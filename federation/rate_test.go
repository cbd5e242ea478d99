package federation

import (
	"strings"
	"testing"
	"time"
)

func TestAServerThatExchangesTooOftenIsTurnedAwayAlone(t *testing.T) {
	x := &Exchange{Options: Options{Rate: 2}, couriers: map[string]*Courier{}}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	knock := func(server string, at time.Time) bool {
		c := x.courier(server)
		refused := c.admit(at)
		if refused == "" {
			c.leave()
		} else if !strings.Contains(refused, "2 exchanges a second") {
			t.Fatal(refused)
		}
		return refused == ""
	}
	for i := range 2 * rateBurst {
		if !knock("flood.example", now) {
			t.Fatalf("exchange %d of a burst is turned away", i)
		}
	}
	if knock("flood.example", now) {
		t.Error("an exchange beyond the burst is answered")
	}
	if !knock("quiet.example", now) {
		t.Error("another server is turned away")
	}
	later := now.Add(time.Second)
	for i, want := range []bool{true, true, false} {
		if answered := knock("flood.example", later); answered != want {
			t.Errorf("a second later, exchange %d is answered: %v", i, answered)
		}
	}
}
