package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"meridian/threads"
)

// Expectation is when an answer by somebody can be expected, and why then.
type Expectation struct {
	To      string    `json:"to" doc:"Address of the person asked."`
	Urgency string    `json:"urgency" enum:"standard,low,urgent"`
	At      time.Time `json:"at" doc:"When the question is put."`
	Begins  time.Time `json:"begins" doc:"The first working instant at or after that; the time for the answer runs from it."`
	Due     time.Time `json:"due"`
	Zone    string    `json:"zone" doc:"In which the hours are reckoned."`
	Basis   string    `json:"basis" enum:"profile,zone,default,elapsed" doc:"profile: the hours of the person asked. zone: Monday to Friday, 09:00-17:00, in their time zone. default: the same in your own, because theirs is not known. elapsed: no hours, what is urgent runs by day and night."`
	Reason  string    `json:"reason" doc:"In plain words."`
}

type expectationOf struct {
	To      string    `query:"to" required:"true" minLength:"1" maxLength:"320" doc:"name@server"`
	Urgency string    `query:"urgency" enum:"standard,low,urgent" default:"standard"`
	At      time.Time `query:"at" doc:"RFC 3339; now without it."`
}

func (a *API) expectationRoute() {
	type out struct{ Body Expectation }
	register(a, operation{
		method: http.MethodGet, path: "/expectation", id: "expectation", tag: "people",
		summary: "When an answer by somebody would be due, in their working time, and why",
	}, func(ctx context.Context, c *caller, in *expectationOf) (*out, error) {
		asked, err := a.person(ctx, in.To)
		if err != nil {
			return nil, err
		}
		asker, err := a.People.Person(ctx, c.person.ID)
		if err != nil {
			return nil, err
		}
		at := in.At
		if at.IsZero() {
			at = exchangeOf(ctx).now
		}
		e, err := threads.Expect(&asked, &asker, threads.Urgency(in.Urgency), at)
		if err != nil {
			return nil, err
		}
		return &out{Expectation{
			To: personOf(asked).Address, Urgency: in.Urgency, At: at.UTC(), Begins: e.Begins.UTC(), Due: e.Due.UTC(),
			Zone: e.Zone.String(), Basis: string(e.Basis), Reason: reasonOf(threads.Urgency(in.Urgency), e),
		}}, nil
	})
}

// Span is working time without a break.
type Span struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Overlap is when several people work at once.
type Overlap struct {
	Spans []Span `json:"spans" nullable:"false" doc:"In order, half-open; empty where they never work at once."`
}

// maxOverlap is how far ahead is looked for working time of several people.
const maxOverlap = 31 * 24 * time.Hour

type overlapOf struct {
	People []string  `query:"people" required:"true" minItems:"1" maxItems:"20" doc:"Addresses, with commas between."`
	From   time.Time `query:"from" doc:"RFC 3339; now without it."`
	Until  time.Time `query:"until" doc:"At most 31 days after from; a week without it."`
}

func (a *API) overlapRoute() {
	type out struct{ Body Overlap }
	register(a, operation{
		method: http.MethodGet, path: "/availability/overlap", id: "overlap", tag: "people",
		summary: "When it is working time for several people at once",
	}, func(ctx context.Context, _ *caller, in *overlapOf) (*out, error) {
		from, until := in.From, in.Until
		if from.IsZero() {
			from = exchangeOf(ctx).now
		}
		if until.IsZero() {
			until = from.AddDate(0, 0, 7)
		}
		if !until.After(from) || until.Sub(from) > maxOverlap {
			return nil, badParameter("until", "must be after from, by at most 31 days")
		}
		people := make([]threads.PersonRecord, len(in.People))
		for i, address := range in.People {
			p, err := a.person(ctx, address)
			if err != nil {
				return nil, err
			}
			people[i] = p
		}
		common, err := threads.Overlap(people, from, until)
		if err != nil {
			return nil, err
		}
		body := Overlap{Spans: make([]Span, len(common))}
		for i, s := range common {
			body.Spans[i] = Span{s.From.UTC(), s.Until.UTC()}
		}
		return &out{body}, nil
	})
}

// reasonOf says how an expectation was reckoned.
func reasonOf(u threads.Urgency, e threads.Expectation) string {
	begins := e.Begins.In(e.Zone).Format("Monday 2006-01-02 15:04")
	whose := map[threads.Basis]string{
		threads.BasisProfile: "by the hours that they set",
		threads.BasisZone:    "by office hours in their time zone, as they set none",
		threads.BasisDefault: "by office hours in your time zone, as theirs is not known",
	}[e.Basis]
	switch u {
	case threads.Urgent:
		return fmt.Sprintf("urgent: %.0f hours from the asking, by day and night", u.Span().Hours())
	case threads.Low:
		return fmt.Sprintf("low: two working days from %s (%s), %s", begins, e.Zone, whose)
	default:
		return fmt.Sprintf("standard: one working day from %s (%s), %s", begins, e.Zone, whose)
	}
}
