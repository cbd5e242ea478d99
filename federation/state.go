package federation

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// load takes up delivery where it stood, once. The comparison at start corrects what was not saved.
func (c *Courier) load(ctx context.Context, now time.Time) error {
	if c.loaded {
		return nil
	}
	p, err := c.x.partner(ctx, c.name)
	if err != nil {
		return err
	}
	if p.State == "" {
		if p, err = c.x.noteMember(ctx, c.name, now); err != nil {
			return err
		}
	}
	c.queue = queue{cursor: p.Cursor, through: p.Cursor, full: true}
	c.mu.Lock()
	p.ContactIn, p.ContactOut = later(c.state.ContactIn, p.ContactIn), later(c.state.ContactOut, p.ContactOut)
	if c.state.ContactOut.IsZero() {
		c.state = p.Exchange
	} else { // it answered before the first step: what was written down is older
		c.state.Cursor, c.state.Versions, c.state.ContactIn = p.Cursor, p.Versions, p.ContactIn
	}
	c.current = true
	c.mu.Unlock()
	c.x.metrics.trouble(c.name, p.Reason)
	if err := c.loadLanes(ctx, now); err != nil {
		return err
	}
	c.x.mu.Lock()
	others := len(c.x.couriers) - 1
	c.x.mu.Unlock()
	c.compareAt = now.Add(time.Duration(c.x.Jitter() * float64(startSpread) * float64(others)))
	if others >= maxTurns {
		c.retryAt = c.compareAt // until its turn comes nothing is asked of it, whatever there is to do
	}
	c.keyAt = c.compareAt.Add(c.x.spread(keyCheckEvery))
	if !p.Verified {
		c.keyAt = c.compareAt
	}
	c.loaded = true
	return nil
}

// Current is a partner with how it goes at this moment, which is written down a little later.
func (x *Exchange) Current(p threads.Partner) threads.Partner {
	x.mu.Lock()
	c := x.couriers[p.Name]
	x.mu.Unlock()
	if c == nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current {
		cursor := p.Cursor
		p.Exchange = c.state
		p.Cursor = cursor
	}
	return p
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// noteMember shows the administrator a server that became a neighbour by joining a channel.
func (x *Exchange) noteMember(ctx context.Context, name string, now time.Time) (threads.Partner, error) {
	keys, err := x.memberKeys(ctx, name)
	if err != nil || len(keys) == 0 {
		return threads.Partner{Name: name}, err
	}
	x.Log.Info("a server that is no partner is a member of a channel", "server", name)
	p, err := x.Options.Partners.NotePartner(ctx, name, Fingerprint(ed25519.PublicKey(keys[0].Public)), now)
	if err != nil {
		return p, fmt.Errorf("note member server %s: %w", name, err)
	}
	return p, nil
}

func (c *Courier) loadLanes(ctx context.Context, now time.Time) error {
	page := threads.Page{Limit: 100}
	for {
		rows, next, err := c.x.Deliveries.PartnerChannels(ctx, c.name, page)
		if err != nil {
			return fmt.Errorf("load deliveries to %s: %w", c.name, err)
		}
		for _, row := range rows {
			ch, err := c.x.Journal.Channel(ctx, row.Channel)
			if err != nil {
				return fmt.Errorf("load channel %s: %w", row.Channel, err)
			}
			if ch == nil {
				continue
			}
			l := c.lane(ch, now)
			l.PartnerChannel, l.dirty, l.stored = row, false, true
			l.reach(row)
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}

// save writes down where delivery stands, at most once a second: what a crash forgets is found again
// by the comparison. It returns the time of the next step.
func (c *Courier) save(ctx context.Context, now, next time.Time) (time.Time, error) {
	if !c.dirty {
		return next, nil
	}
	if due := c.saved.Add(saveEvery); now.Before(due) {
		return earliest(next, due), nil
	}
	if err := c.Flush(ctx); err != nil {
		return now.Add(time.Second), err
	}
	c.saved = now
	return next, c.measure(ctx, now)
}

// Flush writes down where delivery stands. It is for the end: steps do it by themselves.
func (c *Courier) Flush(ctx context.Context) error {
	if !c.loaded || !c.dirty {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	for _, id := range slices.SortedFunc(maps.Keys(c.lanes), strings.Compare) {
		l := c.lanes[id]
		if !l.dirty {
			continue
		}
		l.newest(c.x.Server)
		if err := c.x.Deliveries.SavePartnerChannel(ctx, c.fence, l.PartnerChannel); err != nil {
			return err
		}
		l.dirty, l.stored = false, true
	}
	for _, id := range c.closed {
		if c.lanes[id] == nil {
			if err := c.x.Deliveries.ClearPartnerChannel(ctx, c.fence, c.name, id); err != nil {
				return err
			}
		}
	}
	c.closed = nil
	c.mu.Lock()
	c.state.Cursor = c.queue.cursor
	state := c.state
	c.mu.Unlock()
	if err := c.x.Deliveries.SaveExchange(ctx, c.fence, c.name, state); err != nil {
		return err
	}
	c.dirty = false
	c.tell()
	return nil
}

// reach takes up the place of a row: of the log that it names the server has so much, of later ones
// nothing. How far it has the control log no row says, so it is offered from the beginning: the answer
// tells. One that was removed compares no more, and would never hear of it otherwise.
func (l *lane) reach(row threads.PartnerChannel) {
	l.control = 0
	for id := range l.have {
		if id.Epoch == row.Epoch {
			l.have[id] = row.Have
		} else if id.Epoch > row.Epoch {
			l.have[id] = 0
		}
	}
}

// newest sets the row's place to that of the newest own log.
func (l *lane) newest(self string) {
	l.Epoch, l.Have = 0, 0
	for id, seq := range l.have {
		if id.Origin == self && id.Epoch > l.Epoch {
			l.Epoch, l.Have = id.Epoch, seq
		}
	}
}
