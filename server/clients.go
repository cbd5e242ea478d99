package server

import (
	"context"
	"errors"

	"meridian/api"
	"meridian/federation"
	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// apiOptions are the parts that people's clients reach.
func (s *Server) apiOptions(version string) api.Options {
	c, people := s.config, s.store.Reading()
	return api.Options{
		Server: c.Server(), Version: version, Clock: s.clock, Log: s.log, Metrics: s.registry,
		Features: []string{"federation", "files", "search"}, Lost: store.Lost,
		Needs: api.Needs{
			Journal: pen{s}, Entries: entries{s.store, s.journal},
			Tokens: s.store, Accounts: s.store, People: s.store, Directory: s.store, Passwords: s.store, Eraser: eraser{s}, Erasures: s.store,
			Channels: people, States: states{s.store}, Threads: people, Messages: people, Fates: people,
			Marks: s.store, Search: people, Files: s.files,
			Membership: membership{s.federation}, Invitations: s.store, Partners: book{s}, PartnerBook: s.federation, PartnerPace: pace{s},
			AuditLog: s.store, Forks: s.store, Alone: s.alone(),
		},
		TrustedProxies: c.TrustedProxies,
		Limits:         s.clientLimits(),
	}
}

func (s *Server) clientLimits() api.Limits {
	c := s.config
	return api.Limits{
		BodyBytes: c.Limits.BodyBytes, FileBytes: c.Files.MaxBytes, PersonRate: c.Limits.PersonRate, AnonymousRate: c.Limits.AnonymousRate,
		Sockets: c.Limits.Sockets, SocketsPerPerson: c.Limits.SocketsPerPerson,
	}
}

// pen carries out people's commands: here, or at the host what it alone can do.
type pen struct{ *Server }

// Do asks the host where the rules say that it is elsewhere.
func (p pen) Do(ctx context.Context, r api.Request) (api.Result, error) {
	if err := p.federation.BeforeCommand(ctx, r.Command); err != nil {
		return api.Result{}, err
	}
	done, err := p.journal.Do(ctx, journal.Request{Actor: r.Actor, Command: r.Command, Now: r.Now, Key: r.Key, Digest: r.Digest})
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.Elsewhere {
		return api.Result{}, p.elsewhere(ctx, r)
	}
	return api.Result{IDs: done.IDs, Events: done.Events, Last: done.Last, Repeated: done.Repeated}, err
}

// elsewhere has the host carry out a command, and keeps its Idempotency-Key once
// that is done: repeating the request is harmless before and after, and another
// one under the key is another one to the host and refused here.
func (p pen) elsewhere(ctx context.Context, r api.Request) error {
	order := federation.Order{Actor: r.Actor, Command: r.Command, Now: r.Now}
	if r.Key != "" {
		order.Key = r.Key + " " + r.Digest
	}
	if err := p.federation.Command(ctx, order); err != nil || r.Key == "" {
		return err
	}
	_, err := p.journal.Do(ctx, journal.Request{Actor: r.Actor, Command: doneElsewhere{}, Now: r.Now, Key: r.Key, Digest: r.Digest})
	return err
}

// doneElsewhere is a command that seals nothing: what was wanted is done.
type doneElsewhere struct{}

func (doneElsewhere) In() threads.Hash           { return "" }
func (doneElsewhere) Decide(*threads.View) error { return nil }

// Channel is the committed state of a channel.
func (p pen) Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	return p.journal.Channel(ctx, id)
}

// entries reads the journal in commit order.
type entries struct {
	*store.Store
	journal *journal.Journal
}

// Entries reads on in the journal. What is known of channels afterwards is not
// older than what was read, whichever node wrote it.
func (e entries) Entries(ctx context.Context, after int64, limit int) ([]threads.Entry, error) {
	read, err := e.Store.Entries(ctx, after, limit)
	if n := len(read); n > 0 {
		e.journal.Reached(read[n-1].Pos)
	}
	return read, err
}

// Changed is closed at the next commit.
func (e entries) Changed() <-chan struct{} { return e.journal.Changed() }
