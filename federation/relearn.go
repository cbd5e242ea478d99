package federation

import (
	"context"
	"fmt"
	"net/http"

	"meridian/threads"
)

// maxRelearned is how many lost channels are taken up at one comparison with a partner.
const maxRelearned = 64

// relearn takes up a channel of which nothing is known here and which the partner
// says this server is in: it was, if the control event that admitted it bears its
// own key's word for that. Then it is fetched like any other.
func (c *Courier) relearn(ctx context.Context, id threads.Hash) (bool, error) {
	body, err := marshal(pullRequest{Channels: []pullChannel{{standing: standing{Channel: id}, Admission: true}}})
	if err != nil {
		return false, fmt.Errorf("write a pull: %w", err)
	}
	got, err := c.x.ask(ctx, c.name, pullPath, typeJSON, body)
	if err != nil {
		return false, err
	}
	lines, _, err := splitTail(got)
	if err != nil {
		return false, &Unreached{fmt.Errorf("read the answer of %s: %w", c.name, err)}
	}
	frames, err := ReadFrames(lines)
	if err != nil {
		return false, &Unreached{fmt.Errorf("read the answer of %s: %w", c.name, err)}
	}
	for _, e := range frames.Events {
		key, ok := e.Admitted(c.x.Server)
		if ok && e.Channel() == id && isOneOf(c.x.ownKeys().ring.Signed(c.x.Server), key) {
			c.x.heed(c.name, Hint{Relearned: id})
			c.x.Log.Info("a channel that this server had lost comes back", "partner", c.name, "channel", id)
			return true, c.x.Invitations.Expect(ctx, id)
		}
	}
	c.x.Log.Warn("a partner says that this server is in a channel and does not show that it ever accepted", "partner", c.name, "channel", id)
	return false, nil
}

// relearned are those of the channels given that are being taken up again.
func (x *Exchange) relearned(events []*threads.Event) map[threads.Hash]bool {
	x.doubts.mu.Lock()
	defer x.doubts.mu.Unlock()
	if len(x.doubts.relearning) == 0 {
		return nil
	}
	out := map[threads.Hash]bool{}
	for _, e := range events {
		out[e.Channel()] = x.doubts.relearning[e.Channel()]
	}
	return out
}

// admission adds the control event that admitted the asker.
func (s *serving) admission(ctx context.Context) error {
	number := s.ch.JoinedAt(s.asker)
	events, err := s.x.logEvents(ctx, s.ch.ID, threads.Ref{Seq: number}, number, 1)
	if err != nil {
		return err
	}
	for _, e := range events {
		if !s.page.add(e) {
			return refuseExchange(http.StatusRequestEntityTooLarge, "too_many_channels", "ask about fewer channels at a time")
		}
	}
	return nil
}
