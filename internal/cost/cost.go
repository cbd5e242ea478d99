// Package cost holds what a fuzz test tries to a bound on its cost: a second and 64 MiB for each
// input. It is for tests; no part of the server uses it, and outside of fuzzing it measures memory
// alone, so that no ordinary test depends on how fast a machine is.
package cost

import (
	"flag"
	"runtime/metrics"
	"testing"
	"time"
)

// What one input may cost.
const (
	MaxTime   = time.Second
	MaxMemory = 64 << 20 // bytes allocated, whether they are still held or not
)

// Hold fails the test where f takes more than one input may cost. f is run again when it was slow, as a
// machine can be: it counts as slow when it is so three times.
func Hold(t testing.TB, f func()) {
	t.Helper()
	took, allocated := measure(f)
	if allocated > MaxMemory {
		t.Fatalf("one input takes %d bytes of memory; at most %d are allowed", allocated, MaxMemory)
	}
	for tries := 1; took > MaxTime && fuzzing(); tries++ {
		if tries == 3 {
			t.Fatalf("one input takes %s; at most %s is allowed", took, MaxTime)
		}
		took, _ = measure(f)
	}
}

func measure(f func()) (time.Duration, uint64) {
	before, began := allocatedBytes(), time.Now()
	f()
	return time.Since(began), allocatedBytes() - before
}

func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// fuzzing reports whether inputs are being made up, rather than those kept being tried.
func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" && f.Value.String() != "false" {
			return true
		}
	}
	return false
}
