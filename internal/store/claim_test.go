package store

import (
	"strings"
	"testing"

	"meridian/internal/store/pgtest"
)

func TestOnlyOneServerRunsOnAPostgreSQLDatabase(t *testing.T) {
	url := pgtest.URL(t)
	open := func() *Store {
		s, err := Open(t.Context(), Options{URL: url, Server: "kobo.example"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second := open(), open()
	defer second.Close()
	if err := first.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Claim(t.Context()); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Fatalf("a second claim: %v, want a refusal", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Claim(t.Context()); err != nil {
		t.Errorf("a claim after the first server closed: %v", err)
	}
}
