package server

import (
	"context"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
)

// nameEvery is how often the channels hosted here are looked at; each is named
// at most once a day, and only where there is something new.
const nameEvery = time.Hour

// nameHeads makes the heads of the channels hosted here final, on behalf of an
// owner. One channel that fails does not keep the others from it.
func (s *Server) nameHeads(ctx context.Context, now time.Time) (time.Time, error) {
	after := threads.Hash("")
	for {
		ids, err := s.store.Channels(ctx, after, 100)
		if err != nil || len(ids) == 0 {
			return now.Add(nameEvery), err
		}
		for _, id := range ids {
			if err := s.nameChannel(ctx, id, now); err != nil {
				s.log.Error("heads not named; they are in an hour", "channel", id, "error", err)
			}
		}
		after = ids[len(ids)-1]
	}
}

func (s *Server) nameChannel(ctx context.Context, id threads.Hash, now time.Time) error {
	c, err := s.journal.Channel(ctx, id)
	if err != nil || c == nil {
		return err
	}
	owner, due := c.NamingDue(s.config.Server(), now)
	if !due {
		return nil
	}
	_, err = s.journal.Do(ctx, journal.Request{Actor: owner, Now: now, Command: threads.NameHeads{Channel: id}})
	return err
}
