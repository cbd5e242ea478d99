package threads

import "fmt"

// Start is where a newcomer's copy of a log begins: after the event at Seq. The
// host vouches for what the next event is checked against, because a newcomer
// that did not check it would hold what the others refused.
type Start struct {
	Cut
	Time    Time  // of the event at Seq
	Control int64 // the control number that it names
}

// StartLogs gives a newcomer the heads that were named when its server was
// admitted: what follows them is verified from there, what lies below is
// history. A server that holds more of a log already keeps it.
func (c *Channel) StartLogs(self string) {
	for id, at := range c.Start(self) {
		if log := c.Logs[id]; id.Origin == self || at.Seq == 0 || log != nil && (log.Seq >= at.Seq || c.servers[self].last().full) {
			continue
		}
		c.Logs[id] = &Log{Head: Head{LogID: id, Seq: at.Seq, Hash: at.Hash, Time: at.Time}, From: at.Seq + 1, Before: at.Hash, Control: at.Control}
	}
}

// Floor is the lowest seq to which a member's copy of a log reaches down: what
// newcomers see, and all of the log of its own.
func (c *Channel) Floor(server string, id LogID) int64 {
	if c.Settings.History == "full" || id.Origin == server {
		return 1
	}
	return c.Start(server)[id].Seq + 1
}

// startedAt is what the control log says of the event at which some member's copy
// of the log began, zero where none did.
func (c *Channel) startedAt(id LogID, seq int64) Start {
	for _, m := range c.servers {
		for _, a := range m.admissions {
			if at := a.start[id]; at.Seq == seq && seq > 0 {
				return at
			}
		}
	}
	return Start{}
}

// ServedFrom is the seq from which a member server is given a log that it has
// applied up to have. One that came back into a channel whose newcomers see all
// of its history goes on where it stopped; others go on from their start. What it
// wrote itself, and lost, is no history to it.
func (c *Channel) ServedFrom(server string, id LogID, have int64) int64 {
	m := c.servers[server]
	if m == nil || have > 0 && c.SeesHistory(server) || id.Origin == server {
		return have + 1
	}
	return max(have, m.last().start[id].Seq) + 1
}

// SeesHistory reports whether newcomers saw all of the channel's history when
// the server was last admitted. A later change of the setting takes nothing
// from those who are in.
func (c *Channel) SeesHistory(server string) bool {
	m := c.servers[server]
	return m != nil && m.last().full
}

// appendStarts appends where a newcomer's copies begin, as
// [[origin, epoch, seq, hash, time, control], …].
func appendStarts(dst []byte, c *Channel) []byte {
	dst = append(dst, '[')
	for i, h := range c.Frontier() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = AppendString(dst, h.Origin)
		for _, n := range [...]int64{h.Epoch, h.Seq} {
			dst = AppendInt(append(dst, ','), n)
		}
		dst = AppendString(append(dst, ','), h.Hash)
		for _, n := range [...]int64{int64(h.Time), c.Logs[h.LogID].Control} {
			dst = AppendInt(append(dst, ','), n)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func decodeStarts(o Object) (map[LogID]Start, error) {
	a, ok, err := o.Array("heads")
	if err != nil || !ok {
		return nil, err
	}
	starts := make(map[LogID]Start, a.Len())
	for i := range a.Len() {
		bad := refuse("shape", fmt.Sprintf("/heads/%d", i), "must be [origin, epoch, seq, hash, time, control]")
		t, err := a.Array(i)
		if err != nil || t.Len() != 6 {
			return nil, bad
		}
		var errs [6]error
		var id LogID
		var at Start
		var clock int64
		id.Origin, errs[0] = t.String(0)
		id.Epoch, errs[1] = t.Int(1)
		at.Seq, errs[2] = t.Int(2)
		at.Hash, errs[3] = t.String(3)
		clock, errs[4] = t.Int(4)
		at.Control, errs[5] = t.Int(5)
		at.Time = Time(clock)
		if errs != [6]error{} || !isServerName(id.Origin) || at.Seq < 1 || !IsHash(at.Hash) {
			return nil, bad
		}
		starts[id] = at
	}
	return starts, nil
}
