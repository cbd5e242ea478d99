package pgtest

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/internal/loopback"
)

// Pair are two PostgreSQL clusters on loopback, the second a standby that the
// first replicates to synchronously: a commit is confirmed once both have it.
type Pair struct {
	// URL leads to whichever is the primary.
	URL string

	t       testing.TB
	bin     string
	dir     string
	owner   *syscall.Credential
	proxy   *Proxy
	primary *member
	standby *member
	made    int
}

// member is one cluster of a pair.
type member struct {
	data    string
	address string
	alive   io.Closer // closing it ends the cluster
	ended   chan struct{}
}

// pairKeeper starts PostgreSQL with the arguments after the second, and ends it
// when the test process ends.
const pairKeeper = `log="$1"; shift
"$@" >"$log" 2>&1 &
cat >/dev/null
kill -QUIT $! 2>/dev/null
wait $!`

// NewPair starts a pair that lives until t ends.
func NewPair(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{t: t}
	var err error
	if p.bin, err = binaries(); err == nil {
		p.owner, err = unprivileged()
	}
	if err != nil {
		t.Skipf("PostgreSQL for tests: %v", err)
	}
	if p.dir, err = os.MkdirTemp("", "meridian-pair-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, m := range []*member{p.primary, p.standby} {
			if m != nil {
				m.end()
			}
		}
		if err := os.RemoveAll(p.dir); err != nil {
			t.Error(err)
		}
	})
	if p.owner != nil {
		if err := os.Chown(p.dir, int(p.owner.Uid), int(p.owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	first := p.member()
	p.run("initdb", "-D", first.data, "-U", role, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	p.primary = first
	p.start(first)
	var through string
	p.proxy, through = NewProxy(t, p.direct(first))
	p.URL = through
	p.Replicate()
	return p
}

func (p *Pair) member() *member {
	p.t.Helper()
	address, err := loopback.Address()
	if err != nil {
		p.t.Fatal(err)
	}
	p.made++
	return &member{data: filepath.Join(p.dir, "data"+strconv.Itoa(p.made)), address: address}
}

func (p *Pair) run(program string, arguments ...string) {
	p.t.Helper()
	command := exec.Command(filepath.Join(p.bin, program), arguments...)
	command.Dir, command.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.owner}
	if said, err := command.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", program, err, said)
	}
}

// start runs a cluster and waits until it answers.
func (p *Pair) start(m *member) {
	p.t.Helper()
	host, port, _ := strings.Cut(m.address, ":")
	keep := exec.Command("/bin/sh", "-c", pairKeeper, "keeper", m.data+".log",
		filepath.Join(p.bin, "postgres"), "-D", m.data, "-h", host, "-p", port, "-k", p.dir,
		"-c", "shared_buffers=32MB", "-c", "max_connections=100", "-c", "wal_keep_size=64MB", "-c", "fsync=on", "-c", "synchronous_commit=on")
	keep.Dir, keep.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.owner, Setsid: true}
	var err error
	if m.alive, err = keep.StdinPipe(); err == nil {
		err = keep.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	m.ended = make(chan struct{})
	go func() {
		_ = keep.Wait() // how it ended does not matter
		close(m.ended)
	}()
	if err := answers(p.direct(m)); err != nil {
		log, _ := os.ReadFile(m.data + ".log")
		p.t.Fatalf("PostgreSQL did not start: %v\n%s", err, log)
	}
}

func (m *member) end() {
	_ = m.alive.Close()
	<-m.ended
}

func (p *Pair) direct(m *member) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: m.address, Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// Replicate gives the primary a new standby, and returns once every commit waits
// for it.
func (p *Pair) Replicate() {
	p.t.Helper()
	m := p.member()
	host, port, _ := strings.Cut(p.primary.address, ":")
	p.run("pg_basebackup", "-h", host, "-p", port, "-U", role, "-D", m.data, "-X", "stream", "-R", "-c", "fast", "--no-sync")
	p.standby = m
	p.start(m)
	p.must(p.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	p.must(p.primary, "SELECT pg_reload_conf()")
	p.until("replicated", p.primary, "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming')")
}

// FailOver kills the primary, promotes the standby and leads to it. It returns
// how long nobody was primary.
func (p *Pair) FailOver() time.Duration {
	p.t.Helper()
	file, err := os.ReadFile(filepath.Join(p.primary.data, "postmaster.pid"))
	if err != nil {
		p.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(file), "\n")
	pid, err := strconv.Atoi(first)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	begun := time.Now()
	old := p.primary
	p.primary, p.standby = p.standby, nil
	// What the old one's setting says of standbys was copied with it.
	p.must(p.primary, "ALTER SYSTEM RESET synchronous_standby_names")
	p.must(p.primary, "SELECT pg_promote()")
	p.must(p.primary, "SELECT pg_reload_conf()")
	p.until("primary", p.primary, "SELECT NOT pg_is_in_recovery()")
	p.proxy.Lead(p.primary.address)
	took := time.Since(begun)
	old.end()
	if err := os.RemoveAll(old.data); err != nil {
		p.t.Fatal(err)
	}
	return took
}

func (p *Pair) must(m *member, statement string) {
	p.t.Helper()
	if err := execute(p.direct(m), statement); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// until waits until a query of one truth says so.
func (p *Pair) until(what string, m *member, query string) {
	p.t.Helper()
	db, err := sql.Open("postgres", p.direct(m))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	for deadline := time.Now().Add(2 * timeout); ; time.Sleep(20 * time.Millisecond) {
		var is bool
		if err = db.QueryRow(query).Scan(&is); is && err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal(errors.Join(fmt.Errorf("not %s in time", what), err))
		}
	}
}
