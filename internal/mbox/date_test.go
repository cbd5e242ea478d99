package mbox

import (
	"testing"
	"time"
)

func TestDatesAreReadInTheirZone(t *testing.T) {
	defer func(here *time.Location) { time.Local = here }(time.Local)
	time.Local = time.FixedZone("elsewhere", 5*3600) // must not show
	for value, want := range map[string]string{
		"Tue, 4 Mar 2025 21:28:37 +0900":              "2025-03-04T21:28:37+09:00",
		"Tue, 04 Mar 2025 21:28:37 +0000":             "2025-03-04T21:28:37Z",
		"4 Mar 2025 21:28 -0330":                      "2025-03-04T21:28:00-03:30",
		"Fri, 4 Mar 2025 21:28:37 +0900 (JST)":        "2025-03-04T21:28:37+09:00",
		"Tue,4 Mar 2025 1:2:3 PST":                    "2025-03-04T01:02:03-08:00",
		"Tue, 04 MAR 2025 21:28:37 EDT":               "2025-03-04T21:28:37-04:00",
		"Tue, 4 Mar 2025 21:28:37 +0100 CET":          "2025-03-04T21:28:37+01:00",
		"Tue, 4 Mar 2025 21:28:37 GMT+0200":           "2025-03-04T21:28:37+02:00",
		"Tue, 4 Mar 2025 21:28:37 GMT":                "2025-03-04T21:28:37Z",
		"Tue, 4 Mar 2025 21:28:37 IST":                "2025-03-04T21:28:37Z",
		"Tue, 4 Mar 2025 21:28:37":                    "2025-03-04T21:28:37Z",
		"Di, 4 Mar 2025 21:28:37 +0100":               "2025-03-04T21:28:37+01:00",
		"Tue, 4 Mar 97 21:28:37 -0500":                "1997-03-04T21:28:37-05:00",
		"Tuesday, 04-Mar-25 21:28:37 EST":             "2025-03-04T21:28:37-05:00",
		"Tue Mar  4 21:28:37 2025":                    "2025-03-04T21:28:37Z",
		"Tue Mar  4 21:28:37 PST 2025":                "2025-03-04T21:28:37-08:00",
		"Tue Mar  4 21:28:37 2025 +0100":              "2025-03-04T21:28:37+01:00",
		"March 4, 2025 9:28:37 PM":                    "2025-03-04T21:28:37Z",
		"2025-03-04 21:28:37 +0900":                   "2025-03-04T21:28:37+09:00",
		"2025-03-04T21:28:37Z":                        "2025-03-04T21:28:37Z",
		"2025-03-04T21:28:37.123+09:00":               "2025-03-04T21:28:37+09:00",
		"4-Mar-2025 21:28:37 EST":                     "2025-03-04T21:28:37-05:00",
		"4 Mar 2025":                                  "2025-03-04T00:00:00Z",
		" Tue,  4  Mar  2025 (a) 21:28:37 -0800 (b) ": "2025-03-04T21:28:37-08:00",
	} {
		got, err := readDate(value)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q read as %s (%v), want %s", value, got.Format(time.RFC3339), err, want)
		}
	}
}

func TestUnreadableDatesAreZero(t *testing.T) {
	for _, value := range []string{
		"", "yesterday", "Tue, 31 Feb 2025 21:28:37 +0000", "Tue, 4 Mar 2025 25:28:37 +0000",
		"Thu, 1 Jan 1901 00:00:00 +0000", "Tue, 4 Mar 20250 21:28:37 +0000", "4 Smarch 2025 21:28:37",
	} {
		if got, err := readDate(value); err == nil || !got.IsZero() {
			t.Errorf("%q read as %s, error %v", value, got, err)
		}
	}
}
