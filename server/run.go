package server

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"meridian/federation"
)

// drainTimeout is how long requests in flight may take once the server stops;
// with what follows it stays within 30 s.
const drainTimeout = 20 * time.Second

// ErrWentBack says that a server stopped because its database had lost what was
// committed to it: every position that followers and clients hold may now mean
// something else, so it is to be made and run anew. By then it doubts its logs.
var ErrWentBack = errors.New("the database went back; the server starts anew")

// Run serves until ctx is done or a listener fails, then stops: it is no longer
// ready, ends sockets and long polls, lets requests and steps finish, and closes
// the store. What was answered is durable before that. It returns within 30 s.
func (s *Server) Run(ctx context.Context) error {
	open, err := s.open()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	failed := make(chan error, 1)
	for _, d := range open.all() {
		go d.serve(failed)
	}
	running := s.start(ctx)
	debug.FreeOSMemory() // a start leaves more garbage than a quiet server makes in hours
	s.health.ready.Store(true)
	s.log.Info("ready", "url", s.config.PublicURL,
		"listen", open.public.listener.Addr().String(), "admin_listen", open.admin.listener.Addr().String())
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-s.wentBack:
		err = ErrWentBack
	}
	s.log.Info("stopping")
	s.health.ready.Store(false)

	// A context of its own: the one that was passed is over already.
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	running.endSockets()
	err = errors.Join(err, shutAll(drained, open.public, open.control))
	running.endSteps()
	err = errors.Join(err, shutAll(drained, open.admin), s.Close())
	s.log.Info("stopped")
	return err
}

// doors are where a server listens.
type doors struct{ public, admin, control *door }

func (d doors) all() []*door { return []*door{d.public, d.admin, d.control} }

// open listens everywhere before anything is served.
func (s *Server) open() (open doors, err error) {
	defer func() {
		for _, d := range open.all() {
			if err != nil && d != nil {
				err = errors.Join(err, d.listener.Close())
			}
		}
	}()
	l, err := listen("listen", s.config.Listen)
	if err != nil {
		return open, err
	}
	open.public = newDoor("public", l, s.public(), s.log)
	open.public.server.TLSConfig = s.certificate.tlsConfig()
	if l, err = listen("admin_listen", s.config.AdminListen); err != nil {
		return open, err
	}
	open.admin = newDoor("admin", l, adminHandler(&s.health, s.registry), s.log)
	open.admin.server.WriteTimeout = profileTimeout
	if l, err = listenControl(s.config.DataDir); err != nil {
		return open, err
	}
	open.control = s.controlDoor(l)
	return open, nil
}

// work is what runs beside the listeners.
type work struct{ endSockets, endSteps func() }

// start runs the sockets and the steps, which outlive ctx until they are ended.
func (s *Server) start(ctx context.Context) work {
	ctx = context.WithoutCancel(ctx)
	carrying, endSockets := context.WithCancel(ctx)
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		if err := s.api.Run(carrying); err != nil && carrying.Err() == nil {
			s.log.Error("carrying events to clients ended", "error", err)
		}
	}()
	stepping, endSteps := context.WithCancel(ctx)
	r := &runner{clock: s.clock, log: s.log}
	endNode := func() {}
	if s.store.Nodes() {
		endNode = s.beNode(ctx, r)
		r.start(stepping, step{name: "look at the key", do: s.lookAtKey, woken: s.keyNews})
	}
	who := &roster{Server: s, runner: r, ctx: stepping, served: map[string]*federation.Courier{}}
	r.start(stepping, step{name: "list partners", do: who.step, changed: s.journal.Changed})
	r.start(stepping, step{name: "try writing", do: s.tryWriting, woken: s.health.doubt})
	r.start(stepping, step{name: "settle", do: (&settler{journal: s.journal}).step, woken: s.settleNow})
	r.start(stepping, step{name: "forget outcomes", do: s.forget, once: true})
	r.start(stepping, step{name: "erase people", do: s.erasePeople, once: true})
	r.start(stepping, step{name: "sweep", do: (&sweeper{Server: s}).step, once: true})
	r.start(stepping, step{name: "scrub", do: (&scrubber{Server: s, metrics: s.scrubbed}).step, once: true})
	r.start(stepping, step{name: "name heads", do: s.nameHeads, once: true})
	r.start(stepping, step{name: "fetch files", do: s.files.fetchStep, woken: s.files.lacking, once: true})
	r.start(stepping, step{name: "drop files", do: s.files.dropStep, woken: s.files.loose, once: true})
	r.start(stepping, step{name: "scrub files", do: s.files.scrubStep, once: true})
	if s.certificate != nil && s.certificate.authority == nil {
		r.start(stepping, step{name: "renew certificate", do: s.renew})
	}
	r.start(stepping, step{name: "record keys", do: s.federation.RenewKeys, woken: s.federation.KeysChanged()})
	r.start(stepping, step{name: "settle doubts", do: s.federation.SettleDoubts})
	r.start(stepping, step{name: "sync mark", do: s.mark.step})
	return work{
		endSockets: func() { endSockets(); <-carried },
		endSteps:   func() { endSteps(); r.wait(); s.files.under.Wait(); who.flush(ctx); endNode() },
	}
}

// Outcomes of requests are remembered for keepOutcomes, so that a client's
// repetition has no second effect.
const (
	keepOutcomes = 30 * 24 * time.Hour
	forgetAtOnce = 1000
	forgetEvery  = 10 * time.Minute
)

func (s *Server) forget(ctx context.Context, now time.Time) (time.Time, error) {
	dropped, err := s.store.ForgetOutcomes(ctx, now.Add(-keepOutcomes), forgetAtOnce)
	if dropped == forgetAtOnce {
		return now, err // there may be more
	}
	return now.Add(forgetEvery), err
}
