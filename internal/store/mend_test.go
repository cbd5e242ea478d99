package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

// scrub walks through all logs once, mending each fault by what the member would
// send, and returns the faults with what became of them.
func scrub(t *testing.T, s *Store, member []*threads.Event) (found []string) {
	t.Helper()
	walk, last := s.Scrubber(), Fault{}
	for {
		page, err := walk.Next(context.Background(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if f := page.Fault; f != nil {
			var run []*threads.Event
			for _, e := range member {
				if e.Header.LogID() == f.Log && e.Header.Seq >= f.Seq {
					run = append(run, e)
				}
			}
			mended, _, err := s.Mend(context.Background(), *f, Remedy{From: run, At: testNow, Last: true})
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, fmt.Sprintf("%s %d %v", f.Kind, f.Seq, mended))
			if mended && *f != last {
				last = *f
				walk.Back(f)
			}
		}
		if page.Ended {
			return found
		}
	}
}

// harbour is a channel of two servers' logs in a store; log 1 is the control
// log, 2 kobo's and 3 havel's.
func harbour(t *testing.T, s *Store) *world {
	w := newWorld(t)
	thread, first := w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
	for i := range 4 {
		w.post(w.kobo, w.ben, thread.ID, fmt.Sprint("Noted ", i))
	}
	w.do(w.kobo, w.ana, threads.Edit{Channel: w.c.ID, Target: first.ID, Body: "It leaks badly."})
	for i := range 4 {
		w.post(w.havel, w.jan, thread.ID, fmt.Sprint("Noted too ", i))
	}
	feed(t, s, w.c.ID, w.all...)
	return w
}

func TestWhatIsDamagedIsRepairedFromAMember(t *testing.T) {
	damages := map[string][]string{
		"update event set header = $flip(header) where log = 3 and seq = 2":                                        {"event 2 true"},
		"update event set header = $flip(header) where log = 2 and seq = 1":                                        {"event 1 true"},
		"update event set header = $flip(header) where log = 2 and seq = 7":                                        {"event 7 true"},
		"update event set sig = $flip(sig) where log = 3 and seq = 3":                                              {"event 3 true"},
		"update event set content = $flip(content) where log = 3 and seq = 4":                                      {"content 4 true"},
		"update event set header = $flip(header) where log = 3 and seq in (2, 3)":                                  {"event 2 true"},
		"update event set header = $flip(header) where seq = 2 and log > 1":                                        {"event 2 true", "event 2 true"},
		"update event set hash8 = hash8 + 1 where log = 2 and seq = 3":                                             {"mark 3 true"},
		"update event set flags = 1 where log = 2 and seq = 3":                                                     {"mark 3 true"},
		"delete from event where log = 2 and seq = 3":                                                              {"event 3 true"},
		"delete from event where log = 2 and seq in (1, 2)":                                                        {"event 1 true"},
		"delete from event where log = 2":                                                                          {"event 1 true"},
		"delete from event where log = 3 and seq > 2":                                                              {"event 3 true"},
		"update log set hash = (select hash from log where id = 3) where id = 2":                                   {"head 8 true"},
		"update log set seq = 2 where id = 3":                                                                      {"head 5 true"},
		"update event set header = $flip(header) where log = 1 and seq = 2":                                        {"event 2 true"},
		"update event set content = $flip(content) where log = 1 and seq = 3":                                      {"content 3 true"},
		"delete from event where log = 1 and seq = 4":                                                              {"event 4 true"},
		"update event set header = (select header from event where log = 2 and seq = 1) where log = 2 and seq = 4": {"event 4 true"},
	}
	onEach(t, func(t *testing.T, s *Store) {
		w := harbour(t, s)
		sound, events := dump(t, s, w.c.ID), listed(t, s)
		for damage, want := range damages {
			breakIt(t, s, flipping(s, damage))
			if diff := cmp.Diff(want, scrub(t, s, w.all)); diff != "" {
				t.Errorf("%s: %s", damage, diff)
			}
			if diff := cmp.Diff(events, listed(t, s)); diff != "" {
				t.Errorf("after %s: %s", damage, diff)
			}
			if diff := cmp.Diff(sound, dump(t, s, w.c.ID)); diff != "" {
				t.Fatalf("after %s: %s", damage, diff)
			}
		}
	})
}

// What no member has is named, kept, and asked for; what a member falsely sends is not taken.
func TestWhatNobodyHasIsNamed(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		w := harbour(t, s)
		breakIt(t, s, flipping(s, "update event set content = $flip(content) where log = 3 and seq = 4"))
		breakIt(t, s, flipping(s, "update event set header = $flip(header) where log = 2 and seq = 3"))
		if diff := cmp.Diff([]string{"event 3 false", "content 4 false"}, scrub(t, s, nil)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff([]string{"event 3 false"}, scrub(t, s, nil)); diff != "" {
			t.Fatal(diff)
		}
		if n, err := s.Damaged(context.Background()); n != 2 || err != nil {
			t.Fatalf("%d damaged, %v; want 2", n, err)
		}
		missing, err := s.MissingContents(context.Background(), w.c.ID, 10)
		if err != nil || len(missing) != 1 {
			t.Fatalf("missing: %v, %v", missing, err)
		}
		refill(t, s, w)
		if diff := cmp.Diff([]string{"event 3 true"}, scrub(t, s, w.all)); diff != "" {
			t.Fatal(diff)
		}
		if n, err := s.Damaged(context.Background()); n != 0 || err != nil {
			t.Fatalf("%d damaged, %v; want none", n, err)
		}
		var found int
		for _, line := range audited(t, s) {
			if containsAll(line, "damage.found", w.c.ID) {
				found++
			}
		}
		if found != 2 {
			t.Errorf("%d findings in the audit log, want 2: %v", found, audited(t, s))
		}
	})
}

