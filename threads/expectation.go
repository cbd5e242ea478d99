package threads

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"meridian/threads/worktime"
)

// Urgency is how soon an answer is wanted.
type Urgency string

// Urgencies of an ask.
const (
	Standard Urgency = "standard"
	Low      Urgency = "low"
	Urgent   Urgency = "urgent"
)

// Span is the time in which an answer is due where nobody set another: of the asked person's working
// time but for what is urgent, which runs in elapsed time. It is 0 for no urgency.
func (u Urgency) Span() time.Duration {
	switch u {
	case Standard:
		return 24 * time.Hour
	case Low:
		return 48 * time.Hour
	case Urgent:
		return 2 * time.Hour
	}
	return 0
}

// Basis says whose hours an expectation is reckoned by.
type Basis string

// Bases, from what is best to what is left.
const (
	BasisProfile Basis = "profile" // the person's own
	BasisZone    Basis = "zone"    // office hours in the person's time zone
	BasisDefault Basis = "default" // office hours in the asker's time zone, or in UTC
	BasisElapsed Basis = "elapsed" // nobody's: what is urgent runs by day and night
)

// Expectation is when somebody can be expected to answer, and why then.
type Expectation struct {
	Begins time.Time // first working instant at or after the ask, from which its time runs
	Due    time.Time
	Zone   *time.Location // in which the hours are
	Basis  Basis
}

// Expect reckons when an answer by the person asked is due, asked at an instant. Invalid for another
// urgency, Conflict with the code no_working_time where the person has none within 400 days.
func Expect(asked, asker *PersonRecord, u Urgency, at time.Time) (Expectation, error) {
	c, basis := calendarOf(asked, asker)
	if u.Span() == 0 {
		return Expectation{}, Refuse(Invalid, "invalid", "/urgency", "must be standard, low or urgent")
	}
	if u == Urgent {
		return Expectation{at, at.Add(u.Span()), c.Zone, BasisElapsed}, nil
	}
	begins, err := c.Next(at)
	if err != nil {
		return Expectation{}, noWorkingTime(err)
	}
	due, err := c.Due(at, u.Span())
	if err != nil {
		return Expectation{}, noWorkingTime(err)
	}
	return Expectation{begins, due, c.Zone, basis}, nil
}

// Opening is the first instant at or after now at which it is working time for the person, as far as
// their profile says; the zero time where it does not say, or there is none within 400 days.
func (p *PersonRecord) Opening(now time.Time) time.Time {
	c, basis := calendarOf(p, nil)
	if basis == BasisDefault {
		return time.Time{}
	}
	opening, err := c.Next(now)
	if err != nil {
		return time.Time{}
	}
	return opening
}

// Overlap is when it is working time for all of them at once. Conflict with the code hours_unknown for
// somebody whose time zone is not known.
func Overlap(people []PersonRecord, from, until time.Time) ([]worktime.Span, error) {
	calendars := make([]*worktime.Calendar, len(people))
	for i := range people {
		c, basis := calendarOf(&people[i], nil)
		if basis == BasisDefault {
			return nil, Refuse(Conflict, "hours_unknown", "/people", "names "+people[i].Address+", of whose working time nothing is known; ask them to set their time zone")
		}
		calendars[i] = c
	}
	return worktime.Between(from, until, calendars...), nil
}

func noWorkingTime(err error) error {
	if errors.Is(err, worktime.ErrNoWorkingTime) {
		return Refuse(Conflict, "no_working_time", "/to", "has no working time within 400 days; ask somebody else, or name an instant")
	}
	return err
}

// calendarOf is when a person works, and how that is known. A zone that this program does not know, of
// a partner with newer ones, counts as none.
func calendarOf(p, asker *PersonRecord) (*worktime.Calendar, Basis) {
	zone, err := worktime.Zone(p.Zone)
	if err != nil {
		c := &worktime.Calendar{Zone: time.UTC, Week: worktime.OfficeHours()}
		if asker != nil {
			if zone, err := worktime.Zone(asker.Zone); err == nil {
				c.Zone = zone
			}
		}
		return c, BasisDefault
	}
	if hours, err := ParseHours(p.Hours); err == nil && hours != nil {
		if week, err := hours.Week(); err == nil {
			return &worktime.Calendar{Zone: zone, Week: week}, BasisProfile
		}
	}
	return &worktime.Calendar{Zone: zone, Week: worktime.OfficeHours()}, BasisZone
}

// ParseHours reads hours as a profile keeps them: JSON, nil for "". Invalid names the place.
func ParseHours(text string) (worktime.Hours, error) {
	if text == "" {
		return nil, nil
	}
	var h worktime.Hours
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, Refuse(Invalid, "invalid", "/hours", "must be an object of lists of ranges, by weekday")
	}
	if _, err := h.Week(); err != nil {
		return nil, badHours(err)
	}
	return h, nil
}

// FormatHours writes hours as a profile keeps them, in one way for each week. Invalid names the place.
func FormatHours(h worktime.Hours) (string, error) {
	week, err := h.Week()
	if err != nil {
		return "", badHours(err)
	}
	text, err := json.Marshal(week.Hours())
	if err != nil {
		return "", fmt.Errorf("write hours: %w", err)
	}
	return string(text), nil
}

func badHours(err error) error {
	var bad *worktime.BadHours
	if errors.As(err, &bad) {
		return Refuse(Invalid, "invalid", "/hours"+bad.Pointer, bad.Detail)
	}
	return err
}
