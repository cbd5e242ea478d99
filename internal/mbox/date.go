package mbox

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	comment    = regexp.MustCompile(`\([^()]*\)`)
	weekday    = regexp.MustCompile(`^(?i)\p{L}+[.,]\s*|^(?i)(mon|tue|wed|thu|fri|sat|sun)[a-z]*\s+`)
	zoneGMT    = regexp.MustCompile(`\b(?:GMT|UTC?)\s*([+-]\d)`)
	zoneDigits = regexp.MustCompile(`(?:\s|:\d\d)[+-]\d{2}:?\d{2}\b`)
	zoneName   = regexp.MustCompile(`(:\d\d\s*)([A-Z]{1,5})\b|(\d\s+)([A-Z]{1,5})$`)
)

// offset gives the zones that RFC 5322 §4.3 defines and the commonest others.
// Abbreviations that mean different hours in different countries are absent.
func offset(name string) string {
	switch name {
	case "UT", "UTC", "GMT", "Z", "WET":
		return "+0000"
	case "EDT":
		return "-0400"
	case "EST", "CDT":
		return "-0500"
	case "CST", "MDT":
		return "-0600"
	case "MST", "PDT":
		return "-0700"
	case "PST":
		return "-0800"
	case "CET", "MET", "WEST":
		return "+0100"
	case "CEST", "MEST", "EET":
		return "+0200"
	case "EEST", "MSK":
		return "+0300"
	case "JST", "KST":
		return "+0900"
	}
	return ""
}

// dateLayouts are tried in turn on a date without weekday and comments, its
// zone as digits: RFC 5322, RFC 850 and 822 years, ctime with the zone before
// or after the year, ISO 8601.
func dateLayouts() []string {
	return []string{
		"2 Jan 2006 15:4:5 -0700", "2 Jan 2006 15:4 -0700", "2 Jan 2006 15:4:5", "2 Jan 2006 15:4",
		"2 January 2006 15:4:5 -0700", "2 January 2006 15:4:5", "2 Jan 2006 15.04.05 -0700",
		"2 Jan 06 15:4:5 -0700", "2 Jan 06 15:4 -0700", "2 Jan 06 15:4:5",
		"2-Jan-2006 15:4:5 -0700", "2-Jan-06 15:4:5 -0700", "2-Jan-06 15:4:5",
		"Jan 2 15:4:5 2006 -0700", "Jan 2 15:4:5 -0700 2006", "Jan 2 15:4:5 2006",
		"Jan 2, 2006 15:4:5 -0700", "January 2, 2006 15:4:5 -0700", "January 2, 2006 3:4:5 PM",
		"2 Jan 2006 3:4:5 PM -0700", "2 Jan 2006 15:4:5 -07:00", "2 Jan 2006 15:4:5 -07",
		"2006-1-2 15:4:5 -0700", "2006-1-2 15:4:5", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05-0700",
		"2 Jan 2006",
	}
}

// readDate reads a Date field, keeping its zone; one that names no zone, or an
// unknown one, is taken as UTC.
func readDate(value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, errors.New("no Date")
	}
	s := comment.ReplaceAllString(cutText(value, idLimit), " ")
	s = weekday.ReplaceAllString(strings.TrimSpace(s), "")
	s = zoneGMT.ReplaceAllString(s, "$1")
	s = zoneName.ReplaceAllStringFunc(s, func(found string) string {
		clock := strings.TrimRight(found, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		name := found[len(clock):]
		switch {
		case name == "AM" || name == "PM":
			return found
		case zoneDigits.MatchString(s):
			return clock // the digits beside it say the same, and are sure
		}
		return clock + offset(name)
	})
	s = strings.Join(strings.Fields(s), " ")
	for _, layout := range dateLayouts() {
		// In UTC, for the zone of the machine that reads must not show.
		t, err := time.ParseInLocation(layout, s, time.UTC)
		if err == nil && t.Year() >= 1970 && t.Year() < 2100 {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("unreadable Date %q", cutText(value, 100))
}
