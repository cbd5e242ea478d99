package store

import (
	"context"
	"strings"
	"testing"

	"meridian/threads"
)

func TestVerifyNamesTheFirstBadPlaceOfALog(t *testing.T) {
	flip := `update event set content = cast(replace(cast(content as text), 'leaks', 'drips') as blob)
		where cast(content as text) like '%leaks%'`
	for name, row := range map[string]struct {
		damage, want string
		seq          int64
	}{
		"content changed":    {flip, "digest", 2},
		"event lost":         {"delete from event where log = 2 and seq = 3", "missing", 3},
		"head lost":          {"delete from event where log = 2 and seq = 5", "should go on to event 5", 5},
		"signature changed":  {"update event set sig = (select sig from event where log = 2 and seq = 1) where log = 2 and seq = 4", "signature", 4},
		"void falsely":       {"update event set flags = 1 where log = 2 and seq = 3", "void", 3},
		"header replaced":    {"update event set header = (select header from event where log = 2 and seq = 1) where log = 2 and seq = 4", "place or prefix", 4},
		"control event lost": {"delete from event where log = 1 and seq = 2", "missing", 2},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				w := newWorld(t)
				thread, _ := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
				for range 3 {
					w.post(w.kobo, w.ben, thread.ID, "Noted.")
				}
				w.post(w.havel, w.jan, thread.ID, "Noted too.")
				feed(t, s, w.c.ID, w.all...)
				var faults []Fault
				note := func(f Fault) { faults = append(faults, f) }
				if n, err := s.Verify(context.Background(), note); n != int64(len(w.all)) || err != nil || faults != nil {
					t.Fatalf("sound: %d of %d events, %v, %v", n, len(w.all), err, faults)
				}
				damage := row.damage
				if s.postgres && damage == flip {
					damage = `update event set content = convert_to(replace(convert_from(content, 'UTF8'), 'leaks', 'drips'), 'UTF8')
						where convert_from(content, 'UTF8') like '%leaks%'`
				}
				breakIt(t, s, damage)
				if _, err := s.Verify(context.Background(), note); err != nil {
					t.Fatal(err)
				}
				if len(faults) == 0 {
					t.Fatal("nothing was found")
				}
				if faults[0].Seq != row.seq || !strings.Contains(faults[0].String(), row.want) {
					t.Errorf("got %v, want %q at %d", faults, row.want, row.seq)
				}
				if faults[0].Log != threads.ControlLog && len(faults) != 1 {
					t.Errorf("faults in sound logs: %v", faults)
				}
			})
		})
	}
}

// breakIt changes the database behind the store's back.
func breakIt(t *testing.T, s *Store, statement string) {
	t.Helper()
	s.pen.Lock()
	defer s.pen.Unlock()
	w, err := s.pinned(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.conn.ExecContext(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}
