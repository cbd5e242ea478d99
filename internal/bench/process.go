package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTime is how long a process may take to end when it is asked to.
const stopTime = 30 * time.Second

// environment is what children get: none of the settings that a server would
// take from whoever runs the benchmark.
func environment(settings ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MERIDIAN_") {
			env = append(env, v)
		}
	}
	return append(env, settings...)
}

// process is a child that runs until it is stopped.
type process struct {
	cmd    *exec.Cmd
	what   string
	errors tail
	ended  chan struct{}
	begun  time.Time
}

// launch starts a program in a process group of its own, so that a Ctrl-C in
// the terminal reaches it only through stop. out is given its standard output.
func launch(program string, env []string, out io.Writer, arguments ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, arguments...), what: strings.Join(arguments, " "), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, out, &p.errors
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	p.begun = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.what, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end and waits; one that does not end in time is
// killed, which is an error. Stopping twice is stopping once.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return p.failure()
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.what, err)
	}
	select {
	case <-p.ended:
		return p.failure()
	case <-time.After(stopTime):
	}
	err := p.cmd.Process.Kill()
	<-p.ended
	return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.what, stopTime), err)
}

// failure is nil when the process ended with success.
func (p *process) failure() error {
	if p.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("%s: %s\n%s", p.what, p.cmd.ProcessState, p.errors.text())
}

// awaitReady asks for http://address/readyz until it is answered with 200, and
// returns the time since the process was started.
func (p *process) awaitReady(ctx context.Context, address string) (time.Duration, error) {
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-p.ended:
			return 0, fmt.Errorf("%s ended instead of getting ready", p.what) // stop tells why
		case <-time.After(time.Millisecond):
		}
		if time.Since(p.begun) > answerTime {
			return 0, fmt.Errorf("%s is not ready after %s\n%s", p.what, answerTime, p.errors.text())
		}
		c, err := dial(ctx, address, "")
		if err != nil {
			continue
		}
		status, _, err := c.do("GET", "/readyz", nil)
		c.close()
		if err == nil && status == 200 {
			return time.Since(p.begun), nil
		}
	}
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
	if over := len(t.kept) - 4096; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// firstLine waits for the first line that the process writes into the pipe.
func firstLine(ctx context.Context, r *os.File) (string, error) {
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := bufio.NewReader(r).ReadBytes('\n')
	return string(bytes.TrimSpace(line)), err
}
