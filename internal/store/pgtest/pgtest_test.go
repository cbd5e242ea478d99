package pgtest

import (
	"bufio"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"
)

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestEachTestGetsAnEmptyDurableDatabaseOfItsOwn(t *testing.T) {
	a, b := open(t, URL(t)), open(t, URL(t))
	if _, err := a.Exec("CREATE TABLE mine (n int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Exec("SELECT n FROM mine"); err == nil {
		t.Error("one test's table shows in another's database")
	}
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := a.QueryRow("SELECT current_setting($1)", setting).Scan(&value); err != nil || value != "on" {
			t.Errorf("%s = %q, %v", setting, value, err)
		}
	}
}

func TestTheDatabaseGoesWithItsTestThoughConnected(t *testing.T) {
	var address string
	var left *sql.DB
	t.Run("user", func(t *testing.T) {
		address = URL(t)
		var err error
		if left, err = sql.Open("postgres", address); err != nil {
			t.Fatal(err)
		}
		if err := left.Ping(); err != nil {
			t.Fatal(err)
		}
	})
	defer left.Close()
	if err := open(t, address).Ping(); err == nil {
		t.Error("the database is still there")
	}
}

// asChild makes this test binary a process that prints its database's URL and waits to be killed.
const asChild = "PGTEST_AS_CHILD"

func TestTheClusterDoesNotOutliveAKilledTestProcess(t *testing.T) {
	if os.Getenv(serverVariable) != "" {
		t.Skipf("%s is set: no private cluster is started", serverVariable)
	}
	if os.Getenv(asChild) != "" {
		os.Stdout.WriteString("url " + URL(t) + "\n")
		time.Sleep(time.Minute)
		return
	}
	URL(t) // skips where there is no PostgreSQL
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), asChild+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	if err != nil {
		t.Fatalf("the child said %q: %v", line, err)
	}
	address, err := url.Parse(line[len("url ") : len(line)-1])
	if err != nil {
		t.Fatal(err)
	}
	dir := address.Query().Get("host")
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
	}
}
