package threads

import "time"

// ForkSight is a proof of a fork, and when this server learnt of it; zero where that was not kept.
type ForkSight struct {
	Fork
	Found time.Time
}

// ForkState says what became of a log of which two histories are known.
type ForkState string

// States of a forked log, as one server sees it.
const (
	ForkStopped ForkState = "stopped" // control log: members and settings of the channel change no more
	ForkPassed  ForkState = "passed"  // control log: a later change of host stands above it; it stops nothing
	ForkEnded   ForkState = "ended"   // data log: it ends below the fork; the host has not closed it yet
	ForkClosed  ForkState = "closed"  // data log: it is closed for good below the fork
	ForkDecided ForkState = "decided" // data log: the control log names the branch that counts, which is held here
	ForkAwaited ForkState = "awaited" // data log: that branch is not held here in full yet
)

// ForkState is what became of the log that a kept proof is of, and the servers for which it waits: the
// host to close the log, or members that may hold the branch that counts, of which one is enough.
func (c *Channel) ForkState(at Ref) (state ForkState, waits []string) {
	switch _, frozen := c.frozen[at.LogID]; {
	case at.LogID == ControlLog && c.cutsAt(at):
		return ForkStopped, nil
	case at.LogID == ControlLog:
		return ForkPassed, nil
	case !c.cutsAt(at):
		if _, waiting := c.awaits(at); waiting {
			return ForkAwaited, c.Servers()
		}
		return ForkDecided, nil
	case frozen:
		return ForkClosed, nil
	}
	if cut, closed := c.removalCut(at.LogID); closed && cut.Seq < at.Seq {
		return ForkClosed, nil
	}
	return ForkEnded, []string{c.Host}
}
