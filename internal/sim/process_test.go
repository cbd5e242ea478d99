package sim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
)

// programDir is where the program lies while the tests run.
var programDir string

// program is the real binary, built once for all tests of this process.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programDir, "meridian")
	build := exec.Command("go", "build", "-o", path, "meridian/cmd/meridian")
	if said, err := build.CombinedOutput(); err != nil {
		return path, fmt.Errorf("build the program: %w\n%s", err, said)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "meridian")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long anything may take on a busy machine before a test gives up.
const patience = 5 * time.Minute

// house is one organisation's installation: its server runs as a process, is
// stopped or killed, and runs again.
type house struct {
	t       *testing.T
	name    string // of the server: the host of its public URL
	api     string // where its people reach it
	admin   string // http://HOST:PORT of readiness
	dir     string
	env     []string
	built   string   // the program's path; "" for the one built of this tree
	under   []string // what the program is run by, with its arguments; nil where nothing is between
	front   *front   // between it and its partners; nil where they reach it directly
	owner   person   // the administrator
	process *exec.Cmd
	ended   chan struct{}
	log     *tail
}

// newHouses installs and starts as many servers as there are databases, "" for
// SQLite, and makes each two of them partners. Behind fronts, partners reach
// each other through proxies that the test can cut.
func newHouses(t *testing.T, h *history, behind bool, databases ...string) []*house {
	t.Helper()
	houses := make([]*house, len(databases))
	for i, database := range databases {
		houses[i] = newHouse(t, database, behind)
		houses[i].open(h)
	}
	befriend(houses...)
	return houses
}

// threeHouses have two SQLite databases and one PostgreSQL database.
func threeHouses(t *testing.T, h *history) []*house {
	t.Helper()
	return newHouses(t, h, false, "", pgtest.URL(t), "")
}

// newHouse installs a server that does not run yet.
func newHouse(t *testing.T, database string, behind bool) *house {
	t.Helper()
	return install(t, shortDir(t), database, behind)
}

// shortDir is a temporary folder with a name short enough for a socket's path,
// as t.TempDir's is not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// install is newHouse in a folder that the caller keeps.
func install(t *testing.T, dir, database string, behind bool) *house {
	t.Helper()
	listen := freeAddress(t)
	h := newInstallation(t, dir, listen)
	if behind {
		h.front = newFront(t, listen)
		h.name = h.front.name
	}
	h.initialise(database)
	return h
}

// newInstallation is a house at an address, of which nothing is in its folder yet.
func newInstallation(t *testing.T, dir, listen string) *house {
	t.Helper()
	admin := freeAddress(t)
	h := &house{t: t, dir: dir, name: listen, api: "http://" + listen + "/api/v1", admin: "http://" + admin, log: &tail{}}
	h.env = environment("MERIDIAN_LISTEN="+listen, "MERIDIAN_ADMIN_LISTEN="+admin, "MERIDIAN_LOG_LEVEL=warn",
		"MERIDIAN_LIMITS_PERSON_RATE=1000000", "MERIDIAN_LIMITS_ANONYMOUS_RATE=1000000", "MERIDIAN_LIMITS_PARTNER_RATE=1000000")
	t.Cleanup(func() {
		h.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", h.name, h.log.text())
		}
	})
	return h
}

// initialise makes the key and the configuration; database is "" for SQLite.
func (h *house) initialise(database string) {
	h.t.Helper()
	if database != "" {
		h.env = append(h.env, "MERIDIAN_DATABASE="+database)
	}
	h.mustRun("", "init", "--url", "http://"+h.name)
}

// open starts the server and gives it an administrator.
func (h *house) open(log *history) {
	h.t.Helper()
	h.start()
	h.appoint(log)
}

// appoint gives the running server an administrator.
func (h *house) appoint(log *history) {
	h.t.Helper()
	h.mustRun("a password of nobody\n", "user", "add", "owner", "--admin", "--password-stdin")
	var made struct{ Address, Token string }
	if err := json.Unmarshal(h.mustRun("", "token", "create", "owner", "--json"), &made); err != nil {
		h.t.Fatal(err)
	}
	h.owner = person{house: h, log: log, address: made.Address, token: made.Token}
}

