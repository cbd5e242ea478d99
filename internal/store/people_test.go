package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

var testNow = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

var testAct = threads.Act{Who: threads.ByAdmin, At: testNow}

// testID is the id of the nth person of a server.
func testID(server string, n byte) string { return threads.PersonID(server, [16]byte{15: n}) }

func createPerson(t testing.TB, s *Store, name string, n byte) threads.PersonRecord {
	t.Helper()
	p, err := s.CreatePerson(context.Background(), threads.NewPerson{
		ID: testID(testServer, n), Name: name, Shown: "The " + name, Password: "$argon2id$" + name,
		Zone: "Asia/Tokyo", Created: testNow,
	})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return p
}

// wantRefusal fails t unless err is a refusal of that kind and code.
func wantRefusal(t testing.TB, err error, kind threads.Kind, code string) {
	t.Helper()
	var refused *threads.Error
	if !errors.As(err, &refused) || refused.Kind != kind || refused.Code != code {
		t.Errorf("got %v, want refusal %s", err, code)
	}
}

func TestAPersonIsFoundByIDNameAndAddress(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		want := threads.PersonRecord{
			ID: testID(testServer, 1), Address: "ana@kobo.example", Name: "The ana", Zone: "Asia/Tokyo",
			Server: testServer, Local: true, Created: testNow, Version: testNow.UnixMilli(),
		}
		if got := createPerson(t, s, "ana", 1); !cmp.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
		for _, address := range []string{"ana@kobo.example", "ANA@Kobo.example"} {
			if got, err := s.PersonByAddress(ctx, address); err != nil || !cmp.Equal(got, want) {
				t.Errorf("by %s: %v %s", address, err, cmp.Diff(want, got))
			}
		}
		got, phc, err := s.Credentials(ctx, "Ana")
		if err != nil || phc != "$argon2id$ana" || !cmp.Equal(got, want) {
			t.Errorf("credentials: %q %v %s", phc, err, cmp.Diff(want, got))
		}
		for _, wrong := range []string{"", "bob@kobo.example", "a\x00", "\xff", "ana@havel.example"} {
			_, err := s.PersonByAddress(ctx, wrong)
			wantRefusal(t, err, threads.NotFound, "not_found")
			_, err = s.Person(ctx, wrong)
			wantRefusal(t, err, threads.NotFound, "not_found")
			_, _, err = s.Credentials(ctx, wrong)
			wantRefusal(t, err, threads.NotFound, "not_found")
		}
	})
}

func TestANameIsGivenOnceAndInOneSpelling(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		createPerson(t, s, "ana", 1)
		_, err := s.CreatePerson(context.Background(), threads.NewPerson{ID: testID(testServer, 2), Name: "ana", Created: testNow})
		wantRefusal(t, err, threads.Conflict, "name_taken")
		for _, name := range []string{"", "Ana", "anä", "a b", "-a", "a.", "a@b", "a\n", string(make([]byte, 65))} {
			_, err := s.CreatePerson(context.Background(), threads.NewPerson{ID: testID(testServer, 3), Name: name, Created: testNow})
			wantRefusal(t, err, threads.Invalid, "invalid")
		}
		if _, err := s.Person(context.Background(), testID(testServer, 2)); err == nil {
			t.Error("a person who was refused is known")
		}
	})
}

// T71: names of people of one organisation are told apart by people too. They are ASCII in lower case, so the
// other spellings of a letter are no names at all.
func TestANameIsNotGivenToWhomPeopleTakeForAnother(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for i, name := range []string{"mila", "ella", "oslo", "www", "bo0k"} {
			createPerson(t, s, name, byte(i))
		}
		create := func(name string) error {
			_, err := s.CreatePerson(context.Background(), threads.NewPerson{ID: testID(testServer, 9), Name: name, Created: testNow})
			return err
		}
		for _, name := range []string{"rnila", "mi1a", "e1la", "el1a", "0slo", "osl0", "0s10", "vvvvvv", "vvww", "wvvw", "book", "b0ok"} {
			wantRefusal(t, create(name), threads.Conflict, "confusable")
		}
		for _, name := range []string{"а", "mіla", "ella\u200d", "e\u0301lla", "Ella", "ｅlla", "straße", "ıda"} {
			wantRefusal(t, create(name), threads.Invalid, "invalid")
		}
		if err := create("elia"); err != nil { // who is somebody else
			t.Error(err)
		}
	})
}

