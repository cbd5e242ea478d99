package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
	"meridian/threads/journal"
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := first.Write(ctx, func(journal.Tx) error { return nil }); err != nil || ctx.Err() != nil {
		t.Fatalf("write under the claim: %v", err)
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
