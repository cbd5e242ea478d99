package threads_test

import (
	"errors"
	"testing"
	"time"

	"meridian/threads"
	"meridian/threads/worktime"
)

func TestWhoseHoursAnExpectationIsReckonedBy(t *testing.T) {
	tokyo := threads.PersonRecord{Zone: "Asia/Tokyo", Hours: `{"fri":["09:00-18:00"],"mon":["09:00-18:00"],"tue":["09:00-18:00"]}`}
	berlin := threads.PersonRecord{Zone: "Europe/Berlin"}
	for name, c := range map[string]struct {
		asked, asker threads.PersonRecord
		urgency      threads.Urgency
		at           string
		begins, due  string
		basis        threads.Basis
	}{
		"their own":                  {tokyo, berlin, threads.Standard, "2026-11-28T01:00:00+09:00", "2026-11-30T09:00:00+09:00", "2026-12-01T09:00:00+09:00", threads.BasisProfile},
		"two days":                   {tokyo, berlin, threads.Low, "2026-11-30T10:00:00+09:00", "2026-11-30T10:00:00+09:00", "2026-12-04T10:00:00+09:00", threads.BasisProfile},
		"their zone alone":           {berlin, tokyo, threads.Standard, "2026-11-27T18:00:00+01:00", "2026-11-30T09:00:00+01:00", "2026-12-01T09:00:00+01:00", threads.BasisZone},
		"the asker's, nothing known": {threads.PersonRecord{}, berlin, threads.Standard, "2026-11-28T12:00:00Z", "2026-11-30T09:00:00+01:00", "2026-12-01T09:00:00+01:00", threads.BasisDefault},
		"nobody's":                   {threads.PersonRecord{}, threads.PersonRecord{}, threads.Standard, "2026-11-28T12:00:00Z", "2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z", threads.BasisDefault},
		"a zone of later tables":     {threads.PersonRecord{Zone: "Moon/Tranquillity"}, berlin, threads.Standard, "2026-11-30T09:00:00+01:00", "2026-11-30T09:00:00+01:00", "2026-12-01T09:00:00+01:00", threads.BasisDefault},
		"by day and night":           {tokyo, berlin, threads.Urgent, "2026-11-28T01:00:00+09:00", "2026-11-28T01:00:00+09:00", "2026-11-28T03:00:00+09:00", threads.BasisElapsed},
	} {
		at := instantOf(t, c.at)
		e, err := threads.Expect(&c.asked, &c.asker, c.urgency, at)
		if err != nil || !e.Begins.Equal(instantOf(t, c.begins)) || !e.Due.Equal(instantOf(t, c.due)) || e.Basis != c.basis {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

func TestWhoNeverWorksIsNotExpectedToAnswer(t *testing.T) {
	idle := threads.PersonRecord{Zone: "Europe/Berlin", Hours: "{}"}
	now := instantOf(t, "2026-11-28T12:00:00Z")
	_, err := threads.Expect(&idle, &idle, threads.Standard, now)
	var refused *threads.Error
	if !errors.As(err, &refused) || refused.Code != "no_working_time" {
		t.Errorf("%v", err)
	}
	if e, err := threads.Expect(&idle, &idle, threads.Urgent, now); err != nil || e.Due.Sub(now) != 2*time.Hour {
		t.Errorf("urgent: %v, %v", e, err)
	}
	if opening := idle.Opening(now); !opening.IsZero() {
		t.Errorf("opens at %s", opening)
	}
}

func TestAProfileThatSaysNothingHasNoOpening(t *testing.T) {
	nobody := threads.PersonRecord{}
	if opening := nobody.Opening(time.Now()); !opening.IsZero() {
		t.Errorf("opens at %s", opening)
	}
}

func TestHoursAreKeptInOneWay(t *testing.T) {
	first, err := threads.FormatHours(worktime.Hours{"mon": {"13:00-17:00", "09:00-12:00"}, "sun": {}})
	if err != nil || first != `{"mon":["09:00-12:00","13:00-17:00"]}` {
		t.Errorf("%s, %v", first, err)
	}
	var refused *threads.Error
	if _, err := threads.FormatHours(worktime.Hours{"mon": {"9 to 5"}}); !errors.As(err, &refused) || refused.Field != "/hours/mon/0" {
		t.Errorf("%v", err)
	}
}

func instantOf(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
