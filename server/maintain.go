package server

import (
	"context"
	"fmt"

	"meridian/internal/store"
	"meridian/threads"
)

// Rebuilt is the answer of rebuild.
type Rebuilt struct {
	Position int64 `json:"position"` // of the newest event replayed; 0 without any
}

// rebuild first looks whether what it rebuilds from is sound. It holds the pen until it is done, in one transaction: what is read
// meanwhile is the old state.
func (s *Server) rebuild(ctx context.Context, _ struct{}) (Rebuilt, error) {
	var done Rebuilt
	found, err := s.verify(ctx, struct{}{})
	if err != nil {
		return done, err
	}
	if len(found.Faults) > 0 {
		return done, threads.Refuse(threads.Conflict, "damaged", "", fmt.Sprintf(
			"%d logs are damaged, so nothing was made anew of them; let the running server repair them from partners first: %s", len(found.Faults), found.Faults[0]))
	}
	s.log.Info("rebuilding")
	err = s.store.Rebuild(ctx, func(pos int64) { done.Position = pos })
	s.log.Info("rebuilt", "position", done.Position)
	return done, err
}

// derive has events take effect that an earlier version of the program kept
// without knowing them. Where that cannot be, because the journal is damaged, the
// server serves what it has, and tries again at its next start.
func (s *Server) derive(ctx context.Context) {
	begun := s.clock()
	anew, err := s.store.Derive(ctx)
	switch {
	case err != nil:
		s.log.Error("what an earlier version derived from events was not made anew; look at what meridian verify says", "error", err)
	case anew:
		s.log.Info("what an earlier version derived from events was made anew", "took", s.clock().Sub(begun))
	}
}

// Verified is the answer of verify.
type Verified struct {
	Events int64         `json:"events"` // looked at
	Faults []store.Fault `json:"faults"` // the first of each log, at most maxFaults
	More   bool          `json:"more"`   // there are more
	// Audited is how many entries of the audit log were looked at, and Audit the
	// first of them that is missing or altered.
	Audited int64             `json:"audited"`
	Audit   *store.AuditFault `json:"audit,omitempty"`
}

// maxFaults bounds an answer; whoever has that many has one cause.
const maxFaults = 1000

func (s *Server) verify(ctx context.Context, _ struct{}) (Verified, error) {
	done := Verified{Faults: []store.Fault{}}
	var err error
	done.Events, err = s.store.Verify(ctx, func(f store.Fault) {
		s.log.Error("the journal is damaged", "channel", f.Channel, "origin", f.Log.Origin, "epoch", f.Log.Epoch, "seq", f.Seq, "fault", f.What)
		if done.More = len(done.Faults) == maxFaults; !done.More {
			done.Faults = append(done.Faults, f)
		}
	})
	if err != nil {
		return done, err
	}
	if done.Audited, done.Audit, err = s.store.VerifyAudit(ctx); done.Audit != nil {
		s.log.Error("the audit log is damaged", "seq", done.Audit.Seq, "fault", done.Audit.What)
	}
	return done, err
}
