package server

import (
	"context"
	"errors"
	"time"

	"meridian/api"
	"meridian/threads"
	"meridian/threads/journal"
)

// erasePerson forgets a person of this server for good. It answers once nothing
// of theirs can be reached here outside of channels; each channel is told, now
// or as soon as that is possible.
func (s *Server) erasePerson(ctx context.Context, in Named) (Account, error) {
	person, err := s.localPerson(ctx, in.Name)
	if err != nil {
		return Account{}, err
	}
	if err := s.forgetPerson(ctx, person.ID, threads.Act{Who: threads.ByAdmin, At: s.clock()}); err != nil {
		return Account{}, err
	}
	return accountOf(person), nil
}

func (s *Server) forgetPerson(ctx context.Context, person string, by threads.Act) error {
	if err := s.store.ForgetPerson(ctx, person, by); err != nil {
		return err
	}
	s.api.Erased(person)
	s.api.Revoked(person)
	s.log.Info("person erased", "person", person)
	if err := s.tellChannels(ctx, person, by.At); err != nil {
		s.log.Info("a person's channels were not all told of the erasure; they are tried again", "person", person, "error", err)
	}
	return nil
}

// eraser lets administrators erase people.
type eraser struct{ *Server }

// ErasePerson is what user erase does.
func (e eraser) ErasePerson(ctx context.Context, person string, by threads.Act) error {
	return e.forgetPerson(ctx, person, by)
}

// Channels of erased people that could not be told are tried again so often.
const tellAgain = time.Minute

// eraseAtOnce is how many people are looked at in one step.
const eraseAtOnce = 100

// erasePeople is a step that finishes what erasePerson began.
func (s *Server) erasePeople(ctx context.Context, now time.Time) (time.Time, error) {
	people, err := s.store.PeopleToErase(ctx, eraseAtOnce)
	for _, person := range people {
		err = errors.Join(err, s.tellChannels(ctx, person, now))
	}
	return now.Add(tellAgain), err
}

// tellChannels writes person.erased in every channel that the person ever was
// in, and has them leave it.
func (s *Server) tellChannels(ctx context.Context, person string, now time.Time) error {
	var failed error
	for after := threads.Hash(""); ; {
		ids, err := s.store.Channels(ctx, after, 100)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			failed = errors.Join(failed, s.tellChannel(ctx, id, person, now))
		}
		after = ids[len(ids)-1]
	}
	if failed != nil {
		return failed
	}
	return s.store.PersonTold(ctx, person)
}

func (s *Server) tellChannel(ctx context.Context, id threads.Hash, person string, now time.Time) error {
	c, err := s.journal.Channel(ctx, id)
	if err != nil || c == nil || c.RoleSince(person) == 0 || !c.IsMember(s.config.Server()) {
		return err
	}
	erased, err := s.store.PersonErased(ctx, id, person)
	if err == nil && !erased {
		_, err = s.journal.Do(ctx, journal.Request{Actor: person, Now: now, Command: threads.ErasePerson{Channel: id}})
	}
	if err != nil || c.Role(person) == threads.RoleNone {
		return err
	}
	_, err = pen{s}.Do(ctx, api.Request{Actor: person, Now: now, Command: threads.RemoveMember{Channel: id, Person: person}})
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.Conflict {
		return nil // the last owner stays, a name that nobody bears
	}
	return err
}

// erased has memory follow erasures of persons.
func (s *Server) erased(c journal.Commit) {
	for _, entry := range c.Entries {
		if entry.Event.Header.Type == threads.TypePersonErased && !entry.Void {
			s.api.Erased(entry.Event.Header.Actor)
		}
	}
}

// A sweep follows an erasure by sweepSoon, and the one before by a hundred times
// what that took, so that large databases are not always being swept; but a day
// at most, which is what people are promised.
const (
	sweepSoon  = time.Minute
	sweepLate  = 23 * time.Hour
	sweepShare = 100
)

// sweeper removes the bytes of what was erased.
type sweeper struct {
	*Server
	next time.Time // not before
}

func (w *sweeper) step(ctx context.Context, now time.Time) (time.Time, error) {
	due, err := w.store.SweepDue(ctx)
	if err != nil || !due || now.Before(w.next) {
		return now.Add(sweepSoon), err
	}
	begun := w.clock()
	if err := w.store.Sweep(ctx); err != nil {
		return now.Add(sweepSoon), err
	}
	took := w.clock().Sub(begun)
	w.log.Info("what was erased is overwritten", "took", took)
	w.next = now.Add(min(took*sweepShare, sweepLate))
	return now.Add(sweepSoon), nil
}
