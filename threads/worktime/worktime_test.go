package worktime

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	got, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhoNeverWorksHasNoWorkingTime(t *testing.T) {
	first, _ := ParseDate("2026-01-01")
	for name, c := range map[string]*Calendar{
		"no hours":   {Zone: time.UTC},
		"always off": {Zone: time.UTC, Week: weekOf(t, "Mon-Sun 00:00-24:00"), Off: []Off{{first, first + 1000}}},
	} {
		now := at(t, "2026-03-01T12:00:00Z")
		_, next := c.Next(now)
		_, add := c.Add(now, time.Hour)
		_, days := c.AddDays(now, 1)
		if c.Contains(now) || !errors.Is(next, ErrNoWorkingTime) || !errors.Is(add, ErrNoWorkingTime) || !errors.Is(days, ErrNoWorkingTime) {
			t.Errorf("%s: %v %v %v", name, next, add, days)
		}
	}
}

func TestMoreWorkThanTheHorizonHoldsIsRefused(t *testing.T) {
	c := &Calendar{Zone: time.UTC, Week: weekOf(t, "Mon 09:00-10:00")}
	if _, err := c.Add(at(t, "2026-03-02T09:00:00Z"), 1000*time.Hour); !errors.Is(err, ErrNoWorkingTime) {
		t.Error(err)
	}
	if _, err := c.AddDays(at(t, "2026-03-02T09:00:00Z"), 100); !errors.Is(err, ErrNoWorkingTime) {
		t.Error(err)
	}
}

func TestARangeOverMidnightBelongsToTheDateItStartsOn(t *testing.T) {
	saturday, _ := ParseDate("2026-11-28")
	c := &Calendar{Zone: time.UTC, Week: weekOf(t, "Fri-Sat 22:00-06:00"), Off: []Off{{saturday, saturday + 1}}}
	if !c.Contains(at(t, "2026-11-28T05:59:00Z")) {
		t.Error("the rest of Friday's night is no work, though Saturday alone is off")
	}
	if c.Contains(at(t, "2026-11-29T01:00:00Z")) {
		t.Error("Saturday is off, and its night is worked")
	}
}

func TestTimeThatEverybodyWorks(t *testing.T) {
	tokyo := &Calendar{Zone: load(t, "Asia/Tokyo"), Week: weekOf(t, "Mon-Fri 09:00-18:00")}
	berlin := &Calendar{Zone: load(t, "Europe/Berlin"), Week: weekOf(t, "Mon-Fri 08:00-12:00 13:00-17:00")}
	boston := &Calendar{Zone: load(t, "America/New_York"), Week: weekOf(t, "Mon-Fri 07:00-15:00")}
	from, until := at(t, "2026-11-23T00:00:00Z"), at(t, "2026-11-25T00:00:00Z")
	monday := DateOf(from, time.UTC)
	want := []Span{
		{monday, at(t, "2026-11-23T07:00:00Z"), at(t, "2026-11-23T09:00:00Z")},
		{monday + 1, at(t, "2026-11-24T07:00:00Z"), at(t, "2026-11-24T09:00:00Z")},
	}
	if diff := cmp.Diff(want, Between(from, until, tokyo, berlin), cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Error(diff)
	}
	if got := Between(from, until, tokyo, boston); len(got) != 0 {
		t.Errorf("Tokyo and Boston meet at %v", got)
	}
}

func TestALongPeriodIsLookedThroughToItsEnd(t *testing.T) {
	c := &Calendar{Zone: time.UTC, Week: weekOf(t, "Mon 09:00-10:00")}
	got := Between(at(t, "2026-01-01T00:00:00Z"), at(t, "2029-01-01T00:00:00Z"), c)
	if len(got) != 156 {
		t.Errorf("%d Mondays in three years", len(got))
	}
}

