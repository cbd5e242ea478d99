package federation

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// metAfter is how long nobody may supply a dependency until it counts as met.
const metAfter = time.Hour

// answerPush takes in frames and says where each channel touched stands after them. It answers only
// once what it took is durable.
func (x *Exchange) answerPush(ctx context.Context, from caller) (reply, error) {
	first, rest, ok := bytes.Cut(from.body, []byte{'\n'})
	if !ok {
		return reply{}, refuseExchange(400, "malformed", "a push begins with a line that names the sender's control heads")
	}
	var head pushHead
	if err := decodeBody(first, &head); err != nil {
		return reply{}, malformed(fmt.Errorf("first line: %w", err))
	}
	frames, err := ReadFrames(rest)
	if err != nil {
		return reply{}, refuseExchange(413, "too_many_frames", err.Error())
	}
	in, err := x.takeIn(ctx, from, brought{Frames: frames})
	if err != nil {
		return reply{}, err
	}
	answer := pushAnswer{Refusals: in.refusals}
	heads := map[threads.Hash]standing{}
	for _, s := range head.Channels[:min(len(head.Channels), MaxFrames)] {
		heads[s.Channel] = s
	}
	for id := range in.answer.Channels {
		if _, ok := heads[id]; !ok {
			heads[id] = standing{Channel: id}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(heads), strings.Compare) {
		a, shown, err := x.channelAnswer(ctx, from, id, in.answer.Channels[id])
		if err != nil {
			return reply{}, err
		}
		if !shown {
			if got := in.answer.Channels[id]; got != nil && slices.ContainsFunc(got.Waiting, forControl) {
				x.courier(from.name).want(id, note{}) // it knows more of who is a member
			}
			continue
		}
		answer.Channels = append(answer.Channels, a)
		bared, err := x.bared(ctx, id, in)
		if err != nil {
			return reply{}, err
		}
		if bared || lacks(a) || x.parts(ctx, heads[id]) || astray(in.answer.Channels[id]) {
			x.courier(from.name).want(id, note{})
		}
	}
	return answerJSON(answer)
}

// bared reports whether contents are lacking after control events came: a removal may have taken back
// erasures, of which the contents are dropped by now.
func (x *Exchange) bared(ctx context.Context, id threads.Hash, in taken) (bool, error) {
	got := in.answer.Channels[id]
	if got == nil || got.Control.Seq <= control(in.before[id]) {
		return false, nil
	}
	missing, err := x.missing(ctx, id)
	return len(missing) > 0, err
}

func forControl(w threads.Waiting) bool { return w.For.LogID == threads.ControlLog && w.For.Seq > 0 }

// lacks reports whether something of the channel is to be fetched from the sender: what its frames
// wait for.
func lacks(a channelAnswer) bool {
	return slices.ContainsFunc(a.Waiting, func(w wireWaiting) bool { return w.For != nil })
}

// channelAnswer is what the sender may know of where a channel stands here, as of now.
func (x *Exchange) channelAnswer(ctx context.Context, from caller, id threads.Hash, got *threads.ChannelAnswer) (channelAnswer, bool, error) {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return channelAnswer{}, false, fmt.Errorf("load channel %s: %w", id, err)
	}
	if ch == nil || !ch.IsMember(from.name) || !reaches(ch, from.name, from.keys) {
		return channelAnswer{}, false, nil
	}
	a := channelAnswer{standing: standingOf(id, ch)}
	if got != nil {
		a.Waiting = writeWaiting(got.Waiting)
	}
	return a, true, nil
}

// brought is what an exchange brought.
type brought struct {
	Frames
	forks []threads.Fork
	below bool // the frames continue logs downwards
}

// taken is what became of frames that arrived.
type taken struct {
	answer   threads.Answer
	refusals []wireRefusal
	before   map[threads.Hash]*threads.Channel // as they were; nil for unknown ones
}