// environment has none of the settings of whoever runs the test.
func environment(settings ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MERIDIAN_") })
	return append(env, settings...)
}

// program is what the house runs.
func (h *house) program() (string, error) {
	if h.built != "" {
		return h.built, nil
	}
	return program()
}

// run has the command line do something for the house.
func (h *house) run(input string, arguments ...string) (out []byte, err error) {
	path, err := h.program()
	if err != nil {
		return nil, err
	}
	command := exec.Command(path, append(arguments, "--config", filepath.Join(h.dir, "meridian.yaml"))...)
	var said bytes.Buffer
	command.Env, command.Stdin, command.Stderr = h.env, strings.NewReader(input), &said
	if out, err = command.Output(); err != nil {
		return out, fmt.Errorf("meridian %s: %w: %s", strings.Join(arguments, " "), err, said.String())
	}
	return out, nil
}

func (h *house) mustRun(input string, arguments ...string) []byte {
	h.t.Helper()
	out, err := h.run(input, arguments...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// start runs the server and returns how long it took until it was ready.
func (h *house) start() time.Duration {
	h.t.Helper()
	begun := time.Now()
	h.launch()
	h.eventually("ready", func() bool {
		select {
		case <-h.ended:
			h.t.Fatalf("%s ended instead of getting ready: %s\n%s", h.name, h.process.ProcessState, h.log.text())
		default:
		}
		answer, err := http.Get(h.admin + "/readyz")
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
	return time.Since(begun)
}

// launch starts the process, on a thread that stays as long as it: a child is
// ended with the thread that started it.
func (h *house) launch() {
	h.t.Helper()
	path, err := h.program()
	if err != nil {
		h.t.Fatal(err)
	}
	line := append(slices.Clone(h.under), path, "serve", "--config", filepath.Join(h.dir, "meridian.yaml"))
	command := exec.Command(line[0], line[1:]...)
	command.Env, command.Stderr, command.SysProcAttr = h.env, h.log, childAttributes()
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how it ended is in ProcessState
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		h.t.Fatal(err)
	}
	h.process, h.ended = command, ended
}

// kill ends the server at once, as a crash does; one that does not run is left so.
func (h *house) kill() { h.end(syscall.SIGKILL) }

// stop ends the server as an administrator does, which must succeed.
func (h *house) stop() {
	h.t.Helper()
	process := h.process
	h.end(syscall.SIGTERM)
	if process != nil && !process.ProcessState.Success() {
		h.t.Errorf("%s stopped with %s\n%s", h.name, process.ProcessState, h.log.text())
	}
}

func (h *house) end(signal syscall.Signal) {
	if h.process == nil {
		return
	}
	// To its group, for what runs it stands before it.
	if err := syscall.Kill(-h.process.Process.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		h.t.Error(err)
	}
	<-h.ended
	h.process = nil
}

// eventually fails the test when something is not so in time.
func (h *house) eventually(what string, f func() bool) {
	h.t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
	}
	h.t.Fatalf("%s: not %s within %s\n%s", h.name, what, patience, h.log.text())
}

// verify has every server check all that it stores, and returns how many events
// that were at the first.
func verify(houses ...*house) (events int) {
	for i, h := range houses {
		h.t.Helper()
		var done struct{ Events int }
		if err := json.Unmarshal(h.mustRun("", "verify", "--json"), &done); err != nil {
			h.t.Fatal(err)
		}
		if i == 0 {
			events = done.Events
		}
	}
	return events
}

// befriend has the administrators of each two houses add and then allow each
// other, by the fingerprint that was shown.
func befriend(houses ...*house) {
	each := func(verb string) {
		for _, a := range houses {
			for _, b := range houses {
				if a != b {
					a.mustRun("", "partner", verb, b.name)
				}
			}
		}
	}
	each("add")
	each("allow")
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	t.kept = t.kept[max(0, len(t.kept)-8192):]
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
