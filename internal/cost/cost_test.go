package cost

import "testing"

// failing notes that a test failed, as it stops there.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Helper()               {}
func (f *failing) Fatalf(string, ...any) { f.failed = true }

func TestWhatTakesTooMuchMemoryFails(t *testing.T) {
	var kept []byte
	for size, want := range map[int]bool{1 << 20: false, MaxMemory + 1<<20: true} {
		f := &failing{TB: t}
		Hold(f, func() { kept = make([]byte, size) })
		if f.failed != want {
			t.Errorf("%d bytes: failed %v", len(kept), f.failed)
		}
	}
}
