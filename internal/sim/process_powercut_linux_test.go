package sim_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var cuts = flag.Int("process.cuts", 0, "how often the power is cut under load, on each database; needs root and loop devices")

// disk is a file system of its own, of which nothing reaches the medium before
// somebody asks for it, for a minute at least: what a power cut leaves of it is
// what its image holds.
type disk struct {
	t     *testing.T
	dir   string // where it is mounted
	image string
	next  string // image of after the next cut
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	at := shortDir(t)
	d := &disk{t: t, dir: filepath.Join(at, "d"), image: filepath.Join(at, "image"), next: filepath.Join(at, "next")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 2<<30); err != nil {
		t.Fatal(err)
	}
	d.do("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=16", d.image)
	d.mount()
	t.Cleanup(func() { d.do("umount", d.dir) })
	return d
}

func (d *disk) do(name string, arguments ...string) {
	d.t.Helper()
	if said, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, arguments, err, said)
	}
}

func (d *disk) mount() {
	d.t.Helper()
	d.do("mount", "-o", "loop,commit=60", d.image, d.dir)
}

// keep has all that was written so far reach the medium.
func (d *disk) keep() {
	d.t.Helper()
	d.do("sync", "-f", d.dir)
}

// snapshot is what the medium holds now; nobody may be writing.
func (d *disk) snapshot() {
	d.t.Helper()
	d.do("cp", "--sparse=always", d.image, d.next)
}

// lose replaces what the file system holds by the snapshot. Nobody may use it.
func (d *disk) lose() {
	d.t.Helper()
	d.do("umount", d.dir)
	if err := os.Rename(d.next, d.image); err != nil {
		d.t.Fatal(err)
	}
	d.mount()
}

// machine is what loses power: its disk, and all that runs on it.
type machine struct {
	*disk
	house    *house
	postgres *postgres // nil with SQLite
}

// freeze lets nothing run on the machine any more.
func (m *machine) freeze() {
	for _, id := range m.processes() {
		_ = syscall.Kill(id, syscall.SIGSTOP) // one that has ended meanwhile writes nothing either
	}
}

// processes are those of the server, and of PostgreSQL: its backends have
// groups of their own, so that they are found by their parent.
func (m *machine) processes() []int {
	all := []int{m.house.process.Process.Pid}
	if m.postgres != nil {
		all = append(all, m.postgres.process.Process.Pid)
		all = append(all, children(m.postgres.process.Process.Pid)...)
	}
	return all
}

func children(of int) (ids []int) {
	listed, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", of, of))
	if err != nil {
		return nil
	}
	for _, word := range strings.Fields(string(listed)) {
		if id, err := strconv.Atoi(word); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// cutPower ends everything at once, with what the disk has by then, and starts
// it again.
func (m *machine) cutPower() (restart time.Duration) {
	m.t.Helper()
	m.freeze()
	m.snapshot()
	m.house.kill()
	if m.postgres != nil {
		m.postgres.kill()
	}
	m.lose()
	if m.postgres != nil {
		m.postgres.start()
	}
	return m.house.start()
}

// postgres is a cluster on a disk that loses power.
type postgres struct {
	t       *testing.T
	bin     string
	data    string
	sockets string // outside of the disk
	as      *syscall.Credential
	process *exec.Cmd
	ended   chan struct{}
}

func newPostgres(t *testing.T, d *disk) *postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("no /usr/lib/postgresql/*/bin/initdb; install PostgreSQL (Debian: apt-get install postgresql)")
	}
	p := &postgres{t: t, bin: filepath.Dir(found[len(found)-1]), data: filepath.Join(d.dir, "pg"), sockets: shortDir(t)}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, dir := range []string{d.dir, p.sockets} {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(d.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	initdb := exec.Command(p.bin+"/initdb", "-D", p.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = "/", &syscall.SysProcAttr{Credential: p.as}
	if said, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, said)
	}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *postgres) url() string {
	return "postgres:///postgres?host=" + p.sockets + "&user=postgres&sslmode=disable"
}

func (p *postgres) start() {
	p.t.Helper()
	command := exec.Command(p.bin+"/postgres", "-D", p.data, "-k", p.sockets, "-h", "",
		"-c", "shared_buffers=32MB", "-c", "max_wal_size=128MB", "-c", "logging_collector=off")
	command.Dir = "/"
	command.SysProcAttr = childAttributes()
	command.SysProcAttr.Credential = p.as
	started, ended := make(chan error), make(chan struct{})
	go func() { // on a thread that stays as long as it: a child is ended with the thread that started it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.process, p.ended = command, ended
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		ready := exec.Command(p.bin+"/psql", "-h", p.sockets, "-U", "postgres", "-c", "SELECT 1", "postgres")
		if ready.Run() == nil {
			return
		}
	}
	p.t.Fatal("PostgreSQL does not get ready")
}

// kill ends it and its backends at once, running or stopped.
func (p *postgres) kill() {
	if p.process == nil {
		return
	}
	backends := children(p.process.Process.Pid)
	_ = syscall.Kill(p.process.Process.Pid, syscall.SIGKILL)
	<-p.ended
	for _, id := range backends {
		_ = syscall.Kill(id, syscall.SIGKILL)
	}
	for begun := time.Now(); time.Since(begun) < patience && anyRuns(backends); time.Sleep(5 * time.Millisecond) {
	}
	p.process = nil
}

func anyRuns(ids []int) bool {
	for _, id := range ids {
		if syscall.Kill(id, 0) == nil {
			return true
		}
	}
	return false
}

// T53: the power is cut under load, again and again; what was acknowledged is on
// the disk, and partners hold nothing else.
func TestPowerCutsLoseNothing(t *testing.T) {
	if *cuts == 0 {
		t.Skip("a campaign: make powercut")
	}
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		t.Run(database, func(t *testing.T) { cutUnderLoad(t, database == "PostgreSQL") })
	}
}