func TestPeopleAreListedPageByPage(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		var want []string
		for n := range byte(7) {
			name := fmt.Sprintf("p%d", n)
			want = append(want, createPerson(t, s, name, n).ID)
		}
		var got []string
		page := threads.Page{Limit: 3}
		for pages := 1; ; pages++ {
			people, next, err := s.People(ctx, page)
			if err != nil || len(people) > 3 || pages > 3 {
				t.Fatalf("page %d: %d people, %v", pages, len(people), err)
			}
			for _, p := range people {
				got = append(got, p.ID)
			}
			if page.After = next; next == "" {
				break
			}
		}
		if !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
		for _, cursor := range []string{"%", "x y", cursorAfter("a", "b"), cursorAfter("\x00"), cursorAfter("\xff")} {
			_, _, err := s.People(ctx, threads.Page{After: cursor})
			wantRefusal(t, err, threads.Invalid, "bad_cursor")
		}
		known, err := s.PeopleByID(ctx, append(want, "nobody"))
		if err != nil || len(known) != 7 || known[want[2]].Address != "p2@kobo.example" {
			t.Errorf("by id: %v %v", known, err)
		}
	})
}

func TestAProfileChangesOnlyAtItsVersion(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana := createPerson(t, s, "ana", 1)
		shown, hours, digest := "Ana N.", `{"mon":[]}`, `["09:00"]`
		got, err := s.ChangeProfile(ctx, threads.ProfileChange{Person: ana.ID, Version: ana.Version, Shown: &shown, Hours: &hours, Now: testNow})
		want := ana
		want.Name, want.Hours, want.Version = shown, hours, ana.Version+1
		if err != nil || !cmp.Equal(got, want) {
			t.Fatalf("%v %s", err, cmp.Diff(want, got))
		}
		_, err = s.ChangeProfile(ctx, threads.ProfileChange{Person: ana.ID, Version: ana.Version, Digest: &digest, Now: testNow})
		wantRefusal(t, err, threads.Conflict, "stale")
		later := testNow.Add(time.Hour)
		got, err = s.ChangeProfile(ctx, threads.ProfileChange{Person: ana.ID, Digest: &digest, Now: later})
		want.Digest, want.Version = digest, later.UnixMilli()
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
		empty := " "
		_, err = s.ChangeProfile(ctx, threads.ProfileChange{Person: ana.ID, Shown: &empty, Now: later})
		wantRefusal(t, err, threads.Invalid, "required")
	})
}

func TestTheNewestProfileOfARemotePersonCounts(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		bob := threads.PersonRecord{
			ID: testID("havel.example", 1), Address: "bob@havel.example", Name: "Bob", Zone: "Europe/Berlin",
			Server: "havel.example", Hours: "{}", Version: 7,
		}
		if newer, err := s.LearnProfile(ctx, bob); err != nil || !newer {
			t.Fatal(newer, err)
		}
		older := bob
		older.Name, older.Version = "Robert", 6
		if newer, err := s.LearnProfile(ctx, older); err != nil || newer {
			t.Error("an older profile was taken", err)
		}
		if got, err := s.PersonByAddress(ctx, bob.Address); err != nil || !cmp.Equal(got, bob) {
			t.Errorf("%v %s", err, cmp.Diff(bob, got))
		}
		other := bob
		other.ID, other.Version = testID("havel.example", 2), 1
		if _, err := s.LearnProfile(ctx, other); err != nil {
			t.Fatal(err)
		}
		if got, err := s.PersonByAddress(ctx, bob.Address); err != nil || got.ID != other.ID {
			t.Errorf("the address stays with %s, %v", got.ID, err)
		}
		if got, err := s.Person(ctx, bob.ID); err != nil || got.Address != "" || got.Name != "Bob" {
			t.Errorf("who lost the address is %v, %v", got, err)
		}
	})
}

func TestAServerSpeaksForItsOwnPeopleAlone(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana := createPerson(t, s, "ana", 1)
		good := threads.PersonRecord{ID: testID("havel.example", 1), Address: "bob@havel.example", Name: "Bob", Version: 1}
		for name, change := range map[string]func(*threads.PersonRecord){
			"no id":            func(p *threads.PersonRecord) { p.ID = "bob" },
			"foreign address":  func(p *threads.PersonRecord) { p.Address = "ana@kobo.example" },
			"no name":          func(p *threads.PersonRecord) { p.Address = "@havel.example" },
			"no version":       func(p *threads.PersonRecord) { p.Version = 0 },
			"U+0000":           func(p *threads.PersonRecord) { p.Name = "a\x00" },
			"long shown name":  func(p *threads.PersonRecord) { p.Name = string(make([]byte, maxShown+1)) },
			"a person of ours": func(p *threads.PersonRecord) { *p = ana; p.Version++ },
		} {
			p := good
			change(&p)
			var refused *threads.Error
			if _, err := s.LearnProfile(ctx, p); !errors.As(err, &refused) {
				t.Errorf("%s: got %v, want a refusal", name, err)
			}
		}
		if got, err := s.PersonByAddress(ctx, "ana@kobo.example"); err != nil || !cmp.Equal(got, ana) {
			t.Errorf("%v %s", err, cmp.Diff(ana, got))
		}
	})
}
