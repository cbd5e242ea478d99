package federation

import (
	"context"
	"slices"

	"meridian/threads"
)

// search finds the lowest place at which this server's copy of a log and the other's differ, by
// asking for hashes between, and then for the event there.
type search struct {
	log    threads.LogID
	lo, hi int64   // the copies agree at lo, and differ at hi
	sure   bool    // that they differ at hi
	places []int64 // asked for last
}

// Bounds of searches in one want: places asked for at a time, and how often one log is looked into.
const (
	maxPlaces   = 16
	maxSearches = 2
)

// ask adds to the request what brings the search on.
func (s *search) ask(asked *pullChannel) {
	s.places = s.places[:0]
	if s.sure && s.hi-s.lo <= 1 {
		asked.At = append(asked.At, wireRef{LogID: s.log, Seq: s.hi})
		return
	}
	n := min(maxPlaces, s.hi-s.lo)
	for i := int64(1); i <= n; i++ {
		place := s.lo + (s.hi-s.lo)/n*i
		if i == n {
			place = s.hi
		}
		s.places = append(s.places, place)
		asked.Probe = append(asked.Probe, wireRef{LogID: s.log, Seq: place})
	}
}

// narrow takes the other's hashes at the places asked for, and reports whether there is something left
// to search. What the other does not show counts as no difference.
func (s *search) narrow(mine, theirs []threads.Hash) bool {
	if len(s.places) == 0 {
		return false // the event was asked for
	}
	for i, place := range s.places {
		if mine[i] == "" {
			return false
		}
		if theirs[i] != "" && theirs[i] != mine[i] {
			s.hi, s.sure = place, true
			return true
		}
		if place < s.hi {
			s.lo = place
		}
	}
	return false
}

// searching takes up an answer for the searches of a want.
func (c *Courier) searching(ctx context.Context, w *want, ch *threads.Channel, hashes []threads.Hash) error {
	var left []*search
	for _, s := range w.searches {
		n := len(s.places)
		if n > len(hashes) {
			continue
		}
		mine := make([]threads.Hash, n)
		for i, place := range s.places {
			var err error
			if mine[i], err = c.x.hashAt(ctx, ch, threads.Ref{LogID: s.log, Seq: place}); err != nil {
				return err
			}
		}
		if s.narrow(mine, hashes[:n]) {
			left = append(left, s)
		}
		hashes = hashes[n:]
	}
	w.searches = left
	return nil
}

// hashAt is the hash of this server's event at a place, "" where it holds none.
func (x *Exchange) hashAt(ctx context.Context, ch *threads.Channel, r threads.Ref) (threads.Hash, error) {
	if r.LogID == threads.ControlLog {
		return ch.HashAt(r.Seq), nil
	}
	if log := ch.LogOf(r.LogID); log.Seq == r.Seq {
		return log.Hash, nil
	}
	events, err := x.logEvents(ctx, ch.ID, r, ch.LogOf(r.LogID).Seq, 1)
	if err != nil || len(events) == 0 || events[0].Header.Seq != r.Seq {
		return "", err
	}
	return events[0].ID, nil
}

// suspect begins to search the logs of which the other shows another hash at a place that is held here,
// or has given an event that names another one before it.
func (c *Courier) suspect(ctx context.Context, w *want, ch *threads.Channel, t pulledChannel, got *threads.ChannelAnswer) error {
	if n := t.Control.Number; n > 0 && !ch.Split() {
		hi := min(n, ch.Control.Seq)
		if t.Code == pullBranch || n == hi && ch.HashAt(n) != t.Control.Hash {
			w.search(search{log: threads.ControlLog, lo: 1, hi: hi, sure: true})
		}
	}
	for _, h := range t.Frontier {
		log := ch.Logs[h.LogID]
		if log == nil || min(log.Seq, h.Seq) < log.From {
			continue
		}
		s := search{log: h.LogID, lo: max(log.From, h.From) - 1, hi: min(log.Seq, h.Seq)}
		if h.Seq > log.Seq {
			if got != nil && slices.Contains(got.Astray, h.LogID) {
				w.search(s)
			}
			continue
		}
		mine, err := c.x.hashAt(ctx, ch, threads.Ref{LogID: h.LogID, Seq: h.Seq})
		if err != nil {
			return err
		}
		if s.sure = mine != "" && mine != h.Hash; s.sure {
			w.search(s)
		}
	}
	return nil
}

func (w *want) search(s search) {
	if s.lo >= s.hi || w.searched[s.log] == maxSearches {
		return
	}
	if slices.ContainsFunc(w.searches, func(o *search) bool { return o.log == s.log }) || len(w.searches) == maxContents/maxPlaces {
		return
	}
	if w.searched == nil {
		w.searched = map[threads.LogID]int{}
	}
	w.searched[s.log]++
	w.searches = append(w.searches, &s)
}
