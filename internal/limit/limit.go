// Package limit counts what callers use up, each for itself, and says for how
// long one who has used up theirs has to wait. It never reads a clock, and never
// decides who a caller is nor what they are answered.
package limit

import (
	"math"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Limit is one bound on what a caller can use up, as it is documented: beyond
// it a request is answered with Status and Code, and with Retry-After.
type Limit struct {
	// Name is that of the setting, or says what is bounded where none changes it.
	Name string
	// Of says what is counted, and for whom.
	Of string
	// PerSecond is what is let through in the long run; 0 where Most bounds what
	// there is at a time.
	PerSecond float64
	// Most is what is let through at once, or at a time.
	Most int
	// Retry is what Retry-After says where there is no rate to tell it from.
	Retry  time.Duration
	Status int
	Code   string
}

// Seconds is a wait as Retry-After tells it: whole seconds, rounded up, at least 1.
func Seconds(wait time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(wait.Seconds()))), 10)
}

// Bucket is what one caller has left of a Limit with a rate. It is safe for use
// by many goroutines.
type Bucket struct{ left *rate.Limiter }

// Bucket is a full one.
func (l Limit) Bucket() Bucket { return Bucket{rate.NewLimiter(rate.Limit(l.PerSecond), l.Most)} }

// Take uses one, if there is one, and returns 0; else it uses nothing and returns
// how long it takes until there is one.
func (b Bucket) Take(now time.Time) time.Duration {
	r := b.left.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// Spend uses n whether they are there or not: what is missing is made up for
// before there is anything again.
func (b Bucket) Spend(n int, now time.Time) {
	for n > 0 {
		part := min(n, b.left.Burst())
		b.left.ReserveN(now, part)
		n -= part
	}
}

// Wait is how long it takes until there is one; 0 when there is.
func (b Bucket) Wait(now time.Time) time.Duration {
	missing := 1 - b.left.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(missing / float64(b.left.Limit()) * float64(time.Second)))
}

// maxBuckets is how many callers are remembered, the latest ones: whoever is
// forgotten begins with a full bucket.
const maxBuckets = 10_000

// Buckets are one for each caller.
type Buckets struct {
	limit Limit
	known *lru.Cache[string, Bucket]
}

// Buckets are full ones, for any number of callers.
func (l Limit) Buckets() *Buckets {
	known, err := lru.New[string, Bucket](maxBuckets)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &Buckets{l, known}
}

// Of is the caller's bucket.
func (b *Buckets) Of(caller string) Bucket {
	own, ok := b.known.Get(caller)
	if !ok {
		own = b.limit.Bucket()
		if before, had, _ := b.known.PeekOrAdd(caller, own); had {
			own = before
		}
	}
	return own
}

// Limit is the one that the buckets are of.
func (b *Buckets) Limit() Limit { return b.limit }
