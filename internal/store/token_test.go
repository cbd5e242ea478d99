package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

func addToken(t testing.TB, s *Store, person, id, secret string) threads.Token {
	t.Helper()
	token := threads.Token{ID: id, Person: person, Label: "laptop", Created: testNow, Expires: testNow.Add(time.Hour)}
	if err := s.AddToken(context.Background(), token, secret); err != nil {
		t.Fatal(err)
	}
	return token
}

func TestABearerActsUntilExpiryOrRevocation(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana := createPerson(t, s, "ana", 1)
		addToken(t, s, ana.ID, "t1", "secret one")
		addToken(t, s, ana.ID, "t2", "secret two")
		got, id, err := s.PersonByToken(ctx, "secret one", testNow)
		if err != nil || id != "t1" || !cmp.Equal(got, ana) {
			t.Fatalf("%s %v %s", id, err, cmp.Diff(ana, got))
		}
		for _, wrong := range []string{"", "secret", "secret one "} {
			_, _, err = s.PersonByToken(ctx, wrong, testNow)
			wantRefusal(t, err, threads.NotFound, "not_found")
		}
		_, _, err = s.PersonByToken(ctx, "secret one", testNow.Add(time.Hour))
		wantRefusal(t, err, threads.NotFound, "not_found")
		if err := s.RevokeToken(ctx, ana.ID, "t1", threads.Act{}); err != nil {
			t.Fatal(err)
		}
		_, _, err = s.PersonByToken(ctx, "secret one", testNow)
		wantRefusal(t, err, threads.NotFound, "not_found")
		if _, _, err = s.PersonByToken(ctx, "secret two", testNow); err != nil {
			t.Errorf("the other token: %v", err)
		}
	})
}

func TestTheUseOfATokenIsKnownToTheDayOnly(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana := createPerson(t, s, "ana", 1)
		want := addToken(t, s, ana.ID, "t1", "secret")
		if _, _, err := s.PersonByToken(ctx, "secret", testNow.Add(13*time.Minute)); err != nil {
			t.Fatal(err)
		}
		want.LastUsed = testNow.Truncate(24 * time.Hour)
		tokens, next, err := s.Tokens(ctx, ana.ID, threads.Page{})
		if err != nil || next != "" || !cmp.Equal(tokens, []threads.Token{want}) {
			t.Errorf("%v %s", err, cmp.Diff([]threads.Token{want}, tokens))
		}
	})
}

func TestNobodyRevokesATokenOfAnother(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana, bob := createPerson(t, s, "ana", 1), createPerson(t, s, "bob", 2)
		addToken(t, s, ana.ID, "t1", "secret")
		wantRefusal(t, s.RevokeToken(ctx, bob.ID, "t1", threads.Act{}), threads.NotFound, "not_found")
		if _, _, err := s.PersonByToken(ctx, "secret", testNow); err != nil {
			t.Error(err)
		}
	})
}

func TestDisablingAndANewPasswordEndAllSessions(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana := createPerson(t, s, "ana", 1)
		for name, end := range map[string]func() error{
			"password": func() error { return s.SetPassword(ctx, ana.ID, "$argon2id$new") },
			"disable":  func() error { return s.Disable(ctx, ana.ID, testAct) },
		} {
			if err := s.Enable(ctx, ana.ID, testAct); err != nil {
				t.Fatal(err)
			}
			addToken(t, s, ana.ID, "t1", "secret")
			if err := end(); err != nil {
				t.Fatal(name, err)
			}
			_, _, err := s.PersonByToken(ctx, "secret", testNow)
			wantRefusal(t, err, threads.NotFound, "not_found")
			if tokens, _, err := s.Tokens(ctx, ana.ID, threads.Page{}); err != nil || len(tokens) != 0 {
				t.Errorf("%s: tokens left: %v %v", name, tokens, err)
			}
		}
		if err := s.Disable(ctx, ana.ID, testAct); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, s.AddToken(ctx, threads.Token{ID: "t2", Person: ana.ID, Created: testNow}, "more"), threads.NotFound, "not_found")
		wantRefusal(t, s.Disable(ctx, testID("havel.example", 1), testAct), threads.NotFound, "not_found")
	})
}

// T52: whoever changes their password ends their sessions everywhere else.
func TestChangingAPasswordLeavesThisSessionAndPrograms(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana, bob := createPerson(t, s, "ana", 1), createPerson(t, s, "bob", 2)
		addToken(t, s, ana.ID, "t1", "here")
		addToken(t, s, ana.ID, "t2", "elsewhere")
		addToken(t, s, bob.ID, "t3", "another's")
		err := s.AddToken(ctx, threads.Token{ID: "t4", Person: ana.ID, Bot: true, Created: testNow}, "program")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.ChangePassword(ctx, ana.ID, "$argon2id$new", "t1"); err != nil {
			t.Fatal(err)
		}
		for secret, want := range map[string]bool{"here": true, "elsewhere": false, "another's": true, "program": true} {
			if _, _, err := s.PersonByToken(ctx, secret, testNow); (err == nil) != want {
				t.Errorf("%s: %v", secret, err)
			}
		}
		if _, phc, err := s.Credentials(ctx, "ana"); err != nil || phc != "$argon2id$new" {
			t.Errorf("%q, %v", phc, err)
		}
	})
}

func TestNoSecretStandsInTheDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ana := createPerson(t, s, "ana", 1)
		addToken(t, s, ana.ID, "t1", "the secret")
		var found int
		err := s.readers.Get(&found, s.bind(`SELECT COUNT(*) FROM token WHERE hash = ? OR id = ? OR label = ?`), []byte("the secret"), "the secret", "the secret")
		if err != nil || found != 0 {
			t.Errorf("%d rows hold the secret, %v", found, err)
		}
	})
}
