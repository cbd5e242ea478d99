package store

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meridian/internal/store/pgtest"
	"meridian/threads"
	"meridian/threads/journal"
)

func copyInto(t *testing.T, to, from *Store) error {
	t.Helper()
	ctx := context.Background()
	err := to.Import(ctx, func(put func(Rows) error) error {
		_, err := from.Export(ctx, put)
		return err
	})
	if err != nil {
		return err
	}
	return to.Index(ctx)
}

// lived is what a server leaves in a database: people, partners, what they
// decided, and histories of channels with removals and erasures.
func lived(t *testing.T, s *Store) []threads.Hash {
	t.Helper()
	ana := createPerson(t, s, "ana", 1)
	addToken(t, s, ana.ID, "t1", "secret")
	p := threads.Partner{Name: "havel.example", State: threads.PartnerAllowed, Key: threads.Key{ID: "k", Public: make([]byte, 32)}, Added: testNow}
	if err := s.SavePartner(context.Background(), p, testAct); err != nil {
		t.Fatal(err)
	}
	var channels []threads.Hash
	worlds := rapid.Custom(func(t *rapid.T) *world {
		w := history(t)
		replicate(t, s, w)
		return w
	})
	for i := range 6 {
		channels = append(channels, worlds.Example(i).c.ID)
	}
	return append(channels, forked(t, s))
}

// forked is a channel in the database of which a partner has shown two histories.
func forked(t *testing.T, s *Store) threads.Hash {
	t.Helper()
	w := newWorld(t)
	w.draft(w.havel, draftOf(w.jan, "To all."))
	feed(t, s, w.c.ID, w.all...)
	same := w.c.Clone()
	one := w.draft(w.havel, draftOf(w.jan, "To some."))
	w.c = same
	other := w.draft(w.havel, draftOf(w.jan, "To others."))
	proof, ok := threads.NewFork(one, other)
	if !ok {
		t.Fatal("no fork")
	}
	err := s.Write(context.Background(), func(tx journal.Tx) error {
		c, err := tx.Channel(same.ID)
		if err != nil {
			return err
		}
		c = c.Clone()
		last, err := tx.Last()
		if err != nil || !c.TakeFork(proof) {
			t.Errorf("the proof is not taken: %v", err)
		}
		return tx.KeepFork(c, last+1, threads.ForkSight{Fork: proof, Found: testNow})
	})
	if err != nil {
		t.Fatal(err)
	}
	return same.ID
}

func draftOf(actor, body string) threads.Draft {
	m := threads.Message{Thread: threads.HashOf([]byte("somewhere")), Body: body}
	return threads.Draft{Type: threads.TypeMessagePosted, Actor: actor, Content: threads.AppendMessage(nil, &m, threads.HashOf([]byte(body))[:22])}
}

