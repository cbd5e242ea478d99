package worktime

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dueCase is a row of testdata/due.tsv, written so that a person can check it.
type dueCase struct {
	line     int
	calendar Calendar
	at       time.Time
	span     string // a duration, or "next"
	due      string // RFC 3339, in the zone
	byHand   bool   // worked out by hand, from the calendar of the wall
}

var days = weekdays()

func dueCases(t *testing.T) (all []dueCase) {
	f, err := os.Open("testdata/due.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for line := 1; lines.Scan(); line++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		c := strings.Split(lines.Text(), "\t")
		if len(c) != 8 || c[7] == "" {
			t.Fatalf("due.tsv:%d: %d columns, or no reason", line, len(c))
		}
		zone := load(t, c[0])
		at, err := time.ParseInLocation("2006-01-02 15:04", c[3], zone)
		if err != nil {
			t.Fatalf("due.tsv:%d: %v", line, err)
		}
		all = append(all, dueCase{line, Calendar{zone, weekOf(t, c[1]), offOf(t, c[2])}, at, c[4], c[5], c[6] == "hand"})
	}
	return all
}

// weekOf reads "Mon-Fri 09:00-12:00 13:00-18:00; Sat 22:00-06:00".
func weekOf(t testing.TB, s string) (w Week) {
	t.Helper()
	h := Hours{}
	for _, part := range strings.Split(s, "; ") {
		words := strings.Fields(strings.ToLower(part))
		first, last, several := strings.Cut(words[0], "-")
		if !several {
			last = first
		}
		for day := slices.Index(days, first); ; day = (day + 1) % 7 {
			h[days[day]] = append(h[days[day]], words[1:]...)
			if days[day] == last {
				break
			}
		}
	}
	w, err := h.Week()
	if err != nil {
		t.Fatal(s, err)
	}
	return w
}

// offOf reads "2026-12-24..2027-01-03", whose last day is the one before, or one date, or "-".
func offOf(t testing.TB, s string) []Off {
	t.Helper()
	if s == "-" {
		return nil
	}
	first, last, several := strings.Cut(s, "..")
	from, err := ParseDate(first)
	if err != nil {
		t.Fatal(err)
	}
	until := from + 1
	if several {
		if until, err = ParseDate(last); err != nil {
			t.Fatal(err)
		}
	}
	return []Off{{from, until}}
}

func (c *dueCase) calculate() (time.Time, error) {
	if c.span == "next" {
		return c.calendar.Next(c.at)
	}
	span, err := time.ParseDuration(c.span)
	if err != nil {
		return time.Time{}, err
	}
	return c.calendar.Due(c.at, span)
}

// counted is what the oracle says, from a month before until two after.
func (c *dueCase) counted(t *testing.T) time.Time {
	o := newOracle(&c.calendar, newClock(c.calendar.Zone, c.at.AddDate(0, -1, 0), c.at.AddDate(0, 2, 0)))
	i := o.index(c.at)
	if c.span == "next" {
		return o.at(o.next(i))
	}
	span, err := time.ParseDuration(c.span)
	if err != nil {
		t.Fatal(err)
	}
	if span%(24*time.Hour) == 0 {
		return o.at(o.addDays(i, int(span/(24*time.Hour))))
	}
	return o.at(o.add(i, int(span/time.Minute)))
}

func TestDueInstantsAreThoseOfTheTable(t *testing.T) {
	all, byHand := dueCases(t), 0
	for _, c := range all {
		t.Run(strconv.Itoa(c.line), func(t *testing.T) {
			got, err := c.calculate()
			if err != nil {
				t.Fatal(err)
			}
			if counted := c.counted(t).In(c.calendar.Zone).Format(time.RFC3339); counted != c.due {
				t.Errorf("the table says %s, the oracle counts %s", c.due, counted)
			}
			if written := got.In(c.calendar.Zone).Format(time.RFC3339); written != c.due {
				t.Errorf("the table says %s, calculated is %s", c.due, written)
			}
		})
		if c.byHand {
			byHand++
		}
	}
	if len(all) < 200 || byHand < 20 {
		t.Errorf("%d cases, %d worked out by hand", len(all), byHand)
	}
}
