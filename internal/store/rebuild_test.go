package store

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meridian/threads"
)

func TestWhatIsRebuiltEqualsWhatWasLive(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		lives := rapid.Custom(func(t *rapid.T) *world {
			w := history(t)
			replicate(t, s, w)
			return w
		})
		before := map[threads.Hash]string{}
		for i := range 25 {
			w := lives.Example(i)
			before[w.c.ID] = dump(t, s, w.c.ID)
		}
		// A rebuild repairs what something else broke.
		breakIt(t, s, "update thread set title = 'x', messages = 7")
		last := int64(0)
		if err := s.Rebuild(context.Background(), func(pos int64) { last = pos }); err != nil {
			t.Fatal(err)
		}
		if want, _ := s.Last(context.Background()); last == 0 || last > want {
			t.Errorf("progress ended at %d of %d", last, want)
		}
		for id, want := range before {
			if diff := cmp.Diff(want, dump(t, s, id)); diff != "" {
				t.Errorf("channel %s: %s", id, diff)
			}
		}
	})
}
