package federation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// want is a channel that is to be fetched from the server.
type want struct {
	at     time.Time // not before
	tried  []string  // servers that could not supply what is lacking
	pushed bool      // the server may be delivering what remains by itself: see flows
	dry    bool      // it does not
	target standing  // where the server stood when it was last asked
	sum    string    // of the channel here, then
	idle   int       // pages in a row that brought nothing
	ahead  []threads.Waiting
	later  []wireRef // how far logs need not come, of servers that brought as much as they may for now
	// missing are the contents that were asked for last.
	missing  []threads.Hash
	searches []*search // for where copies of logs part
	searched map[threads.LogID]int
}

const (
	flowTime = 500 * time.Millisecond // within which a delivery under way must show
	soon     = time.Second
	maxPages = 8 // in one step
)

// note is a want as handlers and other couriers leave it.
type note struct {
	soon  bool // only after a little while: what is lacking may be on its way
	tried []string
}

// want has the channel fetched from the server.
func (c *Courier) want(channel threads.Hash, n note) {
	c.hint(Hint{Want: channel, Soon: n.soon, Tried: n.tried})
}

func (c *Courier) takeWants(notes map[threads.Hash]note, now time.Time) {
	for id, n := range notes {
		if c.wants[id] != nil && n.soon {
			continue
		}
		w := &want{at: now, tried: n.tried}
		if n.soon {
			w.at = now.Add(soon)
		}
		c.wants[id] = w
	}
}

func (c *Courier) nextWant() time.Time {
	var next time.Time
	for _, w := range c.wants {
		next = earliest(next, w.at)
	}
	return next
}

// fetchWanted pulls page after page of the channels of which something is lacking.
func (c *Courier) fetchWanted(ctx context.Context, now time.Time) error {
	for range maxPages {
		ids, err := c.dueWants(ctx, now)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := c.pull(ctx, ids, now); err != nil {
			return err
		}
	}
	return nil
}

func (c *Courier) dueWants(ctx context.Context, now time.Time) ([]threads.Hash, error) {
	var due []threads.Hash
	for _, id := range slices.SortedFunc(maps.Keys(c.wants), strings.Compare) {
		w := c.wants[id]
		if now.Before(w.at) || len(due) == maxPullChannels {
			continue
		}
		flows, err := c.flows(ctx, id, w, now)
		if err != nil {
			return nil, err
		}
		if !flows {
			due = append(due, id)
		}
	}
	return due, nil
}

// flows looks, for a channel of which the server has only its own log left to give, whether its
// delivery is under way: then asking would bring the same twice.
func (c *Courier) flows(ctx context.Context, id threads.Hash, w *want, now time.Time) (bool, error) {
	if !w.pushed {
		return false, nil
	}
	ch, err := c.x.Journal.Channel(ctx, id)
	if err != nil {
		return false, err
	}
	if ch == nil || len(behind(ch, w.target)) == 0 {
		w.pushed = false
		missing, err := c.x.missing(ctx, id)
		if err != nil || ch != nil && len(missing) > 0 {
			return false, err
		}
		delete(c.wants, id)
		return true, nil
	}
	sum := c.x.digests.sum(ch)
	flowing := sum != w.sum
	w.sum, w.pushed, w.dry = sum, flowing, !flowing
	if flowing {
		w.at = now.Add(flowTime)
	}
	return flowing, nil
}

// behind are the logs of which the standing reaches further than the channel here.
func behind(ch *threads.Channel, s standing) []threads.LogID {
	var ids []threads.LogID
	if s.Control.Number > ch.Control.Seq && !ch.Stopped() {
		ids = append(ids, threads.ControlLog)
	}
	for _, h := range s.Frontier {
		cut, closed := ch.CutOf(h.LogID)
		if h.Seq > ch.LogOf(h.LogID).Seq && !(closed && ch.LogOf(h.LogID).Seq >= cut.Seq) {
			ids = append(ids, h.LogID)
		}
	}
	return ids
}

// pull makes one exchange about some channels and takes in what it brings.
func (c *Courier) pull(ctx context.Context, ids []threads.Hash, now time.Time) error {
	var request pullRequest
	for _, id := range ids {
		asked, err := c.x.lackingHere(ctx, id, c.wants[id])
		if err != nil {
			return err
		}
		asked.Waiting = asked.Waiting && !c.x.doubts.has(id, c.name)
		request.Channels = append(request.Channels, asked)
	}
	got, tail, err := c.fetch(ctx, request, false, now)
	if err != nil {
		return err
	}
	answered := map[threads.Hash]bool{}
	for _, t := range tail.Channels {
		if w := c.wants[t.Channel]; w != nil && !answered[t.Channel] {
			answered[t.Channel] = true
			if err := c.pulled(ctx, w, t, got.answer.Channels[t.Channel], now); err != nil {
				return err
			}
		}
	}
	for _, id := range ids {
		if !answered[id] {
			delete(c.wants, id)
		}
	}
	return nil
}

// fetch asks for frames and hands them to the journal.
func (c *Courier) fetch(ctx context.Context, request pullRequest, below bool, now time.Time) (taken, pullTail, error) {
	body, err := marshal(request)
	if err != nil {
		return taken{}, pullTail{}, fmt.Errorf("write a pull: %w", err)
	}
	got, err := c.x.ask(ctx, c.name, pullPath, typeJSON, body)
	if err != nil {
		return taken{}, pullTail{}, err
	}
	lines, tail, err := splitTail(got)
	if err != nil {
		return taken{}, tail, &Unreached{fmt.Errorf("read the answer of %s: %w", c.name, err)}
	}
	frames, err := ReadFrames(lines)
	if err != nil {
		return taken{}, tail, &Unreached{fmt.Errorf("read the answer of %s: %w", c.name, err)}
	}
	frames = frames.only(request)
	in, err := c.x.takeIn(ctx, caller{name: c.name, now: now}, brought{frames, forksIn(tail, request), below})
	return in, tail, err
}

