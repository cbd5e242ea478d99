package threads

import "maps"

// Fork proves that a server signed two events for one place of one log, which no honest server does.
// The events have no contents: their headers say it all.
type Fork struct{ First, Second *Event }

// NewFork puts two events of one place in the order of their ids; ok is false when they are none.
func NewFork(a, b *Event) (f Fork, ok bool) {
	if a.ID == b.ID || a.Channel() != b.Channel() || a.Header.Ref() != b.Header.Ref() {
		return Fork{}, false
	}
	first, second := *a, *b
	if first.ID > second.ID {
		first, second = second, first
	}
	first.Content, second.Content = nil, nil
	return Fork{&first, &second}, true
}

// Channel is the channel of the log that is forked.
func (f Fork) Channel() Hash { return f.First.Channel() }

// Ref is the place at which the two events stand.
func (f Fork) Ref() Ref { return f.First.Header.Ref() }

// ForkAt is what a channel keeps of a proof.
type ForkAt struct {
	Seq           int64
	First, Second Hash
}

// CheckFork reports whether both events of f bear the signature of the server that writes the log, by
// keys that this channel knows, and are of the branch of the control log that is applied here.
func (c *Channel) CheckFork(f Fork) bool {
	for _, e := range [...]*Event{f.First, f.Second} {
		h := &e.Header
		known := h.Control.Number
		if h.Log == LogControl {
			if known = h.Seq - 1; known < 1 || h.Origin != c.hostAt(h.Seq) {
				return false
			}
		} else if c.HashAt(known) != h.Control.Hash || known < h.Epoch>>32 {
			return false
		}
		key, ok := c.KeyAt(h.Origin, h.Key, known)
		if !ok || !Verify(key, SigningBytes(e.HeaderBytes), e.Sig) {
			return false
		}
	}
	return true
}

// hostAt is the server that writes the control event with that number.
func (c *Channel) hostAt(number int64) (server string) {
	for _, h := range c.hosts {
		if h.from <= number {
			server = h.server
		}
	}
	return server
}

// handed is the number of the newest change of host, 0 before the first.
func (c *Channel) handed() int64 {
	if len(c.hosts) < 2 {
		return 0
	}
	return c.hosts[len(c.hosts)-1].from - 1
}

// TakeFork takes a proof that CheckFork passed, and reports whether it is one to keep: the first of
// its log, or the lowest that cuts it. One at or below a place that is final cuts nothing; where this
// server has not reached that place yet, the log must now end below the fork until it holds the branch
// of the final hash whole. [Channel.Bound] says where the log has to end.
func (c *Channel) TakeFork(f Fork) (kept bool) {
	at := f.Ref()
	if !c.cutsAt(at) {
		c.dispute(at)
	}
	old, known := c.forks[at.LogID]
	replaces := c.cutsAt(at) && (at.Seq < old.Seq || !c.cutsAt(Ref{at.LogID, old.Seq}))
	if known && !replaces {
		return false
	}
	c.PutFork(at.LogID, ForkAt{at.Seq, f.First.ID, f.Second.ID})
	return true
}

// PutFork is for what was kept before.
func (c *Channel) PutFork(id LogID, at ForkAt) {
	c.forks = maps.Clone(c.forks)
	if c.forks == nil {
		c.forks = map[LogID]ForkAt{}
	}
	c.forks[id] = at
}

// Forked are the places of the proofs that are kept, in the order of the logs.
func (c *Channel) Forked() []Ref {
	all := make([]Ref, 0, len(c.forks))
	for id, at := range c.forks {
		all = append(all, Ref{id, at.Seq})
	}
	sortRefs(all)
	return all
}

// ForkOf is the proof that is kept of a log, zero when there is none.
func (c *Channel) ForkOf(id LogID) ForkAt { return c.forks[id] }

// Split reports whether the host has shown two control histories: then nothing more of either is
// applied, and nothing that was is taken back. A fork below a change of host stops nothing.
func (c *Channel) Split() bool {
	at, forked := c.forks[ControlLog]
	return forked && at.Seq > c.handed()
}

// Stopped reports whether the next control event can never be applied here: it
// stands where the host has shown two.
func (c *Channel) Stopped() bool {
	return c.Split() && c.Control.Seq+1 >= c.forks[ControlLog].Seq
}

// cutsAt reports whether a fork at the place cuts its log: nothing at or above it is final.
func (c *Channel) cutsAt(at Ref) bool {
	if at.LogID == ControlLog {
		return at.Seq > c.handed()
	}
	_, final := c.finalFrom(at)
	return !final
}