// takeIn hands the frames that a server may send to the journal. Whatever arrives, by push or as
// the answer to a pull, comes through here.
func (x *Exchange) takeIn(ctx context.Context, from caller, in brought) (taken, error) {
	out := taken{before: map[threads.Hash]*threads.Channel{}}
	for _, bad := range in.Bad {
		out.refusals = append(out.refusals, wireRefusal{
			Channel: bad.Channel, Code: bad.Code, Detail: firstBytes(bad.Detail, 300), Index: bad.Index,
			Origin: bad.Ref.Origin, Epoch: bad.Ref.Epoch, Seq: bad.Ref.Seq,
		})
	}
	events, index, err := x.screen(ctx, from, in, &out)
	if err != nil {
		return out, err
	}
	if len(events)+len(in.forks) > 0 {
		out.answer, err = x.Journal.Ingest(ctx, threads.Batch{
			From: from.name, Events: events, Forks: in.forks, Now: from.now, Below: in.below, MetAfter: metAfter, Relearned: x.relearned(events),
		})
		if err != nil {
			return out, fmt.Errorf("take in %d events of %s: %w", len(events), from.name, err)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(out.answer.Channels), strings.Compare) {
		if !in.below && !restored(out.before[id]) { // history comes at this server's own pace
			x.spend(out.answer.Channels[id].Taken, x.Clock())
		}
		if out.answer.Channels[id].Control.Seq > control(out.before[id]) {
			if err := x.membersChanged(ctx, id, out.before[id]); err != nil {
				return out, err
			}
		}
		if learnt := out.answer.Channels[id].Forks; len(learnt) > 0 {
			if err := x.learnt(ctx, id, learnt); err != nil {
				return out, err
			}
		}
		told, err := x.told(ctx, from, id, events, out.answer.Channels[id].Refused)
		if err != nil {
			return out, err
		}
		for _, r := range told {
			out.refusals = append(out.refusals, wireRefusal{
				Channel: id, Code: r.Code, Detail: r.Detail, Index: index[r.Index],
				Origin: r.Origin, Epoch: r.Epoch, Seq: r.Seq,
			})
		}
	}
	if len(out.refusals) > 0 {
		x.metrics.framesRefused(out.refusals)
		x.Log.Info("frames refused", "partner", from.name, "count", len(out.refusals), "code", out.refusals[0].Code)
	}
	return out, nil
}

// told is what a sender hears of refusals in a channel. One that never was a member hears the same as
// of a channel that does not exist.
func (x *Exchange) told(ctx context.Context, from caller, id threads.Hash, events []*threads.Event, refused []threads.Refusal) ([]threads.Refusal, error) {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("load channel %s: %w", id, err)
	}
	if from.keys == nil || ch == nil || ch.WasMember(from.name) {
		return refused, nil
	}
	var all []threads.Refusal
	seen := map[threads.LogID]bool{}
	for i, e := range events {
		if log := e.Header.LogID(); e.Channel() == id && !seen[log] {
			seen[log] = true
			all = append(all, threads.Refusal{Ref: e.Header.Ref(), Index: i, Code: threads.RefusedUnknownChannel, Detail: threads.NotInChannel})
		}
	}
	return all, nil
}

// control is the number of a channel's newest control event, 0 for an unknown channel.
func control(ch *threads.Channel) int64 {
	if ch == nil {
		return 0
	}
	return ch.Control.Seq
}

// membersChanged has the profiles of a channel's people fetched after its control log moved, and tells
// servers that were removed: the host may not have told them, and who else is a member they need not
// know.
func (x *Exchange) membersChanged(ctx context.Context, id threads.Hash, before *threads.Channel) error {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return fmt.Errorf("load channel %s: %w", id, err)
	}
	for _, name := range ch.Servers() {
		if name != x.Server {
			x.courier(name).learn()
		}
	}
	if before == nil {
		return nil
	}
	for _, name := range before.Servers() {
		if name != x.Server && !ch.IsMember(name) {
			x.courier(name).claimed(standing{Channel: id, Control: wireControl{Number: ch.RemovedAt(name) - 1}}, false)
		}
	}
	return nil
}

// screen leaves out the events of channels about which this key may say nothing: a removed server's,
// but for what it gives back of a control log in doubt, those of a channel that knows the sender by
// another key, and control events that make known a key which contradicts a pinned one: their channel
// goes no further here until an administrator looked. What servers wrote that have brought as many
// events as they may comes later.
func (x *Exchange) screen(ctx context.Context, from caller, in brought, out *taken) (events []*threads.Event, index []int, err error) {
	verdicts, back := map[threads.Hash]string{}, map[threads.Hash]int64{}
	for i, e := range in.Events {
		id := e.Channel()
		code, known := verdicts[id]
		if !known {
			ch, err := x.Journal.Channel(ctx, id)
			if err != nil {
				return nil, nil, fmt.Errorf("load channel %s: %w", id, err)
			}
			code = mayBring(ch, from)
			out.before[id] = ch
			verdicts[id] = code
			if code == threads.RefusedRemoved {
				back[id] = regained(ch, in.Events)
			}
		}
		if e.Header.Log == threads.LogControl && e.Header.Seq <= back[id] {
			code = ""
		}
		detail := "your server may not send this channel's events"
		if code == "" && e.Header.Seq > control(out.before[id]) {
			if detail, err = x.impostor(ctx, e); err != nil {
				return nil, nil, err
			}
			if detail != "" {
				code = threads.RefusedKey
			}
		}
		if code == "" && !in.below && !restored(out.before[id]) && x.PutsOff(e.Header.Origin) {
			code, detail = threads.RefusedRetryLater, "its server has brought as many events as it may for now"
		}
		if code == "" {
			events, index = append(events, e), append(index, in.Index[i])
			continue
		}
		out.refusals = append(out.refusals, wireRefusal{
			Channel: id, Code: code, Detail: detail, Index: in.Index[i],
			Origin: e.Header.Origin, Epoch: e.Header.Epoch, Seq: e.Header.Seq,
		})
	}
	return events, index, nil
}

func mayBring(ch *threads.Channel, from caller) string {
	switch {
	case ch == nil || !ch.WasMember(from.name):
		return "" // the journal says what it thinks of it; the control log may admit the sender
	case from.keys != nil && !reaches(ch, from.name, from.keys):
		return threads.RefusedKey
	case !ch.IsMember(from.name):
		return threads.RefusedRemoved
	}
	return ""
}
