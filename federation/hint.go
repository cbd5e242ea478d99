package federation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"meridian/threads"
)

// Hint is what a courier is left to look at in its next step. It carries no state: that a hint is lost
// costs time, until the next comparison, and nothing else.
type Hint struct {
	// Claim is how far the server says that it is with a channel; Given says that it is just being given
	// more.
	Claim *standing `json:"claim,omitempty"`
	Given bool      `json:"given,omitempty"`
	// Want is a channel of which something is lacking here, which the Tried could not supply; Soon is
	// only after a little while, since it may be on its way.
	Want  threads.Hash `json:"want,omitempty"`
	Soon  bool         `json:"soon,omitempty"`
	Tried []string     `json:"tried,omitempty"`
	// Unknown: there are people of whom only the id is known. Letters: there is an invitation to write about.
	Unknown bool `json:"unknown,omitempty"`
	Letters bool `json:"letters,omitempty"`
	// Roused ends a back-off, Retry tries parked channels again, Anew takes every channel for different.
	Roused bool `json:"roused,omitempty"`
	Retry  bool `json:"retry,omitempty"`
	Anew   bool `json:"anew,omitempty"`
	// Heard is when the server made a request.
	Heard time.Time `json:"heard,omitzero"`
	// For every node: the server Gave all that it holds of a channel in doubt, or is GivenUp; a
	// channel that had been lost is Relearned of it. At Spoke it had nothing left to give of channels
	// that this server hosts and had removed it from.
	Gave      threads.Hash `json:"gave,omitempty"`
	GivenUp   bool         `json:"given_up,omitempty"`
	Relearned threads.Hash `json:"relearned,omitempty"`
	Spoke     time.Time    `json:"spoke,omitzero"`
}

// heardEvery is how often another node is told at most that a server made a request.
const heardEvery = time.Second

// hint leaves a hint for the next step, at whichever node takes the courier's steps.
func (c *Courier) hint(h Hint) {
	if c.elsewhere() {
		c.x.relay(c.name, h)
		return
	}
	c.receive(h)
}

// elsewhere reports whether another node takes the courier's steps.
func (c *Courier) elsewhere() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.x.Tell != nil && !c.held
}

// relay passes a hint on to the node that has the courier.
func (x *Exchange) relay(server string, h Hint) {
	text, err := json.Marshal(h)
	if err == nil && len(text) > maxHint && h.Claim != nil {
		text, err = json.Marshal(Hint{Want: h.Claim.Channel, Soon: true}) // fetching shows where the server stands
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), exchangeTime)
		defer cancel()
		err = x.Tell(ctx, server, text)
	}
	if err != nil {
		x.Log.Warn("another node was not told of work for it; it finds it within a minute", "partner", server, "error", err)
	}
}

// maxHint is how long a hint may be, in bytes.
const maxHint = 7000

// Hinted takes in what another node of this organisation left for the courier of a server, if its steps
// are taken here; without a hint it says that something was decided about the server.
func (x *Exchange) Hinted(server string, hint []byte) error {
	if len(hint) == 0 {
		x.forget(server)
		return nil
	}
	var h Hint
	if err := json.Unmarshal(hint, &h); err != nil {
		return fmt.Errorf("read a hint about %s: %w", server, err)
	}
	x.doubts.heed(server, h)
	if c := x.courier(server); !c.elsewhere() {
		c.receive(h)
	}
	return nil
}

// receive puts a hint into the inbox and wakes the courier.
func (c *Courier) receive(h Hint) {
	c.mu.Lock()
	if h.Heard.After(c.state.ContactIn) {
		c.state.ContactIn = h.Heard
		h.Roused = h.Roused || c.state.Attempts > 0
	}
	c.inbox.add(h, c.busy)
	c.mu.Unlock()
	c.wake()
}

// add takes up a hint. What the server says that it has of a channel that is being pushed to it counts
// for nothing: the answer to the push is newer.
func (i *inbox) add(h Hint, busy map[threads.Hash]bool) {
	if h.Claim != nil && !busy[h.Claim.Channel] {
		if i.claims == nil {
			i.claims = map[threads.Hash]claim{}
		}
		i.claims[h.Claim.Channel] = claim{*h.Claim, h.Given}
	}
	if h.Want != "" {
		if i.wants == nil {
			i.wants = map[threads.Hash]note{}
		}
		i.wants[h.Want] = note{h.Soon, h.Tried}
	}
	i.unknown, i.letters = i.unknown || h.Unknown, i.letters || h.Letters
	i.roused, i.retry, i.anew = i.roused || h.Roused, i.retry || h.Retry, i.anew || h.Anew
}

// Take makes this node the one that takes the courier's steps: they begin anew from what is stored, and
// write under the fence. Steps of before must have ended.
func (c *Courier) Take(f threads.Fence) {
	c.mu.Lock()
	c.held, c.current, c.state = true, false, threads.Exchange{ContactIn: c.state.ContactIn}
	c.mu.Unlock()
	c.stepping = newStepping(f)
}

// Leave is the end of what Take began: nothing is written any more, and hints go to the node that has
// the courier now.
func (c *Courier) Leave() {
	c.mu.Lock()
	c.held, c.current, c.inbox = false, false, inbox{}
	c.mu.Unlock()
	c.stepping = newStepping(threads.Fence{})
}