// proofs are those of forks that the database holds, and where the channel's logs end for them.
func proofs(t *testing.T, s *Store, channel threads.Hash) (all []threads.ForkSight, at threads.ForkAt) {
	t.Helper()
	all, _, err := s.Proofs(context.Background(), threads.Page{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d proofs of forks, %v; want one", len(all), err)
	}
	c, err := s.Channel(context.Background(), channel)
	if err != nil {
		t.Fatal(err)
	}
	return all, c.ForkOf(all[0].Ref().LogID)
}

func TestACopyIsEqualWhicheverWayItGoes(t *testing.T) {
	ctx := context.Background()
	sqlite := func() *Store { return openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), testServer) }
	postgres := func() *Store { return openTest(t, pgtest.URL(t), testServer) }
	first := sqlite()
	channels := lived(t, first)
	from := first
	for _, to := range []*Store{postgres(), postgres(), sqlite(), sqlite()} {
		if err := copyInto(t, to, from); err != nil {
			t.Fatal(err)
		}
		for _, id := range channels {
			if diff := cmp.Diff(dump(t, first, id), dump(t, to, id)); diff != "" {
				t.Errorf("channel %s: %s", id, diff)
			}
			want, _ := first.StateHash(ctx, id)
			if got, err := to.StateHash(ctx, id); err != nil || got.Hash != want.Hash {
				t.Errorf("state of %s: %s, %v; want %s", id, got.Hash, err, want.Hash)
			}
		}
		wantProofs, wantFork := proofs(t, first, channels[len(channels)-1])
		gotProofs, gotFork := proofs(t, to, channels[len(channels)-1])
		if diff := cmp.Diff(wantProofs, gotProofs) + cmp.Diff(wantFork, gotFork); diff != "" {
			t.Errorf("proofs of forks: %s", diff)
		}
		if _, err := to.Verify(ctx, func(f Fault) { t.Error(f) }); err != nil {
			t.Error(err)
		}
		if _, fault, err := to.VerifyAudit(ctx); fault != nil || err != nil {
			t.Error(fault, err)
		}
		if _, id, err := to.PersonByToken(ctx, "secret", testNow); id != "t1" || err != nil {
			t.Errorf("the token is %q, %v", id, err)
		}
		from = to
	}
	// What is written after a copy takes numbers of its own.
	createPerson(t, from, "ben", 2)
	w := newWorld(t)
	w.thread(w.kobo, w.ana, "Pump 3", "It leaks.")
	feed(t, from, w.c.ID, w.all...)
}

// Where much is copied, the rows of a table may be long in coming, and the comparison of what was
// copied is too.
func TestADatabaseIsFilledByWhoTakesLongerThanThePenMay(t *testing.T) {
	t.Parallel()
	to := openTest(t, pgtest.URL(t), testServer)
	from := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), testServer)
	createPerson(t, from, "ana", 1)
	err := to.Import(context.Background(), func(put func(Rows) error) error {
		_, err := from.Export(context.Background(), put)
		time.Sleep((penIdleTimeout + 500) * time.Millisecond)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Person(context.Background(), testID(testServer, 1)); err != nil {
		t.Error(err)
	}
}

func TestADatabaseInUseIsNotFilled(t *testing.T) {
	onEach(t, func(t *testing.T, to *Store) {
		from := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), testServer)
		createPerson(t, from, "ana", 1)
		createPerson(t, to, "ben", 2)
		err := copyInto(t, to, from)
		if !errors.Is(err, ErrNotEmpty) {
			t.Fatal(err)
		}
		if _, err := to.Person(context.Background(), testID(testServer, 2)); err != nil {
			t.Error(err)
		}
	})
}

func TestAnImportThatFailsLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, to *Store) {
		from := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), testServer)
		lived(t, from)
		failed := errors.New("the archive ends here")
		parts := 0
		err := to.Import(context.Background(), func(put func(Rows) error) error {
			_, err := from.Export(context.Background(), func(rows Rows) error {
				if parts++; parts > 8 {
					return failed
				}
				return put(rows)
			})
			return err
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if err := copyInto(t, to, from); err != nil {
			t.Errorf("after an import that failed: %v", err)
		}
	})
}

// A table that one kind of database has and the other lacks, or a column of
// another kind, could not be copied.
func TestBothKindsOfDatabaseHaveTheSameTables(t *testing.T) {
	type shape struct{ Name, Kind string }
	shapes := map[bool]map[string][]shape{}
	onEach(t, func(t *testing.T, s *Store) {
		tables, err := s.tables(context.Background(), s.readers)
		if err != nil {
			t.Fatal(err)
		}
		shapes[s.postgres] = map[string][]shape{}
		for _, table := range tables {
			var columns []shape
			for _, c := range table.columns {
				columns = append(columns, shape{c.name, c.kind})
			}
			slices.SortFunc(columns, func(a, b shape) int { return strings.Compare(a.Name, b.Name) })
			shapes[s.postgres][table.name] = columns
		}
	})
	if diff := cmp.Diff(shapes[false], shapes[true]); diff != "" || len(shapes[true]) < 20 {
		t.Errorf("%d tables: %s", len(shapes[true]), diff)
	}
}
