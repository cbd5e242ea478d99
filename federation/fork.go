package federation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"meridian/threads"
)

// maxForks is how many proofs are looked through in one channel.
const maxForks = 1024

// wireFork is a proof: two headers of one place with their signatures.
type wireFork [2]wireSigned

type wireSigned struct {
	Header json.RawMessage `json:"header"`
	Sig    string          `json:"sig"`
}

func wireForkOf(f threads.Fork) (w wireFork) {
	for i, e := range [...]*threads.Event{f.First, f.Second} {
		w[i] = wireSigned{e.HeaderBytes, base64.RawURLEncoding.EncodeToString(e.Sig)}
	}
	return w
}

// fork reads a proof; whether it proves anything the channel's keys have to say.
func (w wireFork) fork() (f threads.Fork, ok bool) {
	var events [2]*threads.Event
	for i, signed := range w {
		sig, err := base64.RawURLEncoding.Strict().DecodeString(signed.Sig)
		if err != nil {
			return f, false
		}
		if events[i], err = threads.Decode(signed.Header, sig, nil); err != nil {
			return f, false
		}
	}
	return threads.NewFork(events[0], events[1])
}

// forksIn are the proofs of an answer about the channels that were asked for.
func forksIn(tail pullTail, request pullRequest) []threads.Fork {
	var forks []threads.Fork
	for _, t := range tail.Channels {
		if !slices.ContainsFunc(request.Channels, func(p pullChannel) bool { return p.Channel == t.Channel }) {
			continue
		}
		for _, w := range t.Proofs[:min(len(t.Proofs), MaxFrames/2-len(forks))] {
			if f, ok := w.fork(); ok && f.Channel() == t.Channel {
				forks = append(forks, f)
			}
		}
	}
	return forks
}

func forksOf(ch *threads.Channel) []wireRef {
	var refs []wireRef
	for _, r := range ch.Forks() {
		refs = append(refs, wireRef(r))
	}
	return refs
}

// differ reports whether a standing shows, without asking, that its server holds something else of
// the channel, or knows of a fork that this one does not.
func differ(ch *threads.Channel, s standing) bool {
	if n := s.Control.Number; n > ch.Control.Seq && !ch.Stopped() || n > 0 && n <= ch.Control.Seq && !ch.Split() && ch.HashAt(n) != s.Control.Hash {
		return true
	}
	for _, h := range s.Frontier {
		if log := ch.Logs[h.LogID]; log != nil && log.Seq == h.Seq && log.Hash != h.Hash {
			return true
		}
	}
	return learns(ch, s)
}

// learns reports whether the standing names a fork of which this server has no proof.
func learns(ch *threads.Channel, s standing) bool {
	return slices.ContainsFunc(s.Forks, func(r wireRef) bool { return ch.LacksFork(threads.Ref(r)) })
}

// parts is differ for a channel that may be unknown here.
func (x *Exchange) parts(ctx context.Context, s standing) bool {
	ch, err := x.Journal.Channel(ctx, s.Channel)
	return err == nil && ch != nil && differ(ch, s)
}

// astray reports whether a batch showed that the two copies of a log part further down.
func astray(a *threads.ChannelAnswer) bool { return a != nil && len(a.Astray) > 0 }

// proofs are those that the asker does not know of, as far as they fit.
func (s *serving) proofs(ctx context.Context) ([]wireFork, error) {
	lacking := map[threads.Ref]bool{}
	for _, r := range s.ch.Forks() {
		known := slices.ContainsFunc(s.have.Forks, func(k wireRef) bool { return k.LogID == r.LogID && k.Seq <= r.Seq })
		lacking[r] = !known && r.Seq >= s.ch.Floor(s.asker, r.LogID)
	}
	if len(lacking) == 0 {
		return nil, nil
	}
	forks, err := s.x.Logs.Forks(ctx, s.ch.ID, maxForks)
	if err != nil {
		return nil, err
	}
	var out []wireFork
	for _, f := range forks {
		if size := frameSize(f.First) + frameSize(f.Second); lacking[f.Ref()] && s.page.reserve(2, size) {
			s.page.taken += size
			out = append(out, wireForkOf(f))
		}
	}
	return out, nil
}

// differing tells the hashes at some places, by which two servers find where their copies of a log
// part, and shows what stands where they do.
func (s *serving) differing(ctx context.Context, asked pullChannel) error {
	for _, r := range asked.Probe[:min(len(asked.Probe), maxContents)] {
		e, err := s.at(ctx, threads.Ref(r))
		if err != nil {
			return err
		}
		hash := ""
		if e != nil {
			hash = e.ID
		}
		s.hashes = append(s.hashes, hash)
	}
	for _, r := range asked.At[:min(len(asked.At), maxContents)] {
		e, err := s.at(ctx, threads.Ref(r))
		if err != nil {
			return err
		}
		if e != nil {
			bare := *e
			bare.Content = nil
			s.page.add(&bare)
		}
	}
	return nil
}

// at is the event at a place, nil where none is held that the asker may see.
func (s *serving) at(ctx context.Context, r threads.Ref) (*threads.Event, error) {
	if r.Seq < s.ch.Floor(s.asker, r.LogID) {
		return nil, nil
	}
	events, err := s.x.logEvents(ctx, s.ch.ID, r, head(s.ch, r.LogID), 1)
	if err != nil || len(events) == 0 || events[0].Header.Seq != r.Seq {
		return nil, err
	}
	return events[0], nil
}

// learnt tells the administrator of proofs, and the members: they see in what they are asked next that
// this server knows of a fork, and come for the proof.
func (x *Exchange) learnt(ctx context.Context, id threads.Hash, forks []threads.Fork) error {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return fmt.Errorf("load channel %s: %w", id, err)
	}
	for _, f := range forks {
		h := &f.First.Header
		x.metrics.forks.WithLabelValues(h.Log).Inc()
		x.Log.Error("a server signed two histories", "server", h.Origin, "channel", id, "log", h.Log, "epoch", h.Epoch, "seq", h.Seq,
			"first", f.First.ID, "second", f.Second.ID, "split", ch.Split())
	}
	for _, name := range ch.Servers() {
		if name != x.Server {
			x.courier(name).want(id, note{})
		}
	}
	return nil
}

// freeze closes, as the channel's host, logs that are forked.
func (x *Exchange) freeze(ctx context.Context, ch *threads.Channel) {
	owner, logs := ch.FreezeDue(x.Server)
	for _, log := range logs {
		err := x.Do(ctx, Order{Actor: owner, Now: x.Clock(), Command: threads.FreezeLog{Channel: ch.ID, Log: log}})
		if err != nil {
			x.Log.Error("forked log not frozen", "channel", ch.ID, "server", log.Origin, "error", err)
		}
	}
}
