package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/api"
	"meridian/threads/worktime"
)

func TestAnAnswerIsExpectedInTheWorkingTimeOfThePersonAsked(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, ben := w.user("ana", false), w.user("ben", false)
	w.must(200, ana, "PATCH", "/me", object{"zone": "Asia/Tokyo", "hours": object{"mon": []string{"09:00-18:00"}, "tue": []string{"09:00-18:00"}}})
	w.must(200, ben, "PATCH", "/me", object{"zone": "Europe/Berlin"})

	a := w.must(200, ben, "GET", "/expectation?to=ana@"+kobo+"&at=2026-11-27T16:00:00Z", nil) // Saturday 01:00 in Tokyo
	if a.text("due") != "2026-12-01T00:00:00Z" || a.text("begins") != "2026-11-30T00:00:00Z" || a.text("basis") != "profile" || a.text("zone") != "Asia/Tokyo" {
		t.Errorf("%s", a.raw)
	}
	a = w.must(200, ana, "GET", "/expectation?to=ben@"+kobo+"&urgency=low&at=2026-11-27T16:30:00Z", nil) // Friday 17:30 in Berlin
	if a.text("due") != "2026-12-02T08:00:00Z" || a.text("basis") != "zone" {
		t.Errorf("%s", a.raw)
	}
	at := w.now().UTC().Truncate(time.Second)
	a = w.must(200, ben, "GET", "/expectation?to=ana@"+kobo+"&urgency=urgent&at="+at.Format(time.RFC3339), nil)
	if a.text("due") != at.Add(2*time.Hour).Format(time.RFC3339) || a.text("basis") != "elapsed" {
		t.Errorf("%s", a.raw)
	}
	w.must(404, ben, "GET", "/expectation?to=nobody@"+kobo, nil)
	w.must(422, ben, "GET", "/expectation?to=ana@"+kobo+"&urgency=soon", nil)
	w.must(422, ben, "GET", "/expectation?to=ana@"+kobo+"&at=tomorrow", nil)
	w.must(422, ben, "GET", "/expectation", nil)
	w.must(401, nil, "GET", "/expectation?to=ana@"+kobo, nil)
}

func TestOthersSeeTheHoursThatSomebodySet(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, ben := w.user("ana", false), w.user("ben", false)
	var seen api.Profile
	if w.must(200, ben, "GET", "/people/ana@"+kobo, nil).into(t, &seen); seen.Opening != nil || seen.Hours != nil {
		t.Errorf("%v: something is said of her hours, though nothing is known", seen)
	}
	w.must(200, ana, "PATCH", "/me", object{"zone": "UTC", "hours": object{"sat": []string{"22:00-06:00"}, "mon": []string{"13:00-17:00", "09:00-12:00"}}})
	w.must(200, ben, "GET", "/people/ana@"+kobo, nil).into(t, &seen)
	if diff := cmp.Diff(worktime.Hours{"mon": {"09:00-12:00", "13:00-17:00"}, "sat": {"22:00-06:00"}}, seen.Hours); diff != "" {
		t.Error(diff)
	}
	if seen.Opening == nil || seen.Opening.Before(w.now().Add(-time.Minute)) {
		t.Errorf("opens at %v", seen.Opening)
	}

	for pointer, hours := range map[string]object{
		"/hours/mon":   {"mon": []string{"09:00-12:00", "11:00-13:00"}},
		"/hours/mon/0": {"mon": []string{"nine to five"}},
		"/hours/lundi": {"lundi": []string{"09:00-12:00"}},
	} {
		var p api.Problem
		w.must(422, ana, "PATCH", "/me", object{"hours": hours}).into(t, &p)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%v is refused with %v", hours, p)
		}
	}
	w.must(422, ana, "PATCH", "/me", object{"zone": "Mars/Olympus"})
}

func TestWhenSeveralPeopleWorkAtOnce(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, ben, cem := w.user("ana", false), w.user("ben", false), w.user("cem", false)
	w.must(200, ana, "PATCH", "/me", object{"zone": "Asia/Tokyo", "hours": object{"mon": []string{"09:00-18:00"}, "tue": []string{"09:00-18:00"}}})
	w.must(200, ben, "PATCH", "/me", object{"zone": "Europe/Berlin", "hours": object{"mon": []string{"08:00-17:00"}, "tue": []string{"08:00-09:30", "09:45-17:00"}}})
	people := "/availability/overlap?people=ana@" + kobo + ",ben@" + kobo
	var found api.Overlap
	w.must(200, cem, "GET", people+"&from=2026-11-23T00:00:00Z&until=2026-11-25T00:00:00Z", nil).into(t, &found)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	want := []api.Span{{From: at(23, 7, 0), Until: at(23, 9, 0)}, {From: at(24, 7, 0), Until: at(24, 8, 30)}, {From: at(24, 8, 45), Until: at(24, 9, 0)}}
	if diff := cmp.Diff(want, found.Spans); diff != "" {
		t.Error(diff)
	}
	w.must(200, cem, "GET", people+"&from=2026-11-25T00:00:00Z", nil).into(t, &found)
	if len(found.Spans) != 3 {
		t.Errorf("in the week after: %v", found.Spans)
	}
	if a := w.must(409, cem, "GET", people+",cem@"+kobo, nil); a.text("code") != "hours_unknown" {
		t.Errorf("%s", a.raw)
	}
	w.must(404, cem, "GET", people+",nobody@"+kobo, nil)
	w.must(422, cem, "GET", people+"&from=2026-11-25T00:00:00Z&until=2026-11-24T00:00:00Z", nil)
	w.must(422, cem, "GET", people+"&from=2026-11-25T00:00:00Z&until=2027-11-24T00:00:00Z", nil)
	w.must(422, cem, "GET", "/availability/overlap", nil)
}
