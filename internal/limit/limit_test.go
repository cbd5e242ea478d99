package limit

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestABucketTellsHowLongItTakesUntilThereIsOne(t *testing.T) {
	b := Limit{PerSecond: 0.5, Most: 3}.Bucket()
	for range 3 {
		if wait := b.Take(noon); wait != 0 {
			t.Fatalf("one of the three at once has to wait %s", wait)
		}
	}
	for range 2 { // asking costs nothing
		if wait := b.Take(noon); wait != 2*time.Second {
			t.Errorf("the fourth has to wait %s", wait)
		}
	}
	if wait := b.Take(noon.Add(2*time.Second - time.Millisecond)); wait.Round(time.Microsecond) != time.Millisecond {
		t.Errorf("a millisecond too early one has to wait %s", wait)
	}
	if wait := b.Take(noon.Add(2 * time.Second)); wait != 0 {
		t.Errorf("after that it has to wait %s", wait)
	}
}

func TestWhatIsSpentBeyondABucketIsMadeUpFor(t *testing.T) {
	b := Limit{PerSecond: 10, Most: 20}.Bucket()
	b.Spend(70, noon)
	if wait := b.Wait(noon); wait.Round(time.Microsecond) != 5100*time.Millisecond {
		t.Errorf("50 too many at 10 a second cost %s", wait)
	}
	if wait := b.Wait(noon.Add(5 * time.Second)); wait.Round(time.Microsecond) != 100*time.Millisecond {
		t.Errorf("5 s later it takes %s", wait)
	}
	if wait := b.Wait(noon.Add(6 * time.Second)); wait != 0 {
		t.Errorf("after that it takes %s", wait)
	}
}

func TestEachCallerHasABucket(t *testing.T) {
	all := Limit{PerSecond: 1, Most: 1}.Buckets()
	for _, caller := range []string{"ana", "ben"} {
		if wait := all.Of(caller).Take(noon); wait != 0 {
			t.Errorf("%s has to wait %s", caller, wait)
		}
		if all.Of(caller).Take(noon) == 0 {
			t.Errorf("%s has two", caller)
		}
	}
}

func TestRetryAfterIsNeverTooEarly(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "1", time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", 6 * time.Second: "6", time.Hour: "3600",
	} {
		if got := Seconds(wait); got != want {
			t.Errorf("%s is told as %s", wait, got)
		}
	}
}
