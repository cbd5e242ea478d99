package federation

import (
	"context"
	"fmt"
	"slices"

	"meridian/threads"
)

// heldRun is how many events of a log are asked of a member at once.
const heldRun = 200

// Held asks the channel's other members, one after the other, for events of a log
// from a place upwards as they hold them, and passes what each sent, in the order
// of the log and without a gap, to take until that has what it wants. Nothing of
// it is taken in. Signatures are not verified.
func (x *Exchange) Held(ctx context.Context, channel threads.Hash, at threads.Ref, take func([]*threads.Event) (bool, error)) error {
	ch, err := x.Journal.Channel(ctx, channel)
	if err != nil {
		return fmt.Errorf("load channel %s: %w", channel, err)
	}
	if ch == nil {
		return nil
	}
	request, err := marshal(pullRequest{Channels: []pullChannel{{standing: standingBelow(ch, at)}}, Limit: heldRun})
	if err != nil {
		return fmt.Errorf("write a pull: %w", err)
	}
	for _, name := range ch.Servers() {
		if name == x.Server {
			continue
		}
		events, err := x.heldBy(ctx, name, request, at)
		if err != nil {
			x.Log.Debug("a member did not help", "server", name, "channel", channel, "error", err)
			continue
		}
		if done, err := take(events); done || err != nil {
			return err
		}
	}
	return nil
}

// standingBelow is that of a server whose copy of one log ends before the place.
func standingBelow(ch *threads.Channel, at threads.Ref) standing {
	s := standingOf(ch.ID, ch)
	if at.LogID == threads.ControlLog {
		s.Control = wireControl{at.Seq - 1, ch.HashAt(at.Seq - 1)}
		return s
	}
	s.Frontier = slices.DeleteFunc(s.Frontier, func(h wireHead) bool { return h.LogID == at.LogID })
	if at.Seq > 1 {
		s.Frontier = append(s.Frontier, wireHead{LogID: at.LogID, From: at.Seq - 1, Seq: at.Seq - 1})
	}
	return s
}

func (x *Exchange) heldBy(ctx context.Context, name string, request []byte, at threads.Ref) ([]*threads.Event, error) {
	got, err := x.ask(ctx, name, pullPath, typeJSON, request)
	if err != nil {
		return nil, err
	}
	lines, _, err := splitTail(got)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", name, err)
	}
	frames, err := ReadFrames(lines)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", name, err)
	}
	var events []*threads.Event
	for _, e := range frames.Events {
		if e.Header.LogID() == at.LogID && e.Header.Seq == at.Seq+int64(len(events)) {
			events = append(events, e)
		}
	}
	return events, nil
}