// A member that sends another history of the log changes nothing here.
func TestNothingIsRepairedThatTheChainDoesNotName(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		w := harbour(t, s)
		fork := newWorld(t)
		fork.thread(fork.havel, fork.jan, "Other", "Other.")
		breakIt(t, s, flipping(s, "update event set header = $flip(header) where log = 3 and seq = 2"))
		before := listed(t, s)
		for what, run := range map[string][]*threads.Event{
			"another channel's": fork.all, "events out of place": w.all[len(w.all)-1:], "none": nil,
		} {
			mended, _, err := s.Mend(context.Background(), Fault{Channel: w.c.ID, Log: w.all[len(w.all)-1].Header.LogID(), Seq: 2, Kind: FaultEvent},
				Remedy{From: run, At: testNow})
			if mended || err != nil {
				t.Errorf("%s: mended %v, %v", what, mended, err)
			}
		}
		if diff := cmp.Diff(before, listed(t, s)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAWalkGoesOnAfterARestart(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w := harbour(t, s)
		walk, began, err := s.ResumeScrub(ctx)
		if err != nil || !began.IsZero() || !walk.Fresh() {
			t.Fatal(began, err)
		}
		var events int64
		for range 2 {
			page, err := walk.Next(ctx, 2)
			if err != nil || page.Fault != nil {
				t.Fatal(page, err)
			}
			events += page.Events
		}
		if err := s.SaveScrub(ctx, walk, testNow); err != nil {
			t.Fatal(err)
		}
		walk, began, err = s.ResumeScrub(ctx)
		if err != nil || !began.Equal(testNow) || walk.Fresh() {
			t.Fatal(began, err)
		}
		control := int64(len(w.control))
		events -= control // which is read again
		for page := (Scrubbed{}); !page.Ended; {
			if page, err = walk.Next(ctx, 2); err != nil || page.Fault != nil {
				t.Fatal(page, err)
			}
			events += page.Events
		}
		if events != int64(len(w.all)) {
			t.Errorf("%d events were looked at, of %d", events, len(w.all))
		}
	})
}

// flipping has the database write $flip(x), the bytes of x with those about the
// 30th changed.
func flipping(s *Store, statement string) string {
	flip := "unhex(substr(hex(%), 1, 58) || '5859' || substr(hex(%), 63))"
	if s.postgres {
		flip = "set_byte(%, 29, get_byte(%, 29) # 1)"
	}
	before, rest, found := strings.Cut(statement, "$flip(")
	if !found {
		return statement
	}
	name, after, _ := strings.Cut(rest, ")")
	return before + strings.ReplaceAll(flip, "%", name) + after
}

// listed is every event as it lies in the database.
func listed(t *testing.T, s *Store) (events []string) {
	t.Helper()
	err := s.each(context.Background(), func(rows *sql.Rows) error {
		var pos, log, seq, prefix, flags int64
		var header, sig, content []byte
		err := rows.Scan(&pos, &log, &seq, &prefix, &flags, &header, &sig, &content)
		events = append(events, fmt.Sprintf("%d %d %d %d %d %s %x %s", pos, log, seq, prefix, flags, header, sig, content))
		return err
	}, "select pos, log, seq, hash8, flags, header, sig, content from event order by log, seq")
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
