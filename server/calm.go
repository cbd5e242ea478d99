package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the log: of one kind of record about one subject there is one in
// calmEvery; so many kinds are told apart, and what is beyond counts as one.
const (
	calmEvery = time.Second
	calmKinds = 4096
)

// calm is a log that no storm fills: records of level Info and above that say
// the same of the same are left out for a second, and the next one says how
// many were. It changes nothing else about them.
type calm struct {
	slog.Handler
	about string // the attributes of the logger that tell records apart
	quiet *quiet
}

// quiet is what all loggers of one log share.
type quiet struct {
	clock   func() time.Time
	leftOut prometheus.Counter

	mu    sync.Mutex
	kinds map[string]*storm
}

// storm is what is known of one kind of record.
type storm struct {
	last time.Time
	left int // since the last one that was written
}

// newCalm puts a calm in front of a log. The counter takes what is left out.
func newCalm(h slog.Handler, clock func() time.Time, leftOut prometheus.Counter) *slog.Logger {
	return slog.New(&calm{Handler: h, quiet: &quiet{clock: clock, leftOut: leftOut, kinds: map[string]*storm{}}})
}

// subjects are the attributes by which records of one message are told apart.
var subjects = map[string]bool{"partner": true, "server": true, "reason": true, "code": true, "step": true, "listener": true}

func about(a slog.Attr) string {
	if !subjects[a.Key] {
		return ""
	}
	return "\x00" + a.Key + "=" + a.Value.String()
}

// Handle writes the record, unless one of its kind was written within the second.
func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return c.Handler.Handle(ctx, r)
	}
	kind := r.Level.String() + r.Message + c.about
	r.Attrs(func(a slog.Attr) bool {
		kind += about(a)
		return true
	})
	left, write := c.quiet.take(kind)
	if !write {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", left))
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs is that of the log.
func (c *calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *c
	out.Handler = c.Handler.WithAttrs(attrs)
	for _, a := range attrs {
		out.about += about(a)
	}
	return &out
}

// WithGroup is that of the log.
func (c *calm) WithGroup(name string) slog.Handler {
	out := *c
	out.Handler = c.Handler.WithGroup(name)
	return &out
}

// take says whether a record of the kind may be written now, and how many were
// left out before it.
func (q *quiet) take(kind string) (left int, write bool) {
	now := q.clock()
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.kinds[kind]
	if s == nil {
		if len(q.kinds) >= calmKinds {
			q.forget(now)
		}
		if len(q.kinds) >= calmKinds {
			kind = "" // too many kinds within a second: they share their turn
		}
		if s = q.kinds[kind]; s == nil {
			s = &storm{}
			q.kinds[kind] = s
		}
	}
	if since := now.Sub(s.last); since >= 0 && since < calmEvery && !s.last.IsZero() {
		s.left++
		q.leftOut.Inc()
		return 0, false
	}
	left = s.left
	s.last, s.left = now, 0
	return left, true
}

// forget drops the kinds that are over; of a storm whose end nobody saw the
// count is in the metric.
func (q *quiet) forget(now time.Time) {
	for kind, s := range q.kinds {
		if since := now.Sub(s.last); since < 0 || since >= calmEvery && s.left == 0 || since >= time.Minute {
			delete(q.kinds, kind)
		}
	}
}
