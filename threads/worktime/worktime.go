// Package worktime says whether it is working time for a person, and when a span of it is over: from
// a time zone, the hours of a week and the days off. It never asks for the current time, reads
// nothing and knows no conversations.
//
// Hours are local times of day. One that does not exist on a date, as clocks are put forward, moves
// forward by the gap; one that exists twice is the first. A range over midnight belongs to the date on
// which it starts. All ranges are half-open.
package worktime

import (
	"errors"
	"slices"
	"time"
)

// Range is a part of a working day, in minutes from the midnight at which its date begins:
// 0 <= From < 1440 and From < Until <= From+1440. An Until beyond 1440 lies on the next date. Ranges do not
// overlap; those of a Week made by [Hours.Week] are checked.
type Range struct{ From, Until int }

// Day is the length of a date in minutes of local time, whatever its clocks do.
const Day = 24 * 60

// Week is the working ranges of each weekday, by time.Weekday, in order.
type Week [7][]Range

// Off is a run of dates without working time: From to the one before Until.
type Off struct{ From, Until Date }

// Calendar is when one person works.
type Calendar struct {
	Zone *time.Location
	Week Week
	Off  []Off // in any order; they may overlap
}

// Horizon is how many dates are looked through for working time.
const Horizon = 400

// ErrNoWorkingTime says that no working time, or not enough, lies within the Horizon.
var ErrNoWorkingTime = errors.New("no working time within 400 days")

// overlap is a weekday of which a range reaches into the next one, if there is any. The ranges of each
// day are in order.
func (w *Week) overlap() (day time.Weekday, found bool) {
	var all []Range
	for day, ranges := range w {
		for _, r := range ranges {
			all = append(all, Range{r.From + day*Day, r.Until + day*Day})
		}
	}
	for i, r := range all {
		next := all[(i+1)%len(all)].From
		if i == len(all)-1 {
			next += 7 * Day
		}
		if r.Until > next {
			return time.Weekday(r.From / Day), true
		}
	}
	return 0, false
}

// Contains reports whether it is working time at t.
func (c *Calendar) Contains(t time.Time) bool {
	for s := range c.spans(t) {
		return !t.Before(s.From)
	}
	return false
}

// Next is the first working instant at or after t, or ErrNoWorkingTime.
func (c *Calendar) Next(t time.Time) (time.Time, error) {
	for s := range c.spans(t) {
		return later(t, s.From), nil
	}
	return time.Time{}, ErrNoWorkingTime
}

// Add is the instant at which d of working time is over, counted from the first working instant at
// or after t. A sum that is reached at closing falls on the closing. ErrNoWorkingTime says that the
// Horizon does not hold as much.
func (c *Calendar) Add(t time.Time, d time.Duration) (time.Time, error) {
	for s := range c.spans(t) {
		from := later(t, s.From)
		if open := s.Until.Sub(from); open < d {
			d -= open
			continue
		}
		return from.Add(d), nil
	}
	return time.Time{}, ErrNoWorkingTime
}

// AddDays is n working dates on from the first working instant at or after t, at the same time of
// day, or the first working instant after that. The time of day is counted from the beginning of the
// date to which the working instant belongs, so that it may lie beyond 24:00.
func (c *Calendar) AddDays(t time.Time, n int) (time.Time, error) {
	for s := range c.spans(t) {
		from := later(t, s.From)
		tod := wallOf(from, c.Zone) - wallAt(s.Date, 0)
		date := s.Date
		for left, far := n, s.Date+Horizon; left > 0; {
			if date++; date > far {
				return time.Time{}, ErrNoWorkingTime
			}
			if c.works(date) {
				left--
			}
		}
		return c.Next(instant(wallAt(date, 0)+tod, c.Zone))
	}
	return time.Time{}, ErrNoWorkingTime
}

// Due is when a span given to somebody at t is over: whole days are working dates, everything else is
// working time.
func (c *Calendar) Due(t time.Time, span time.Duration) (time.Time, error) {
	if span > 0 && span%(24*time.Hour) == 0 {
		return c.AddDays(t, int(span/(24*time.Hour)))
	}
	return c.Add(t, span)
}

// Span is working time without a break.
type Span struct {
	Date        Date // the date to which From belongs
	From, Until time.Time
}

// Between is the working time of everybody at once from one instant until another, in order. Spans
// that touch are one.
func Between(from, until time.Time, all ...*Calendar) []Span {
	if len(all) == 0 {
		return nil
	}
	common := all[0].between(from, until)
	for _, c := range all[1:] {
		common = intersect(common, c.between(from, until))
	}
	return common
}

func (c *Calendar) between(from, until time.Time) []Span {
	var out []Span
	for from.Before(until) {
		seen := false
		for s := range c.spans(from) {
			seen = true
			if !s.From.Before(until) {
				return out
			}
			out = append(out, Span{s.Date, later(from, s.From), earlier(until, s.Until)})
			if !s.Until.Before(until) {
				return out
			}
		}
		if !seen {
			return out
		}
		from = out[len(out)-1].Until
	}
	return out
}

// intersect is what lies in both, each in order; the dates are those of the first.
func intersect(a, b []Span) []Span {
	var out []Span
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, until := later(a[i].From, b[j].From), earlier(a[i].Until, b[j].Until)
		if from.Before(until) {
			out = append(out, Span{a[i].Date, from, until})
		}
		if a[i].Until.Before(b[j].Until) {
			i++
		} else {
			j++
		}
	}
	return out
}

// works reports whether a date has working time of its own.
func (c *Calendar) works(date Date) bool {
	return len(c.Week[date.Weekday()]) > 0 && !slices.ContainsFunc(c.Off, func(o Off) bool { return o.From <= date && date < o.Until })
}

// spans are the stretches of working time that end after t, within the Horizon.
func (c *Calendar) spans(t time.Time) func(yield func(Span) bool) {
	return func(yield func(Span) bool) {
		var last Span
		today := dateOf(wallOf(t, c.Zone))
		for date := today - 2; date <= today+Horizon; date++ { // a range reaches into the next date, and a zone may change by a date
			if !c.works(date) {
				continue
			}
			for _, r := range c.Week[date.Weekday()] {
				s := Span{date, instant(wallAt(date, r.From), c.Zone), instant(wallAt(date, r.Until), c.Zone)}
				switch {
				case !s.Until.After(t) || !s.From.Before(s.Until):
				case last.Until.IsZero():
					last = s
				case !s.From.After(last.Until):
					last.Until = later(last.Until, s.Until)
				default:
					if !yield(last) {
						return
					}
					last = s
				}
			}
		}
		if !last.Until.IsZero() {
			yield(last)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