func TestHoursThatCannotBeKeptAreRefusedByTheirPlace(t *testing.T) {
	for where, h := range map[string]Hours{
		"/mon":    {"mon": {"09:00-12:00", "11:30-17:00"}},
		"/tue":    {"tue": {"22:00-06:00"}, "wed": {"05:59-07:00"}},
		"/sat":    {"sat": {"22:00-06:00"}, "sun": {"00:00-00:30"}},
		"/thu":    {"thu": {"09:00-09:00", "10:00-11:00"}}, // a whole day, from nine to nine
		"/fri/1":  {"fri": {"09:00-12:00", "24:00-25:00"}},
		"/fri/0":  {"fri": {"9-17"}},
		"/Monday": {"Monday": {"09:00-17:00"}},
		"/a~1b~0": {"a/b~": nil},
		"/wed/0":  {"wed": {"09:00-17:60"}},
		"/wed/2":  {"wed": {"09:00-10:00", "11:00-12:00", "+9:00-17:00"}},
		"/sun":    {"sun": slices.Repeat([]string{"09:00-10:00"}, 13)},
		"/mon/0":  {"mon": {"24:00-01:00"}},
	} {
		w, err := h.Week()
		var bad *BadHours
		if !errors.As(err, &bad) || bad.Pointer != where {
			t.Errorf("%v: %v, %v; want %s refused", h, w, err, where)
		}
	}
}

func TestHoursAreWrittenAsTheyWereRead(t *testing.T) {
	for _, h := range []Hours{
		{},
		{"mon": {"09:00-12:30", "13:15-18:00"}, "fri": {"22:00-06:00"}},
		{"sun": {"00:00-24:00"}, "thu": {"16:00-16:00"}, "wed": {"00:00-00:01"}},
	} {
		w, err := h.Week()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, w.Hours()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDatesAreReadAndWritten(t *testing.T) {
	for _, s := range []string{"1969-12-31", "1970-01-01", "2024-02-29", "2026-11-23", "2100-03-01"} {
		d, err := ParseDate(s)
		if err != nil || d.String() != s {
			t.Errorf("%s is read as %s, %v", s, d, err)
		}
		if want := at(t, s+"T00:00:00Z").Weekday(); d.Weekday() != want {
			t.Errorf("%s is a %s, want %s", s, d.Weekday(), want)
		}
	}
	for _, s := range []string{"", "2026-2-1", "2026-02-30", "23.11.2026", "2026-11-23T00:00:00Z"} {
		if d, err := ParseDate(s); err == nil {
			t.Errorf("%q is taken for %s", s, d)
		}
	}
}

// Whatever the calendar: sums never end before they begin, grow with what is added, and end in
// working time or at its closing.
func FuzzSums(f *testing.F) {
	f.Add(int64(1_795_000_000), uint16(480), uint8(3), []byte{9, 9, 9, 8, 7}, uint8(2))
	f.Fuzz(func(t *testing.T, unix int64, minutes uint16, zone uint8, hours []byte, n uint8) {
		if unix < -1<<34 || unix > 1<<35 {
			return
		}
		c := &Calendar{Zone: load(t, zones[int(zone)%len(zones)])}
		for i, h := range hours[:min(7, len(hours))] {
			c.Week[i] = []Range{{int(h) * 5 % Day, int(h)*5%Day + 1 + int(h)*7%700}}
		}
		if _, overlap := c.Week.overlap(); overlap {
			return
		}
		now := time.Unix(unix, 0)
		next, err := c.Next(now)
		if err != nil {
			return
		}
		if next.Before(now) || !c.Contains(next) || c.Contains(now) != next.Equal(now) {
			t.Fatalf("next of %s is %s", now, next)
		}
		less, err := c.Add(now, time.Duration(minutes)*time.Minute)
		if err != nil {
			return
		}
		more, err := c.Add(now, time.Duration(minutes)*time.Minute+time.Second)
		if err != nil {
			return
		}
		if less.Before(next) || !more.After(less) || minutes > 0 && !c.Contains(less.Add(-time.Nanosecond)) {
			t.Fatalf("%d minutes from %s end at %s, one second more at %s", minutes, now, less, more)
		}
		if days, err := c.AddDays(now, int(n%9)); err == nil && (days.Before(next) || !c.Contains(days)) {
			t.Fatalf("%d days from %s end at %s", n%9, now, days)
		}
	})
}
