// Package pgtest gives tests a real, empty PostgreSQL database with durability as in production.
// It starts one private cluster a test process on a unix socket, in a temporary directory that
// goes with the process, or uses the server that TEST_POSTGRES_URL names. It never replaces
// PostgreSQL by anything else and never touches a database that it did not create.
package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver
)

// serverVariable names a running server's postgres:// URL; its role must be allowed to create databases.
const serverVariable = "TEST_POSTGRES_URL"

// timeout bounds each step against a server: connecting, creating, dropping.
const timeout = 30 * time.Second

// private is the one cluster of this process: a process can end it only by ending, so it cannot
// belong to any one test.
var private = sync.OnceValues(startCluster)

// URL creates an empty database for t and returns its postgres:// URL, sslmode named; the
// database is dropped when t ends, whoever is still connected. Where there is no PostgreSQL,
// t is skipped with what is missing; with CI set in the environment it fails instead.
func URL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(serverVariable)
	if server == "" {
		c, err := private()
		switch {
		case err != nil && os.Getenv("CI") != "":
			t.Fatalf("PostgreSQL for tests: %v", err)
		case err != nil:
			t.Skipf("PostgreSQL for tests: %v", err)
		}
		server = c.url
	}
	address, err := url.Parse(server)
	if err != nil || address.Scheme != "postgres" || !address.Query().Has("sslmode") {
		t.Fatalf("%s is not a postgres:// URL that names sslmode", serverVariable)
	}
	name := "meridian_test_" + strings.ToLower(rand.Text())
	if err := execute(server, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	address.Path = "/" + name
	return address.String()
}

// execute runs one statement on a connection of its own.
func execute(server, statement string) error {
	db, err := sql.Open("postgres", server)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	return err
}
