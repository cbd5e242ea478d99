package federation_test

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"meridian/federation"
	"meridian/threads"
)

// written stands for the database: everything that was ever committed.
type written struct {
	federation.Logs
	own   []threads.Entry
	last  int64
	asked int
}

func (w *written) OwnEvents(_ context.Context, after int64, limit int) ([]threads.Entry, int64, error) {
	w.asked++
	var out []threads.Entry
	for _, e := range w.own {
		if e.Pos > after && len(out) < limit {
			out = append(out, e)
		}
	}
	if len(out) == limit {
		return out, out[limit-1].Pos, nil
	}
	return out, max(w.last, after), nil
}

func TestWhatIsAtHandIsWhatTheDatabaseHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &written{}
		recent := federation.NewRecent("kobo.example", w)
		cursor := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				told := rapid.Bool().Draw(t, "by this process")
				var entries []threads.Entry
				for range rapid.IntRange(1, 20).Draw(t, "events") {
					w.last++
					e := &threads.Event{Header: threads.Header{
						Log:    rapid.SampledFrom([]string{threads.LogData, threads.LogData, threads.LogControl}).Draw(t, "log"),
						Origin: rapid.SampledFrom([]string{"kobo.example", "havel.example"}).Draw(t, "origin"),
					}}
					entry := threads.Entry{Pos: w.last, Event: e}
					entries = append(entries, entry)
					if e.Header.Origin == "kobo.example" {
						w.own = append(w.own, entry)
					}
				}
				if told {
					recent.Committed(entries)
				}
			},
			"read on": func(t *rapid.T) {
				limit := rapid.IntRange(1, 30).Draw(t, "limit")
				want, _, _ := w.OwnEvents(context.Background(), cursor, limit)
				got, through, err := recent.OwnEvents(context.Background(), cursor, limit)
				if err != nil || through < cursor || through > w.last {
					t.Fatalf("through %d from %d, %v", through, cursor, err)
				}
				for i, e := range got {
					if e.Pos != want[i].Pos {
						t.Fatalf("entry %d is at %d, want %d", i, e.Pos, want[i].Pos)
					}
				}
				if len(got) < len(want) && want[len(got)].Pos <= through {
					t.Fatalf("passed over the one at %d", want[len(got)].Pos)
				}
				cursor = through
			},
			"": func(t *rapid.T) {
				if cursor > w.last {
					t.Fatalf("the cursor %d is beyond the end %d", cursor, w.last)
				}
			},
		})
	})
}

func TestAPartnerWhoIsAbreastCostsNoReading(t *testing.T) {
	w := &written{}
	recent := federation.NewRecent("kobo.example", w)
	for pos := int64(1); pos <= 10_000; pos++ {
		e := &threads.Event{Header: threads.Header{Log: threads.LogData, Origin: "kobo.example"}}
		recent.Committed([]threads.Entry{{Pos: pos, Event: e}})
		got, through, err := recent.OwnEvents(context.Background(), pos-1, 500)
		if err != nil || len(got) != 1 || through != pos {
			t.Fatalf("at %d: %d events through %d, %v", pos, len(got), through, err)
		}
	}
	if w.asked != 0 {
		t.Errorf("the database was asked %d times", w.asked)
	}
}
