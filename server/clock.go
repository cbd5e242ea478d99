package server

import (
	"context"
	"fmt"
	"time"

	"meridian/threads"
)

// TrustedClock is the input and the answer of clock.trust.
type TrustedClock struct {
	Minutes int       `json:"minutes"`
	Until   time.Time `json:"until,omitzero"`
}

// maxTrust is for how many minutes a clock can be trusted at a time.
const maxTrust = 24 * 60

// trustClock has this server write for a while though its partners' clocks say
// that its own is wrong: for when they are.
func (s *Server) trustClock(_ context.Context, in TrustedClock) (TrustedClock, error) {
	if in.Minutes < 0 || in.Minutes > maxTrust {
		return in, threads.Refuse(threads.Invalid, "invalid", "/minutes", fmt.Sprintf("must be 0 to %d", maxTrust))
	}
	in.Until = s.clock().Add(time.Duration(in.Minutes) * time.Minute)
	s.federation.TrustClock(in.Until)
	s.log.Warn("this server's clock is trusted by order of its administrator, whatever partners' clocks say", "until", in.Until)
	return in, nil
}

// clockWarning says that this server's clock is wrong, if it is.
func (s *Server) clockWarning() map[string]string {
	if err := s.federation.ClockHold(s.clock()); err != nil {
		return map[string]string{"clock": err.Error()}
	}
	return nil
}
