package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"meridian/internal/loopback"
)

// people is how many belong to each server; clients are shared out among them.
const people = 8

// person is somebody of a server, signed in.
type person struct{ address, token string }

// site is one installation: its server runs, is stopped and runs again.
type site struct {
	stage    *stage
	config   string
	env      []string
	address  string // HOST:PORT of its public URL, which is its name too
	admin    string // HOST:PORT of readiness
	database string
	people   []person
	process  *process
}

// open installs a server, runs it, and adds its people. It is stopped and its
// database removed when the trial is over.
func (s *stage) open(ctx context.Context) (*site, error) {
	name := s.name("s")
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	database, drop, err := s.store.database(ctx, name)
	if err != nil {
		return nil, err
	}
	s.later(drop)
	at := &site{stage: s, config: filepath.Join(dir, "meridian.yaml"), database: database}
	for _, address := range []*string{&at.address, &at.admin} {
		if *address, err = loopback.Address(); err != nil {
			return nil, err
		}
	}
	at.env = environment("MERIDIAN_DATABASE="+database, "MERIDIAN_ADMIN_LISTEN="+at.admin, "MERIDIAN_LOG_LEVEL=warn",
		"MERIDIAN_LIMITS_PERSON_RATE=1000000", "MERIDIAN_LIMITS_ANONYMOUS_RATE=1000000",
		"MERIDIAN_LIMITS_PARTNER_RATE=1000000", "MERIDIAN_LIMITS_SOCKETS_PER_PERSON=1000")
	if _, err := at.run(ctx, "", "init", "--url", "http://"+at.address, "--data-dir", filepath.Join(dir, "data")); err != nil {
		return nil, err
	}
	s.later(func() error { return at.stop() })
	if _, err := at.start(ctx); err != nil {
		return nil, err
	}
	return at, at.populate(ctx)
}

// run has the command line do something for the site and returns what it printed.
func (at *site) run(ctx context.Context, input string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, at.stage.Program, append(arguments, "--config", at.config)...)
	var out, said bytes.Buffer
	command.Env, command.Stdin, command.Stdout, command.Stderr = at.env, strings.NewReader(input), &out, &said
	command.WaitDelay = time.Second
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("meridian %s: %w: %s", strings.Join(arguments, " "), err, said.String())
	}
	return out.Bytes(), nil
}

// start runs the server and returns how long it took to be ready.
func (at *site) start(ctx context.Context) (took time.Duration, err error) {
	at.process, err = launch(at.stage.Program, at.env, nil, "serve", "--config", at.config)
	if err != nil {
		return 0, err
	}
	return at.process.awaitReady(ctx, at.admin)
}

// stop is safe to repeat.
func (at *site) stop() error {
	if at.process == nil {
		return nil
	}
	p := at.process
	at.process = nil
	return p.stop()
}

func (at *site) populate(ctx context.Context) error {
	for i := range people {
		name := fmt.Sprintf("person%d", i+1)
		if _, err := at.run(ctx, "a password of nobody\n", "user", "add", name, "--password-stdin"); err != nil {
			return err
		}
		out, err := at.run(ctx, "", "token", "create", name, "--json")
		if err != nil {
			return err
		}
		var made struct{ Token string }
		if err := json.Unmarshal(out, &made); err != nil || made.Token == "" {
			return fmt.Errorf("meridian token create printed no token (%v)", err)
		}
		at.people = append(at.people, person{name + "@" + at.address, made.Token})
	}
	return nil
}

// call does one request of a person and decodes its answer into out unless
// that is nil. Any status but a success is an error.
func (at *site) call(ctx context.Context, as person, method, path string, in, out any) error {
	c, err := dial(ctx, at.address, as.token)
	if err != nil {
		return err
	}
	defer c.close()
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	status, answer, err := c.do(method, "/api/v1"+path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// until repeats f, which says whether it is done, at most for so long.
func until(ctx context.Context, what string, patience, every time.Duration, f func() (bool, error)) error {
	for begun := time.Now(); ; {
		if done, err := f(); err != nil || done {
			return err
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("%s: not within %s", what, patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}