// finalFrom is the lowest place of a log, from the one given upwards, of which a control event named
// the hash.
func (c *Channel) finalFrom(from Ref) (lowest Cut, found bool) {
	for at, hash := range c.final {
		if at.LogID == from.LogID && at.Seq >= from.Seq && (!found || at.Seq < lowest.Seq) {
			lowest, found = Cut{at.Seq, hash}, true
		}
	}
	return lowest, found
}

// dispute notes that the log has a fork at the place, below what is final.
func (c *Channel) dispute(at Ref) {
	if old := c.disputes[at.LogID]; old > 0 && old <= at.Seq {
		if _, active := c.awaits(Ref{at.LogID, old}); active {
			return
		}
	}
	c.disputes = maps.Clone(c.disputes)
	if c.disputes == nil {
		c.disputes = map[LogID]int64{}
	}
	c.disputes[at.LogID] = at.Seq
}

// Contradict notes that the control log names another event for a place than the one held here. The
// fork lies somewhere above the place below it that was named last, or above where this copy starts.
func (c *Channel) Contradict(at Ref) {
	log := c.Logs[at.LogID]
	log.Contradicted = true
	agreed := log.From - 1
	for named := range c.final {
		if named.LogID == at.LogID && named.Seq < at.Seq {
			agreed = max(agreed, named.Seq)
		}
	}
	c.disputes = maps.Clone(c.disputes)
	if c.disputes == nil {
		c.disputes = map[LogID]int64{}
	}
	c.disputes[at.LogID] = agreed + 1
}

// awaits is the final place that decides a fork at the given one, as long as this server has not
// reached it.
func (c *Channel) awaits(fork Ref) (Cut, bool) {
	cut, final := c.finalFrom(fork)
	log := c.LogOf(fork.LogID)
	return cut, final && (log.Seq < cut.Seq || log.Contradicted)
}

// places are those at which the log is known to be forked.
func (c *Channel) places(id LogID) (seqs []int64) {
	if at, ok := c.forks[id]; ok {
		seqs = append(seqs, at.Seq)
	}
	if seq := c.disputes[id]; seq > 0 {
		seqs = append(seqs, seq)
	}
	return seqs
}

// Guarded is the place up to which events of a forked log must be held whole before any is applied:
// the control log names the hash of the branch that counts.
func (c *Channel) Guarded(id LogID) (until Cut, guarded bool) {
	for _, seq := range c.places(id) {
		if cut, waits := c.awaits(Ref{id, seq}); waits && (!guarded || cut.Seq < until.Seq) {
			until, guarded = cut, true
		}
	}
	return until, guarded
}

// Bound is where the log has to end as things are: at the cut that closed it, or below a fork whose
// right branch is not held here.
func (c *Channel) Bound(id LogID) (Cut, bool) {
	bound, bounded := c.CutOf(id)
	for _, seq := range c.places(id) {
		if _, waits := c.awaits(Ref{id, seq}); waits && (!bounded || seq <= bound.Seq) {
			bound, bounded = Cut{Seq: seq - 1}, true
		}
	}
	return bound, bounded
}

// Forks are the places at which proofs stop the control log or cut data logs, in the order of the logs:
// what members tell one another.
func (c *Channel) Forks() []Ref {
	var cutting []Ref
	for id, at := range c.forks {
		if id == ControlLog && c.Split() {
			cutting = append(cutting, Ref{id, at.Seq})
		} else if cut, closed := c.CutOf(id); id != ControlLog && closed && cut.Seq == at.Seq-1 && c.cutsAt(Ref{id, at.Seq}) {
			cutting = append(cutting, Ref{id, at.Seq})
		}
	}
	sortRefs(cutting)
	return cutting
}

// LacksFork reports whether a proof of a fork at the place would change something here.
func (c *Channel) LacksFork(at Ref) bool {
	if at.LogID == ControlLog {
		return c.cutsAt(at) && (!c.Split() || at.Seq < c.forks[ControlLog].Seq)
	}
	cut, closed := c.CutOf(at.LogID)
	return c.cutsAt(at) && (!closed || cut.Seq >= at.Seq)
}

// ended are the data logs that proofs or the host closed.
func (c *Channel) ended() map[LogID]bool {
	all := map[LogID]bool{}
	for id := range c.forks {
		all[id] = id != ControlLog
	}
	for id := range c.frozen {
		all[id] = true
	}
	return all
}
