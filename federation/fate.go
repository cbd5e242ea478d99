package federation

import (
	"context"

	"meridian/threads"
)

// maxFates is how many changes authors are told of at a time; whoever misses one
// sees it when they ask.
const maxFates = 5000

// judged notes what became of the messages of a batch in one channel, after the
// server's answer: where it stands, and what it does not take.
func (c *Courier) judged(b *batch, channel threads.Hash, stands standing) {
	l := c.lanes[channel]
	for _, s := range b.sent {
		switch {
		case s.channel != channel || s.message == "":
		case stands.has(s.ref):
			c.fate(s, threads.Outcome{State: threads.OutcomeDelivered})
		case l != nil && l.State == threads.ChannelParked:
			c.fate(s, l.outcome(threads.OutcomeParked))
		case l != nil && l.State == threads.ChannelRejected && s.ref.Seq == l.have[s.ref.LogID]+1:
			c.fate(s, l.outcome(threads.OutcomeRejected))
		}
	}
}

// delivered notes that the server has an event which it fetched by itself.
func (c *Courier) delivered(e *threads.Event) {
	if s := sentOf(e); s.message != "" {
		c.fate(s, threads.Outcome{State: threads.OutcomeDelivered})
	}
}

// fetched notes what the server fetched by itself of a lane's channel: from where
// it stood to where it stands.
func (c *Courier) fetched(ctx context.Context, l *lane, had map[threads.LogID]int64) error {
	for id, seq := range l.have {
		events, err := c.x.logEvents(ctx, l.Channel, threads.Ref{LogID: id, Seq: had[id] + 1}, seq, MaxFrames)
		if err != nil {
			return err
		}
		for _, e := range events {
			c.delivered(e)
		}
	}
	return nil
}

// delayed notes, the first time that a server is not reached, why the messages of
// a batch stay queued.
func (c *Courier) delayed(b *batch, cause error) {
	if c.failures > 0 {
		return
	}
	t := diagnose(c.name, cause)
	for _, s := range b.sent {
		if s.message != "" {
			c.fate(s, threads.Outcome{State: threads.OutcomeQueued, Since: s.time.Wall(), Attempts: 1, Error: t.text, Remedy: t.remedy})
		}
	}
}

func (l *lane) outcome(state string) threads.Outcome {
	return threads.Outcome{State: state, Since: l.Since, Attempts: l.Attempts, Error: l.Error, Remedy: l.Remedy}
}

func (c *Courier) fate(s sent, o threads.Outcome) {
	o.Partner = c.name
	c.dirty = true
	if len(c.fates) < maxFates {
		c.fates = append(c.fates, threads.Fate{Message: s.message, Channel: s.channel, Author: s.author, Outcome: o})
	}
}

// tell passes on what became of messages once it is written down, so that whoever
// asks then is told the same.
func (c *Courier) tell() {
	fates := c.fates
	c.fates = nil
	if len(fates) > 0 && c.x.Told != nil {
		c.x.Told(fates)
	}
}
