package federation

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"meridian/threads"
)

// Bounds of one pull.
const (
	maxPullChannels = 64
	maxContents     = 100 // contents, and probes, asked for in one channel
)

// Why a channel is not, or not fully, given.
const (
	pullUnknown = threads.RefusedUnknownChannel
	pullRemoved = threads.RefusedRemoved
	pullBranch  = threads.RefusedBranch
)

// answerPull gives frames that continue the asker's heads, from any log of the channels that the
// asker may see as of now, and then where each channel stands here.
func (x *Exchange) answerPull(ctx context.Context, from caller) (reply, error) {
	var request pullRequest
	if err := decodeBody(from.body, &request); err != nil {
		return reply{}, malformed(err)
	}
	if len(request.Channels) > maxPullChannels {
		return reply{}, refuseExchange(413, "too_many_channels", fmt.Sprintf("a pull is about at most %d channels", maxPullChannels))
	}
	p := &page{room: MaxFrames}
	if request.Limit > 0 {
		p.room = min(p.room, request.Limit)
	}
	var tail pullTail
	for _, asked := range request.Channels {
		got, err := x.serve(ctx, from, asked, p)
		if err != nil {
			return reply{}, err
		}
		tail.Channels = append(tail.Channels, got)
	}
	last, err := marshal(tail)
	if err != nil {
		return reply{}, fmt.Errorf("write the answer to a pull: %w", err)
	}
	return reply{typeFrames, append(append(p.frames, last...), '\n')}, nil
}

// page collects the frames of an answer within its bounds.
type page struct {
	frames []byte
	room   int
	taken  int  // bytes that proofs take
	full   bool // something did not fit
}

// reserve makes room for so many frames of so many bytes.
func (p *page) reserve(frames, bytes int) bool {
	if p.room < frames || len(p.frames)+p.taken+bytes > frameRoom {
		p.full = true
		return false
	}
	p.room -= frames
	return true
}

func (p *page) add(e *threads.Event) bool {
	if !p.reserve(1, frameSize(e)) {
		return false
	}
	p.frames = AppendFrame(p.frames, e)
	return true
}

// serve adds what the asker lacks of one channel to the page.
func (x *Exchange) serve(ctx context.Context, from caller, asked pullChannel, p *page) (pulledChannel, error) {
	id := asked.Channel
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return pulledChannel{}, fmt.Errorf("load channel %s: %w", id, err)
	}
	if ch == nil || !ch.WasMember(from.name) || !reaches(ch, from.name, from.keys) {
		return pulledChannel{standing: standing{Channel: id}, Code: pullUnknown}, nil
	}
	s := &serving{x: x, ch: ch, asker: from.name, have: asked.standing, page: p}
	s.have.Frontier = slices.Clone(asked.Frontier)
	for _, r := range asked.Ahead[:min(len(asked.Ahead), maxContents)] {
		s.moved(r.LogID, r.Seq, "")
	}
	out := pulledChannel{standing: standing{Channel: id}}
	switch n := asked.Control.Number; {
	case n > ch.Control.Seq && !ch.Stopped():
		x.courier(from.name).want(id, note{})
	case n > 0 && n <= ch.Control.Seq && ch.HashAt(n) != asked.Control.Hash:
		out.Code = pullBranch
		if !ch.Split() {
			x.courier(from.name).want(id, note{soon: true})
		}
		if !ch.IsMember(from.name) {
			return out, nil
		}
		if out.Proofs, err = s.proofs(ctx); err == nil {
			err = s.differing(ctx, asked)
		}
		out.standing, out.Hashes = standing{Channel: id, Control: wireControl{ch.Control.Seq, ch.Control.Hash}, Forks: forksOf(ch)}, s.hashes
		return out, err
	}
	if !ch.IsMember(from.name) {
		out.Code = pullRemoved
		err := s.control(ctx, ch.RemovedAt(from.name))
		out.Control, out.More = s.have.Control, p.full
		return out, err
	}
	if asked.Admission {
		return out, s.admission(ctx)
	}
	if cameApart(ch, from.name, x.Server) {
		out.Code = pullRemoved
		err := s.control(ctx, ch.Control.Seq)
		out.Control, out.More = wireControl{ch.Control.Seq, ch.Control.Hash}, p.full
		return out, err
	}
	if asked.Waiting {
		if out.Waiting, err = x.waitingHere(ctx, id, from.now); err != nil {
			return out, err
		}
	}
	room := p.room
	if out.Proofs, err = s.proofs(ctx); err != nil {
		return out, err
	}
	if err := s.all(ctx, asked); err != nil {
		return out, err
	}
	out.standing, out.More, out.Hashes = standingOf(id, ch), p.full, s.hashes
	if s.asksMore() || learns(ch, asked.standing) {
		x.courier(from.name).want(id, note{soon: true})
	}
	x.courier(from.name).claimed(asked.standing, p.room < room)
	return out, nil
}

// serving is the answer about one channel to one member. Its have moves on with what is given, and
// is not what the asker holds: the answer may be lost.
type serving struct {
	x      *Exchange
	ch     *threads.Channel
	asker  string
	have   standing
	page   *page
	hashes []threads.Hash
}

func (s *serving) all(ctx context.Context, asked pullChannel) error {
	if err := s.control(ctx, s.ch.Control.Seq); err != nil {
		return err
	}
	if err := s.contents(ctx, asked.Contents[:min(len(asked.Contents), maxContents)]); err != nil {
		return err
	}
	if err := s.differing(ctx, asked); err != nil {
		return err
	}
	if len(asked.Below) > 0 {
		return s.below(ctx, asked.Below)
	}
	return s.data(ctx)
}

