package worktime

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hours are the working ranges of a week as people and programs exchange them: under "mon" to "sun",
// ranges such as "09:00-12:30". An end of 24:00 is midnight; one at or before the beginning lies on the
// next date. Weekdays without ranges are left out.
type Hours map[string][]string

// maxRanges is how many ranges a weekday has at most.
const maxRanges = 12

// BadHours is what is wrong with hours, and where.
type BadHours struct {
	Pointer string // JSON Pointer below the hours (RFC 6901), such as "/mon/0"
	Detail  string
}

func (e *BadHours) Error() string { return e.Pointer + " " + e.Detail }

func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// Week reads the hours, in any order of a day's ranges; *BadHours where they cannot be kept.
func (h Hours) Week() (w Week, err error) {
	names := weekdays()
	for _, name := range slices.Sorted(maps.Keys(h)) {
		day := slices.Index(names, name)
		if day < 0 {
			return Week{}, &BadHours{"/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), "is no weekday: write mon, tue, wed, thu, fri, sat or sun"}
		}
		if len(h[name]) > maxRanges {
			return Week{}, &BadHours{"/" + name, fmt.Sprintf("has too many ranges; at most %d are possible", maxRanges)}
		}
		for i, text := range h[name] {
			r, ok := readRange(text)
			if !ok {
				return Week{}, &BadHours{fmt.Sprintf("/%s/%d", name, i), "must be a range of times of day, like 09:00-17:30"}
			}
			w[day] = append(w[day], r)
		}
		slices.SortFunc(w[day], func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	}
	if day, overlap := w.overlap(); overlap {
		return Week{}, &BadHours{"/" + names[day], "has ranges that overlap, or reach into those of the next day"}
	}
	return w, nil
}

// Hours writes the week.
func (w *Week) Hours() Hours {
	h, names := Hours{}, weekdays()
	for day, ranges := range w {
		for _, r := range ranges {
			until := r.Until
			if until > Day {
				until -= Day
			}
			h[names[day]] = append(h[names[day]], fmt.Sprintf("%02d:%02d-%02d:%02d", r.From/60, r.From%60, until/60, until%60))
		}
	}
	return h
}

func readRange(text string) (r Range, ok bool) {
	from, until, ok := strings.Cut(text, "-")
	if !ok {
		return r, false
	}
	begin, ok1 := timeOfDay(from)
	end, ok2 := timeOfDay(until)
	if !ok1 || !ok2 || begin == Day {
		return r, false
	}
	if end <= begin {
		end += Day
	}
	return Range{begin, end}, true
}

// timeOfDay is the minute of the day that HH:MM names, 00:00 to 24:00.
func timeOfDay(text string) (minute int, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	hours, err1 := strconv.ParseUint(text[:2], 10, 8)
	minutes, err2 := strconv.ParseUint(text[3:], 10, 8)
	minute = int(hours)*60 + int(minutes)
	return minute, err1 == nil && err2 == nil && minutes < 60 && minute <= Day
}

// Zone is the time zone of that name in the IANA database.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone of the IANA database", name)
	}
	return time.LoadLocation(name)
}

// OfficeHours are what counts where nobody said anything else: Monday to Friday, 09:00 to 17:00.
func OfficeHours() Week {
	var w Week
	for day := time.Monday; day <= time.Friday; day++ {
		w[day] = []Range{{9 * 60, 17 * 60}}
	}
	return w
}
