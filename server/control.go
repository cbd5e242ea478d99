package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSocketPath is how long the path of a unix socket may be on every system.
const maxSocketPath = 103

// ControlSocket is where a running server takes its administrator's commands: a
// unix socket in a directory that the server's user alone may enter. Whoever
// may enter it could open the database and the key as well, so nobody signs in.
func ControlSocket(dataDir string) string {
	return filepath.Join(dataDir, "control", "socket")
}

// listenControl refuses to take the socket from a server that still answers.
func listenControl(dataDir string) (net.Listener, error) {
	path := ControlSocket(dataDir)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("data_dir: too long by %d bytes for the control socket in it; choose a shorter path", len(path)-maxSocketPath)
	}
	folder := filepath.Dir(path)
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.Chmod(folder, 0o700)); err != nil {
		return nil, fmt.Errorf("data_dir: make a control directory that others cannot enter: %w", err)
	}
	if answers(path) {
		return nil, errors.New("data_dir: another Meridian server runs with it; stop that one, or choose another data_dir")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("data_dir: remove the control socket of a server that ended: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("data_dir: listen on the control socket: %w", err)
	}
	return l, nil
}

func answers(path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// lockWait is how long Attach waits for a server that has the database but no
// control socket yet, or no longer.
const lockWait = 10 * time.Second

// Attach calls f with a client of the control socket, see [Call]: that of the
// running server where there is one, else that of a server opened for the time
// of f, which listens nowhere else.
func Attach(ctx context.Context, o Options, f func(*http.Client) error) error {
	path := ControlSocket(o.Config.DataDir)
	for deadline := time.Now().Add(lockWait); ; {
		if answers(path) {
			return f(controlClient(path))
		}
		s, err := New(ctx, o)
		if err == nil {
			return s.attended(ctx, f)
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		pause(ctx, 100*time.Millisecond, nil, nil)
	}
}

// attended serves the control socket alone while f runs, then closes the server.
func (s *Server) attended(ctx context.Context, f func(*http.Client) error) error {
	l, err := listenControl(s.config.DataDir)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	d := s.controlDoor(l)
	failed := make(chan error, 1)
	go d.serve(failed)
	err = f(controlClient(ControlSocket(s.config.DataDir)))
	return errors.Join(err, d.shut(ctx), s.Close())
}

// controlDoor has no deadlines: an archive may take long, and only the server's
// own user gets in.
func (s *Server) controlDoor(l net.Listener) *door {
	d := newDoor("control", l, s.operations(), s.log)
	d.server.ReadTimeout, d.server.WriteTimeout = 0, 0
	return d
}

// controlClient dials the socket, whatever host a request names.
func controlClient(path string) *http.Client {
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}