func cutUnderLoad(t *testing.T, onPostgres bool) {
	m := &machine{disk: newDisk(t)}
	url := ""
	if onPostgres {
		m.postgres = newPostgres(t, m.disk)
		url = m.postgres.url()
	}
	// What one server alone holds, no partner can give back.
	shared, alone := newHistory(), newHistory()
	m.house = install(t, filepath.Join(m.dir, "house"), url, false)
	other := newHouse(t, "", false)
	m.house.open(shared)
	other.open(shared)
	befriend(m.house, other)
	m.keep()
	both, single := &load{pause: 10 * time.Millisecond}, &load{pause: 10 * time.Millisecond}
	both.at(shared, m.house, other)
	single.at(alone, m.house)
	m.keep()
	restarts := m.cutSome(both, single)
	for _, l := range []*load{both, single} {
		close(l.ended)
	}
	both.all.Wait()
	single.all.Wait()

	settled(t, both.channel, m.house.owner, other.owner)
	sum := shared.check(t, m.house.owner.replica(both.channel), other.owner.replica(both.channel))
	own := alone.check(t, m.house.owner.replica(single.channel))
	verify(m.house, other)
	t.Logf("power cut %d times; %d acknowledged in a shared channel and %d in one without partners, %d of unknown outcome repeated by key; "+
		"%d lost, %d duplicated; restart %s at most", *cuts, sum.acknowledged, own.acknowledged, sum.unknown+own.unknown,
		sum.lost+own.lost, sum.duplicated+own.duplicated, restarts.Round(time.Millisecond))
	if sum.unknown+own.unknown == 0 {
		t.Error("no request had an unknown outcome: the cuts hit nothing")
	}
}

// at begins a load in a channel of the houses' own.
func (l *load) at(log *history, houses ...*house) {
	t := houses[0].t
	t.Helper()
	l.t, l.log, l.houses, l.ended = t, log, houses, make(chan struct{})
	l.inFlight = make([]atomic.Int64, len(houses))
	owner := houses[0].owner
	l.channel = owner.newChannel("Load")
	writers := make([]person, len(houses))
	for i, h := range houses {
		writers[i] = h.person(fmt.Sprint("writer", len(houses)))
		writers[i].log = log
		owner.bring(l.channel, writers[i])
		if h != houses[0] {
			owner.bring(l.channel, h.owner)
		}
	}
	for i := range 4 {
		var made named
		owner.must(http.MethodPost, "/channels/"+l.channel+"/threads", map[string]string{"title": fmt.Sprint("Subject ", i+1)}, &made)
		l.threads = append(l.threads, made.ID)
	}
	for i, h := range houses {
		h.eventually("in the threads", func() bool { return h.owner.reads("/threads/"+l.threads[3], nil) })
		clients := 8
		if i > 0 {
			clients = 1 // it is never down and would fill the disk
		}
		for n := range clients {
			l.all.Go(func() { l.client(i, writers[i], fmt.Sprintf("client%dx%dx%d", len(houses), i, n)) })
		}
	}
}

// cutSome cuts the power at random instants under load.
func (m *machine) cutSome(loads ...*load) (slowest time.Duration) {
	m.t.Helper()
	for n := range *cuts {
		if n > 0 && n%25 == 0 {
			m.t.Logf("%d cuts, %d and %d acknowledged, slowest restart %s", n, loads[0].acknowledged.Load(), loads[1].acknowledged.Load(), slowest)
		}
		before := []int64{loads[0].acknowledged.Load(), loads[1].acknowledged.Load()}
		m.house.eventually("under load", func() bool {
			return loads[0].acknowledged.Load()-before[0] >= 20 && loads[1].acknowledged.Load()-before[1] >= 20
		})
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		slowest = max(slowest, m.cutPower())
	}
	return slowest
}
