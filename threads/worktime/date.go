package worktime

import (
	"fmt"
	"time"
)

// Date is a day of the calendar, as the number of days since 1970-01-01.
type Date int

// ParseDate reads YYYY-MM-DD (RFC 3339, full-date).
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is no date: write YYYY-MM-DD", s)
	}
	return dateOf(wall(t.Unix())), nil
}

// DateOf is the date on which t falls in the zone.
func DateOf(t time.Time, zone *time.Location) Date { return dateOf(wallOf(t, zone)) }

// String writes YYYY-MM-DD.
func (d Date) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }

// Weekday is the day of the week.
func (d Date) Weekday() time.Weekday {
	const thursday = 4 // 1970-01-01
	return time.Weekday(((int(d)+thursday)%7 + 7) % 7)
}

// wall is what clocks on the wall show, in seconds since they showed 1970-01-01 00:00:00.
type wall int64

func wallAt(date Date, minute int) wall { return wall(date)*86400 + wall(minute)*60 }

func wallOf(t time.Time, zone *time.Location) wall {
	_, offset := t.In(zone).Zone()
	return wall(t.Unix() + int64(offset))
}

func dateOf(w wall) Date {
	d := Date(w / 86400)
	if w%86400 < 0 {
		d--
	}
	return d
}

// instant is when the clocks of the zone show w for the first time. Where they skip it, it is as long
// after the skip began as w is after the last time shown.
func instant(w wall, zone *time.Location) time.Time {
	// No zone is further than a day from UTC, so the period of w is that of one of the three, or next to it.
	t := time.Unix(int64(w)-86400, 0).In(zone)
	for {
		_, offset := t.Zone()
		found := time.Unix(int64(w)-int64(offset), 0).In(zone)
		_, end := t.ZoneBounds()
		if end.IsZero() || found.Before(end) {
			return found
		}
		if _, next := end.Zone(); int64(w)-int64(next) < end.Unix() {
			return found // the clocks were put forward over w
		}
		t = end
	}
}
