package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of every connection. Long polls, exchanges with partners and WebSockets
// set their own deadlines.
const (
	headerTimeout  = 10 * time.Second
	readTimeout    = 30 * time.Second
	writeTimeout   = 30 * time.Second
	profileTimeout = 2 * time.Minute // profiles are taken for up to a minute and a half
	idleTimeout    = 2 * time.Minute
	maxHeader      = 32 << 10
)

// door is a listener and what is served at it.
type door struct {
	name     string
	listener net.Listener
	server   *http.Server
}

// newDoor prepares a handler to be served. Requests in flight learn by their
// context when the server gives them up.
func newDoor(name string, l net.Listener, h http.Handler, log *slog.Logger) *door {
	return &door{name: name, listener: l, server: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.With("listener", name).Handler(), slog.LevelDebug),
	}}
}

// serve answers until the door is shut, or tells failed that it cannot.
func (d *door) serve(failed chan<- error) {
	var err error
	if d.server.TLSConfig != nil {
		err = d.server.ServeTLS(d.listener, "", "")
	} else {
		err = d.server.Serve(d.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		select {
		case failed <- fmt.Errorf("serve %s on %s: %w", d.name, d.listener.Addr(), err):
		default: // another door failed first
		}
	}
}

// shut lets nobody in, waits for the requests in flight and, when ctx is done
// before they are, cuts them off.
func (d *door) shut(ctx context.Context) error {
	if err := d.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("wait for requests on %s: %w", d.name, err), d.server.Close())
	}
	return nil
}

// shutAll shuts doors at the same time.
func shutAll(ctx context.Context, doors ...*door) error {
	errs := make([]error, len(doors))
	var all sync.WaitGroup
	for i, d := range doors {
		all.Go(func() { errs[i] = d.shut(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; stop what listens there, or choose another address", key, err)
	}
	return l, nil
}
