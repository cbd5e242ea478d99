package pgtest

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// role owns the private cluster.
const role = "meridian"

// cluster is a running PostgreSQL that lives until alive is closed: by this process, or by
// the system when this process ends, however it ends.
type cluster struct {
	url   string
	alive io.Closer
}

// keeper starts PostgreSQL ($1/postgres) in $2, waits for the end of its own standard input,
// which is the end of the test process, then stops PostgreSQL and removes $2.
const keeper = `"$1/postgres" -D "$2/data" -k "$2" -h "" \
	-c shared_buffers=32MB -c max_connections=200 \
	-c fsync=on -c synchronous_commit=on -c full_page_writes=on >"$2/log" 2>&1 &
cat >/dev/null
kill -QUIT $!
wait $!
rm -rf "$2"`

func startCluster() (*cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "meridian-pg-")
	if err != nil {
		return nil, err
	}
	c, err := startIn(dir, bin, owner)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

func startIn(dir, bin string, owner *syscall.Credential) (*cluster, error) {
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	as := &syscall.SysProcAttr{Credential: owner, Setsid: true} // a terminal's Ctrl-C must not reach the keeper
	// ICU sorts as most real databases do, so a query that relies on byte order without saying so fails here.
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", role,
		"-A", "trust", "-E", "UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb (PostgreSQL 15 or newer is needed): %w\n%s", err, out)
	}
	keep := exec.Command("/bin/sh", "-c", keeper, "keeper", bin, dir)
	keep.Dir, keep.SysProcAttr = "/", as
	alive, err := keep.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := keep.Start(); err != nil {
		return nil, err
	}
	query := url.Values{"host": {dir}, "user": {role}, "sslmode": {"disable"}}
	c := &cluster{url: "postgres:///postgres?" + query.Encode(), alive: alive}
	if err := answers(c.url); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, errors.Join(fmt.Errorf("PostgreSQL did not start: %w\n%s", err, log), alive.Close())
	}
	return c, nil
}

// answers waits until the server takes a statement.
func answers(server string) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err := execute(server, "SELECT 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// binaries finds the directory of initdb and postgres: on the path, else where Debian keeps them.
func binaries() (string, error) {
	var found []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			found = append(found, path)
		}
	}
	debian, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	for _, initdb := range append(found, debian...) {
		bin := filepath.Dir(initdb)
		if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
			return bin, nil
		}
	}
	return "", fmt.Errorf("found neither initdb on the path nor /usr/lib/postgresql/*/bin; install it (Debian: apt-get install postgresql), or let %s name a running server", serverVariable)
}

// unprivileged is whom PostgreSQL runs as, nil for ourselves: it refuses to run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root and there is no user postgres: %w; create it or run the tests as another user", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
