package worktime

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// clock is what the clocks of a zone show, minute by minute, from time.LoadLocation and nothing else.
type clock struct {
	first      int64         // Unix minute
	shown      []int32       // minutes of local time since 1970-01-01 00:00
	firstShown map[int32]int // index of the minute that shows a local time first
}

func newClock(zone *time.Location, from, until time.Time) *clock {
	k := &clock{first: from.Unix() / 60, firstShown: map[int32]int{}}
	for m := k.first; m < until.Unix()/60; m++ {
		t := time.Unix(m*60, 0).In(zone)
		year, month, day := t.Date()
		hour, minute, _ := t.Clock()
		midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 60
		k.shown = append(k.shown, int32(midnight)+int32(hour*60+minute))
	}
	greatest := k.shown[0] - 1
	for i, shown := range k.shown {
		for skipped := greatest + 1; skipped < shown; skipped++ { // as far behind the jump as it is behind what was shown last
			k.firstShown[skipped] = i + int(skipped-greatest-1)
		}
		if shown > greatest {
			k.firstShown[shown], greatest = i, shown
		}
	}
	return k
}

// oracle knows of every minute whether it is worked, and counts on its fingers.
type oracle struct {
	*clock
	working []bool
	date    []Date // to which a working minute belongs
	c       *Calendar
}

func newOracle(c *Calendar, k *clock) *oracle {
	o := &oracle{clock: k, c: c, working: make([]bool, len(k.shown)), date: make([]Date, len(k.shown))}
	for date := Date(o.shown[0] / Day); date <= Date(o.shown[len(o.shown)-1]/Day); date++ {
		if slices.ContainsFunc(c.Off, func(off Off) bool { return off.From <= date && date < off.Until }) {
			continue
		}
		for _, r := range c.Week[(int(date)+4)%7] {
			begin, inside := o.firstShown[int32(date)*Day+int32(r.From)]
			end, wholly := o.firstShown[int32(date)*Day+int32(r.Until)]
			for i := begin; inside && wholly && i < end; i++ {
				if !o.working[i] {
					o.working[i], o.date[i] = true, date
				}
			}
		}
	}
	return o
}

func (o *oracle) index(t time.Time) int { return int(t.Unix()/60 - o.first) }

func (o *oracle) at(i int) time.Time { return time.Unix((o.first+int64(i))*60, 0) }

// next is the first working minute at or after one.
func (o *oracle) next(i int) int {
	for !o.working[i] {
		i++
	}
	return i
}

// add counts minutes of work; the last one ends the sum.
func (o *oracle) add(i, minutes int) int {
	i = o.next(i)
	for minutes > 0 {
		if o.working[i] {
			minutes--
		}
		i++
	}
	return i
}

// addDays walks over the dates, then over the minutes from the same time of day.
func (o *oracle) addDays(i, n int) int {
	i = o.next(i)
	date, tod := o.date[i], o.shown[i]-int32(o.date[i])*Day
	for n > 0 {
		date++
		if len(o.c.Week[(int(date)+4)%7]) > 0 && !slices.ContainsFunc(o.c.Off, func(off Off) bool { return off.From <= date && date < off.Until }) {
			n--
		}
	}
	return o.next(o.firstShown[int32(date)*Day+tod])
}

var zones = []string{
	"UTC", "Europe/Berlin", "Europe/London", "Europe/Lisbon", "Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Gaza",
	"America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Santiago", "America/Los_Angeles", "America/Havana", "America/Nuuk",
	"Africa/Casablanca", "Africa/Cairo", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Auckland", "Pacific/Apia", "Atlantic/Azores",
}

var weeks = map[string]Week{
	"office":      {1: {{540, 1080}}, 2: {{540, 1080}}, 3: {{540, 1080}}, 4: {{540, 1080}}, 5: {{540, 1080}}},
	"four days":   {1: {{480, 720}, {780, 1080}}, 2: {{480, 720}, {780, 1080}}, 3: {{480, 720}, {780, 1080}}, 4: {{480, 720}, {780, 1080}}},
	"nights":      {0: {{1320, 1800}}, 1: {{1320, 1800}}, 2: {{1320, 1800}}, 3: {{1320, 1800}}, 4: {{1320, 1800}}},
	"small hours": {0: {{60, 150}, {165, 200}}, 6: {{0, 135}, {1380, 1460}}, 3: {{150, 180}}, 1: {{145, 155}}, 5: {{1430, 1440}}},
	"always":      {{{0, 1440}}, {{0, 1440}}, {{0, 1440}}, {{0, 1440}}, {{0, 1440}}, {{0, 1440}}, {{0, 1440}}},
	"one night":   {6: {{1200, 2640}}},
}

var years = flag.Int("worktime.years", 2, "compare so many years of every zone from 2026 on with the oracle")

func period() (from, until time.Time) {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026+*years, 2, 1, 0, 0, 0, 0, time.UTC)
}

// Every minute at which work begins or ends, and its neighbours, and one in 97 of the others.
func TestWorkingTimeIsWhereTheOracleSays(t *testing.T) {
	for _, name := range zones {
		zone := load(t, name)
		from, until := period()
		k := newClock(zone, from, until)
		for week, ranges := range weeks {
			c := &Calendar{Zone: zone, Week: ranges}
			if _, overlap := c.Week.overlap(); overlap {
				t.Fatal(week, "overlaps")
			}
			o := newOracle(c, k)
			for i := 5 * Day; i < len(o.shown)-5*Day; i++ {
				if o.working[i] == o.working[i-1] && o.working[i] == o.working[i+1] && o.shown[i] == o.shown[i-1]+1 && i%97 > 0 {
					continue
				}
				if got := c.Contains(o.at(i)); got != o.working[i] {
					t.Fatalf("%s, %s: working at %s: %t, the oracle says %t", name, week, o.at(i).In(c.Zone), got, o.working[i])
				}
			}
		}
	}
}

func TestSumsAreAsTheOracleCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range zones {
		zone := load(t, name)
		from, until := period()
		k := newClock(zone, from, until)
		for week, ranges := range weeks {
			c := &Calendar{Zone: zone, Week: ranges, Off: randomOff(rng)}
			o := newOracle(c, k)
			for range 40 * *years {
				i := 5*Day + rng.IntN(len(o.shown)-200*Day)
				at, minutes, n := o.at(i), 1+rng.IntN(3000), 1+rng.IntN(6)
				o.same(t, week, "next", at, o.next(i), func() (time.Time, error) { return c.Next(at) })
				o.same(t, week, "add", at, o.add(i, minutes), func() (time.Time, error) { return c.Add(at, time.Duration(minutes)*time.Minute) })
				o.same(t, week, "days", at, o.addDays(i, n), func() (time.Time, error) { return c.AddDays(at, n) })
			}
		}
	}
}

func (o *oracle) same(t *testing.T, week, what string, at time.Time, want int, calculate func() (time.Time, error)) {
	t.Helper()
	if got, err := calculate(); err != nil || !got.Equal(o.at(want)) {
		t.Fatalf("%s, %s: %s from %s: %v, %v, the oracle says %s", o.c.Zone, week, what, at.In(o.c.Zone), got.In(o.c.Zone), err, o.at(want).In(o.c.Zone))
	}
}

func randomOff(rng *rand.Rand) []Off {
	var all []Off
	for range rng.IntN(20) {
		from := DateOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC) + Date(rng.IntN(700))
		all = append(all, Off{from, from + 1 + Date(rng.IntN(12))})
	}
	return all
}

func load(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}
