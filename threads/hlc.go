package threads

import "time"

// Time is a hybrid logical clock reading (Kulkarni et al. 2014): Unix
// milliseconds × 2048 plus a counter, so that it fits an exact JSON integer
// until the year 2110.
type Time int64

const timeTicks = 2048

// Bounds of an event's time: the years 2000 to 2100.
const (
	MinTime = Time(946_684_800_000 * timeTicks)
	MaxTime = Time(4_102_444_800_000 * timeTicks)
)

// MaxAhead is how far an event may lie ahead of the receiver's clock before it
// waits unapplied.
const MaxAhead = time.Minute

// TimeOf is the first reading of the millisecond in which now lies.
func TimeOf(now time.Time) Time { return Time(now.UnixMilli() * timeTicks) }

// Wall is the instant of a reading, in UTC, to the millisecond.
func (t Time) Wall() time.Time { return time.UnixMilli(int64(t) / timeTicks).UTC() }

// Next is the reading for an event made at now that must come after every one
// of seen.
func Next(now time.Time, seen ...Time) Time {
	next := TimeOf(now)
	for _, s := range seen {
		next = max(next, s+1)
	}
	return next
}