// control adds the control log after the asker's, up to the number last.
func (s *serving) control(ctx context.Context, last int64) error {
	events, err := s.x.logEvents(ctx, s.ch.ID, threads.Ref{Seq: s.have.Control.Number + 1}, last, s.page.room+1)
	if err != nil {
		return err
	}
	for _, e := range events {
		if !s.page.add(e) {
			return nil
		}
		s.have.Control = wireControl{e.Header.Seq, e.ID}
	}
	return nil
}

// data adds what continues the asker's data logs, all logs side by side in the order of their times,
// so that what depends on an event comes after it.
func (s *serving) data(ctx context.Context) error {
	var logs []*cursor
	for _, h := range s.ch.Frontier() {
		from := s.ch.ServedFrom(s.asker, h.LogID, s.have.head(h.LogID).Seq)
		from = max(from, s.ch.Logs[h.LogID].From)
		if from <= h.Seq {
			logs = append(logs, &cursor{at: threads.Ref{LogID: h.LogID, Seq: from}, last: h.Seq})
		}
	}
	if len(logs) == 0 {
		return nil
	}
	chunk := max(16, (s.page.room+1)/len(logs))
	for {
		next, err := s.next(ctx, logs, chunk)
		if err != nil || next == nil {
			return err
		}
		e := next.events[0]
		if !s.page.add(e) {
			return nil
		}
		next.events = next.events[1:]
		s.moved(e.Header.LogID(), e.Header.Seq, e.ID)
	}
}

// cursor reads one log in pieces.
type cursor struct {
	at     threads.Ref // next to be read
	last   int64
	events []*threads.Event
}

// next is the log with the earliest event, nil when all are at their ends.
func (s *serving) next(ctx context.Context, logs []*cursor, chunk int) (*cursor, error) {
	var first *cursor
	for _, l := range logs {
		if len(l.events) == 0 && l.at.Seq <= l.last {
			var err error
			if l.events, err = s.x.logEvents(ctx, s.ch.ID, l.at, l.last, chunk); err != nil {
				return nil, err
			}
			l.at.Seq += int64(len(l.events))
			if len(l.events) == 0 {
				l.last = 0
			}
		}
		if len(l.events) > 0 && (first == nil || l.events[0].Header.Time < first.events[0].Header.Time) {
			first = l
		}
	}
	return first, nil
}

// moved notes that the asker needs nothing of a log up to seq.
func (s *serving) moved(id threads.LogID, seq int64, hash threads.Hash) {
	for i := range s.have.Frontier {
		if h := &s.have.Frontier[i]; h.LogID == id {
			if seq > h.Seq {
				h.Seq, h.Hash = seq, hash
			}
			return
		}
	}
	s.have.Frontier = append(s.have.Frontier, wireHead{LogID: id, From: seq, Seq: seq, Hash: hash})
}

// below adds what continues logs downwards from where the asker's copies start, newest first.
func (s *serving) below(ctx context.Context, logs []wireHead) error {
	for _, h := range logs {
		held, ok := s.ch.Logs[h.LogID]
		if !ok {
			continue
		}
		first := max(s.ch.Floor(s.asker, h.LogID), held.From, h.From-int64(s.page.room)-1)
		events, err := s.x.logEvents(ctx, s.ch.ID, threads.Ref{LogID: h.LogID, Seq: first}, min(h.From-1, held.Seq), MaxFrames+1)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(events) {
			if !s.page.add(e) {
				return nil
			}
		}
	}
	return nil
}

// contents adds the events whose contents the asker lacks, those that are at hand.
func (s *serving) contents(ctx context.Context, ids []threads.Hash) error {
	if len(ids) == 0 {
		return nil
	}
	events, err := s.x.Logs.EventsByID(ctx, s.ch.ID, ids)
	if err != nil {
		return fmt.Errorf("look up contents of %s: %w", s.ch.ID, err)
	}
	for _, e := range events {
		h := &e.Header
		if e.Content == nil || h.Log != threads.LogData || h.Seq < s.ch.Floor(s.asker, h.LogID()) {
			continue
		}
		if !s.page.add(e) {
			return nil
		}
	}
	return nil
}

// asksMore reports whether the asker holds more than this server of a log that it will not deliver
// itself; of this server's own logs too, if they were lost here.
func (s *serving) asksMore() bool {
	for _, h := range s.have.Frontier {
		cut, closed := s.ch.CutOf(h.LogID)
		if h.Origin != s.asker && h.Seq > s.ch.LogOf(h.LogID).Seq && !(closed && s.ch.LogOf(h.LogID).Seq >= cut.Seq) {
			return true
		}
	}
	return false
}

// splitTail parts the answer to a pull into its frames and its last line.
func splitTail(body []byte) (frames []byte, tail pullTail, err error) {
	body, ok := bytes.CutSuffix(body, []byte{'\n'})
	if !ok {
		return nil, tail, fmt.Errorf("the answer to a pull ends in a line feed")
	}
	start := bytes.LastIndexByte(body, '\n') + 1
	if err := decodeBody(body[start:], &tail); err != nil {
		return nil, tail, fmt.Errorf("last line: %w", err)
	}
	return body[:start], tail, nil
}
