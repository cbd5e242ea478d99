package threads

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Pen is what sealing an event needs besides the channel: whose server it is,
// its key, the instant and a source of salts.
type Pen struct {
	Server  string
	Key     Key // the newest
	Sign    func(message []byte) []byte
	Earlier []PenKey // for channels that do not know the newest yet
	Now     time.Time
	Random  func() [16]byte
	// Awaited names the member servers that have not delivered yet what they
	// hold of a channel whose own logs are in doubt; nil where none ever are.
	Awaited func(*Channel) []string
}

// inDoubt refuses a control event while some of the control log may be lost here.
func (p *Pen) inDoubt(c *Channel) error {
	names := "the channel's other servers"
	if p.Awaited != nil {
		names = strings.Join(p.Awaited(c), ", ")
	}
	return Refuse(Unavailable, "control_in_doubt", "", "this server may have lost some of what it decided in this channel and waits to hear it from "+
		names+"; try again later, or have an administrator give up a server that will not come back")
}

// Salt is a fresh salt for a content.
func (p *Pen) Salt() string {
	random := p.Random()
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// Draft is an event before it has its place.
type Draft struct {
	Type    string
	Actor   string
	Content []byte
	Erases  Hash
	Targets []Ref // what it refers to: named first among its causal dependencies
}

// SealData gives a draft its place at the end of the server's own log and signs
// it. The channel's log moves on.
func (c *Channel) SealData(d Draft, p *Pen) (*Event, error) {
	if len(d.Content) > MaxContent {
		return nil, Refuse(TooLarge, "too_large", "", fmt.Sprintf("this is %d bytes as stored; at most %d are possible", len(d.Content), MaxContent))
	}
	key, err := p.in(c)
	if err != nil {
		return nil, err
	}
	id := c.OpenLog(p.Server, p.Now)
	log := c.LogOf(id)
	if c.surplus(id) {
		return nil, Refuse(Conflict, "too_many_logs", "", fmt.Sprintf("this server began %d logs in this channel, as many as count; an owner can remove the server and invite its people again", MaxLogs))
	}
	after, seen := c.dependencies(log, d.Targets, p.Now)
	seen = append(seen, log.Time, c.Control.Time)
	h := Header{
		Channel: c.ID, Log: LogData, Origin: id.Origin, Epoch: id.Epoch, Seq: log.Seq + 1, Prev: log.Hash,
		Control: ControlRef{Number: c.Control.Seq, Hash: c.Control.Hash},
		After:   after, Erases: d.Erases, Time: Next(p.Now, seen...), Actor: d.Actor, Type: d.Type, Key: key.Key.ID,
	}
	e := Seal(h, d.Content, key.Sign)
	c.Advance(e)
	own := c.Logs[id]
	if own.named == nil {
		own.named = map[LogID]int64{}
	}
	for _, ref := range after {
		own.named[ref.LogID] = max(own.named[ref.LogID], ref.Seq)
	}
	return e, nil
}

// dependencies are the entries of other data logs that the next event of log
// names: the targets, then the newest entries not named yet. seen are the times
// of those whose time is at hand. What is dated ahead of the clock is not named:
// nobody could apply the event before that time has come.
func (c *Channel) dependencies(log *Log, targets []Ref, now time.Time) (after []Ref, seen []Time) {
	add := func(r Ref, t Time) {
		if t.Wall().After(now.Add(MaxAhead)) {
			return
		}
		for _, have := range after {
			if have == r {
				return
			}
		}
		if len(after) < MaxAfter && r.LogID != log.LogID && r.LogID != ControlLog {
			after, seen = append(after, r), append(seen, t)
		}
	}
	for _, t := range targets {
		if head := c.Logs[t.LogID]; head != nil && t.Seq <= head.Seq && t.Seq > log.named[t.LogID] {
			add(t, head.Time)
		}
	}
	for _, head := range c.Frontier() {
		if head.Seq > log.named[head.LogID] {
			add(Ref{head.LogID, head.Seq}, head.Time)
		}
	}
	return after, seen
}

// Advance moves a data log's head to e, which must be the log's next event.
func (c *Channel) Advance(e *Event) {
	id := e.Header.LogID()
	log := c.Logs[id]
	if log == nil || log.Seq < e.Header.Seq-1 { // the copy begins here
		log = &Log{From: e.Header.Seq, Before: e.Header.Prev}
		c.Logs[id] = log
	}
	log.Head = Head{LogID: id, Seq: e.Header.Seq, Hash: e.ID, Time: e.Header.Time}
	log.Control = e.Header.Control.Number
}

// SealControl gives a draft the next place in the control log, which only the
// host may do, and applies it.
func (c *Channel) SealControl(d Draft, p *Pen) (*Event, error) {
	if c.Host != p.Server && c.Control.Seq > 0 {
		return nil, Refuse(Elsewhere, "not_host", "", "only the channel's host, "+c.Host+", writes its control log")
	}
	if c.ControlDoubt != Sure {
		return nil, p.inDoubt(c)
	}
	if err := c.Changeable(); err != nil {
		return nil, err
	}
	if len(d.Content) > MaxContent {
		return nil, Refuse(TooLarge, "too_large", "", "a channel has at most 500 servers: this event would not fit")
	}
	key, err := p.in(c)
	if err != nil {
		return nil, err
	}
	h := Header{
		Channel: c.ID, Log: LogControl, Origin: p.Server, Seq: c.Control.Seq + 1, Prev: c.Control.Hash,
		Time: Next(p.Now, c.Control.Time), Actor: d.Actor, Type: d.Type, Key: key.Key.ID,
	}
	e := Seal(h, d.Content, key.Sign)
	if h.Seq == 1 {
		c.ID = e.ID
	}
	if err := c.ApplyControl(e); err != nil {
		return nil, fmt.Errorf("apply own %s: %w", d.Type, err)
	}
	return e, nil
}
