package sim_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"flag"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/federation"
	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/server"
)

var migrations = flag.Int("process.migrations", 3, "how often the program is killed while it migrates, on each kind of database")

// T64: the program is killed while it brings a database of the first
// version up to date, at any moment of the time that it takes, and each time the
// next start goes on.
func TestAMigrationThatIsKilledGoesOn(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for name, database := range map[string]func(dir string) string{
		"SQLite":     func(dir string) string { return "sqlite:" + filepath.Join(dir, "meridian.db") },
		"PostgreSQL": func(string) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			killed, most := 0, time.Minute
			for round := range *migrations + 1 { // the first is left alone, and measured
				url, dir := database(t.TempDir()), t.TempDir()
				old(t, url)
				configure(t, dir)
				run := func(ctx context.Context) *exec.Cmd {
					c := exec.CommandContext(ctx, path, "verify", "--config", filepath.Join(dir, "meridian.yaml"))
					c.Env = append(os.Environ(), "MERIDIAN_DATABASE="+url)
					return c
				}
				begun, life := time.Now(), most
				if round > 0 {
					life = mathrand.N(most)
				}
				ctx, cancel := context.WithTimeout(t.Context(), life)
				if run(ctx).Run() != nil {
					killed++
				}
				cancel()
				if round == 0 {
					most = time.Since(begun)
				}
				if said, err := run(t.Context()).CombinedOutput(); err != nil {
					t.Fatalf("the start after a kill: %v: %s", err, said)
				}
			}
			t.Logf("%d of %d starts, of %v each, were killed", killed, *migrations, most)
			if killed == 0 {
				t.Error("no start was killed")
			}
		})
	}
}

// T64: what a newer program has migrated an older one leaves alone, and says so
// in one line.
func TestADatabaseOfANewerProgramIsRefused(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	configure(t, dir)
	file := filepath.Join(dir, "newer.db")
	old(t, "sqlite:"+file)
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("insert into goose_db_version (version_id, is_applied) values (9999, true)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "serve", "--config", filepath.Join(dir, "meridian.yaml"))
	c.Env = append(os.Environ(), "MERIDIAN_DATABASE=sqlite:"+file)
	said, err := c.CombinedOutput()
	if err == nil || bytes.Count(said, []byte("\n")) != 1 || !strings.Contains(string(said), "newer version of this program") {
		t.Errorf("%v: %s", err, said)
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the database was changed, %v", err)
	}
}

// old makes a database as the first version of the program left it.
func old(t *testing.T, url string) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URL: url, Schema: 4})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// configure writes the configuration and the key of a server that never runs.
func configure(t *testing.T, dir string) {
	t.Helper()
	var file bytes.Buffer
	err := config.WriteDefault(&file, "http://127.0.0.1:9", dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "meridian.yaml"), file.Bytes(), 0o600)
	}
	if err == nil {
		_, err = federation.CreateKey(server.KeyFile(dir), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
}