// only leaves out the events of channels that were not asked for.
func (f Frames) only(request pullRequest) Frames {
	out := Frames{Bad: f.Bad}
	for i, e := range f.Events {
		if slices.ContainsFunc(request.Channels, func(p pullChannel) bool { return p.Channel == e.Channel() }) {
			out.Events, out.Index = append(out.Events, e), append(out.Index, f.Index[i])
		}
	}
	return out
}

// lackingHere is what this server asks about one channel.
func (x *Exchange) lackingHere(ctx context.Context, id threads.Hash, w *want) (pullChannel, error) {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil {
		return pullChannel{}, fmt.Errorf("load channel %s: %w", id, err)
	}
	asked := pullChannel{standing: standingOf(id, ch)}
	if ch == nil {
		return asked, nil
	}
	for _, held := range w.ahead {
		if held.For.LogID != held.LogID || held.For.Seq > held.Seq {
			asked.Ahead = append(asked.Ahead, wireRef{LogID: held.LogID, Seq: held.Seq})
		}
	}
	asked.Ahead = append(asked.Ahead, w.later...)
	for _, s := range w.searches {
		s.ask(&asked)
	}
	asked.Waiting = ch.InDoubt()
	asked.Contents, err = x.missing(ctx, id)
	w.missing = asked.Contents
	return asked, err
}

// missing lists some events of a channel whose contents are lacking here.
func (x *Exchange) missing(ctx context.Context, id threads.Hash) ([]threads.Hash, error) {
	ids, err := x.Logs.MissingContents(ctx, id, maxContents)
	if err != nil {
		return nil, fmt.Errorf("list missing contents of %s: %w", id, err)
	}
	return ids, nil
}

// pulled decides how it goes on with a channel after a page of it.
func (c *Courier) pulled(ctx context.Context, w *want, t pulledChannel, got *threads.ChannelAnswer, now time.Time) error {
	ch, err := c.x.Journal.Channel(ctx, t.Channel)
	if err != nil {
		return fmt.Errorf("load channel %s: %w", t.Channel, err)
	}
	if ch != nil {
		if err := c.gaveAll(ctx, ch, t, got, now); err != nil {
			return err
		}
	}
	if ch == nil || t.Code == pullRemoved && !t.More {
		delete(c.wants, t.Channel)
		return nil
	}
	if t.Code == "" || t.Code == pullBranch {
		if err := c.searching(ctx, w, ch, t.Hashes); err != nil {
			return err
		}
		if err := c.suspect(ctx, w, ch, t, got); err != nil {
			return err
		}
	}
	if t.Code == pullBranch {
		if w.at = now; len(w.searches) == 0 {
			delete(c.wants, t.Channel)
		}
		return nil
	}
	if t.Code == pullUnknown && !ch.IsMember(c.name) {
		delete(c.wants, t.Channel)
		return nil
	}
	if t.Code != pullRemoved {
		if err := c.rewind(ctx, t.standing, now); err != nil {
			return err
		}
	}
	lag := behind(ch, t.standing)
	if w.later = nil; !restored(ch) {
		lag = c.x.affordable(w, t.standing, lag)
	}
	w.ahead = nil
	w.idle++
	if got != nil {
		w.ahead = got.Waiting
		if len(got.Taken) > 0 {
			w.idle = 0
		}
	}
	still, err := c.x.missing(ctx, ch.ID)
	if err != nil {
		return err
	}
	if len(w.missing) > 0 && !slices.Equal(still, w.missing) {
		w.idle = 0
	}
	w.missing = still
	c.goOn(w, ch, t, lag, now)
	return nil
}

// affordable leaves out, of the logs that are behind a standing, those of servers that brought as many
// events as they may for now: the next page goes without them, and a comparison brings them up again.
func (x *Exchange) affordable(w *want, s standing, behind []threads.LogID) []threads.LogID {
	return slices.DeleteFunc(behind, func(id threads.LogID) bool {
		full := x.PutsOff(id.Origin)
		if full {
			w.later = append(w.later, wireRef{LogID: id, Seq: s.head(id).Seq})
		}
		return full
	})
}

// goOn sets when the next page is asked for, or by whom, or that there is none.
func (c *Courier) goOn(w *want, ch *threads.Channel, t pulledChannel, lag []threads.LogID, now time.Time) {
	own := !slices.ContainsFunc(lag, func(id threads.LogID) bool { return id.Origin != c.name })
	switch {
	case len(w.searches) > 0: // each comes to an end, whatever the other answers
		w.idle, w.at = 0, now
	case len(lag) == 0 && len(w.ahead) == 0 && len(w.missing) == 0 && !learns(ch, t.standing):
		delete(c.wants, ch.ID)
		if len(shallow(ch, c.x.Server)) > 0 {
			c.deepen(ch.ID, now)
		}
	case w.idle > 1 || len(lag) == 0 && w.idle > 0:
		c.passOn(w, ch)
	case own && len(lag) > 0 && !w.dry && w.idle == 0:
		w.pushed, w.target, w.sum, w.at = true, t.standing, c.x.digests.sum(ch), now.Add(flowTime)
	default:
		w.at = now
	}
}

// passOn has the next member server asked for what this one could not supply.
func (c *Courier) passOn(w *want, ch *threads.Channel) {
	delete(c.wants, ch.ID)
	tried := append(w.tried, c.name)
	for _, name := range ch.Servers() {
		if name != c.x.Server && !slices.Contains(tried, name) {
			c.x.courier(name).want(ch.ID, note{tried: tried})
			return
		}
	}
}
