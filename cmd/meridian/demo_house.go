package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/api"
	"meridian/config"
	"meridian/internal/loopback"
	"meridian/server"
)

// house is an organisation with its server, which runs.
type house struct {
	organisation
	name        string // of the server
	url         string
	adminURL    string
	config      string
	fingerprint string
	options     server.Options
	server      *server.Server
	signedIn    []demoPerson
	ended       chan error
}

// open installs the organisation's server.
func (d *demo) open(ctx context.Context, o organisation, port int) (*house, error) {
	h := &house{organisation: o, name: fmt.Sprintf("127.0.0.1:%d", port), ended: make(chan error, 1)}
	h.url = "http://" + h.name
	made, err := initialise(filepath.Join(d.dir, o.key, defaultConfig), h.url, "")
	if err != nil {
		return nil, err
	}
	h.config, h.fingerprint = made.Config, made.Fingerprint
	admin, err := loopback.Address()
	if err != nil {
		return nil, err
	}
	h.adminURL = "http://" + admin
	settings, err := config.Load(made.Config, nil, map[string]string{"admin_listen": admin})
	if err != nil {
		return nil, err
	}
	h.options = server.Options{
		Config: settings, Log: slog.New(slog.NewTextHandler(d.says, &slog.HandlerOptions{Level: slog.LevelError})),
		Clock: d.clock.read, Registry: prometheus.NewRegistry(), Version: version(),
	}
	h.server, err = server.New(ctx, h.options)
	return h, err
}

// run runs the server until ctx is done. Should it fail, stop is called with the
// reason.
func (h *house) run(ctx context.Context, stop context.CancelCauseFunc) {
	go func() {
		err := h.server.Run(ctx)
		h.ended <- err
		if err != nil {
			stop(err)
		}
	}()
}

// wait returns when the server has stopped; a house that was not opened has.
func (h *house) wait() error {
	if h == nil {
		return nil
	}
	return <-h.ended
}

func (h *house) awaitReady(ctx context.Context) error {
	return until(ctx, "is ready", func() (bool, error) {
		answer, err := http.Get(h.adminURL + "/readyz")
		if err != nil {
			return false, nil // not yet
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
}

// until repeats f until it is done; what says so where ctx ends first.
func until(ctx context.Context, what string, f func() (bool, error)) error {
	for {
		done, err := f()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it %s: %w", what, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// populate makes accounts as the command line would, and signs in as clients do.
func (h *house) populate(ctx context.Context) error {
	if err := h.awaitReady(ctx); err != nil {
		return err
	}
	for i, person := range h.people {
		p := demoPerson{Name: person.shown, Password: strings.ToLower(rand.Text()[:14])}
		hash, err := api.HashPassword(p.Password)
		if err != nil {
			return err
		}
		in := server.NewAccount{Name: person.name, Shown: person.shown, Zone: h.zone, Admin: i == 0, Hash: hash}
		var made server.Account
		if err := h.call(ctx, "people.add", in, &made); err != nil {
			return err
		}
		var session struct{ Token string }
		signIn := map[string]any{"name": person.name, "password": p.Password}
		if err := h.visitor("").call(ctx, http.MethodPost, "/sessions", signIn, &session); err != nil {
			return err
		}
		p.Address, p.Token = made.Address, session.Token
		h.signedIn = append(h.signedIn, p)
	}
	return nil
}

// call has the server do what its administrator asks.
func (h *house) call(ctx context.Context, operation string, in, out any) error {
	return server.Attach(ctx, h.options, func(client *http.Client) error {
		return server.Call(ctx, client, operation, in, out)
	})
}

// befriend is what two administrators do: each adds the other's server, compares
// the fingerprint shown with the one that the other tells, and allows it.
func (d *demo) befriend(ctx context.Context) error {
	for i, h := range d.houses {
		other := d.houses[1-i]
		var seen server.Partner
		if err := h.call(ctx, "partners.add", server.PartnerChange{Name: other.name}, &seen); err != nil {
			return err
		}
		if seen.Fingerprint != other.fingerprint {
			return errors.New(other.title + " shows a key that is not its own")
		}
	}
	for i, h := range d.houses {
		other := d.houses[1-i]
		in := server.PartnerChange{Name: other.name, Fingerprint: other.fingerprint}
		if err := h.call(ctx, "partners.allow", in, nil); err != nil {
			return err
		}
	}
	fmt.Fprintln(d.says, "Kobo and Havel are partners: each saw the other's key and allowed it")
	return nil
}

// person is somebody of either house, by the name they sign in with.
func (d *demo) person(name string) (visitor, demoPerson) {
	for _, h := range d.houses {
		for i, p := range h.people {
			if p.name == name {
				return h.visitor(h.signedIn[i].Token), h.signedIn[i]
			}
		}
	}
	panic("the story has nobody named " + name)
}

func (h *house) visitor(token string) visitor { return visitor{base: h.url + "/api/v1", token: token} }
