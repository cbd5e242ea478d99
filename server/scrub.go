package server

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/store"
	"meridian/threads"
)

// Every stored event is looked at once in walkEvery, or later where there are
// too many: at most walkPage in each walkPause. How far the walk has come is
// written down every walkNote.
const (
	walkEvery = 24 * time.Hour
	walkPage  = 200
	walkPause = 400 * time.Millisecond
	walkNote  = time.Minute
)

// scrubber walks slowly through all logs and repairs from members what is not as
// it was written.
type scrubber struct {
	*Server
	walk    *store.Scrubber // nil before the first step
	began   time.Time       // of the walk; zero before it
	noted   time.Time
	found   int64       // faults in this walk
	last    store.Fault // the newest that was repaired: it is not trusted twice
	metrics *scrubMetrics
}

func (x *scrubber) step(ctx context.Context, now time.Time) (next time.Time, err error) {
	if x.walk == nil {
		if x.walk, x.began, err = x.store.ResumeScrub(ctx); err != nil {
			x.walk = nil
			return now, err
		}
		x.noted = now
	}
	if x.walk.Fresh() {
		if due := x.began.Add(walkEvery); now.Before(due) && !now.Before(x.began) {
			return due, nil
		}
		x.began, x.found, x.last = now, 0, store.Fault{}
	}
	page, err := x.walk.Next(ctx, walkPage)
	if err != nil {
		return now, err
	}
	x.metrics.events.Add(float64(page.Events))
	if page.Fault != nil {
		if err := x.mend(ctx, *page.Fault, now); err != nil {
			return now, err
		}
	}
	if page.Ended {
		return now.Add(walkPause), x.ended(ctx, now)
	}
	if now.Sub(x.noted) >= walkNote {
		x.noted = now
		err = x.store.SaveScrub(ctx, x.walk, x.began)
	}
	return now.Add(walkPause), err
}

// mend repairs a fault from what is held beside it, else from members, and has
// the walk look at the place again.
func (x *scrubber) mend(ctx context.Context, f store.Fault, now time.Time) error {
	x.found++
	mended, found, err := false, false, error(nil)
	if f.Kind == store.FaultEvent || f.Kind == store.FaultContent {
		at := threads.Ref{LogID: f.Log, Seq: f.Seq}
		err = x.federation.Held(ctx, f.Channel, at, func(events []*threads.Event) (done bool, err error) {
			mended, found, err = x.store.Mend(ctx, f, store.Remedy{From: events, At: now})
			return mended, err
		})
	}
	if err == nil && !mended {
		mended, found, err = x.store.Mend(ctx, f, store.Remedy{At: now, Last: true})
	}
	if err != nil {
		return fmt.Errorf("repair what is damaged: %w", err)
	}
	x.metrics.faults.WithLabelValues(outcomeOf(mended)).Inc()
	attributes := []any{"channel", f.Channel, "origin", f.Log.Origin, "epoch", f.Log.Epoch, "seq", f.Seq, "fault", f.What}
	switch {
	case mended && f != x.last:
		x.log.Warn("a stored event was damaged and is repaired", attributes...)
		x.last = f
		x.walk.Back(&f)
	case found || mended:
		x.log.Error("a stored event is damaged and nobody who could be asked had it", attributes...)
	}
	return nil
}

func outcomeOf(mended bool) string {
	if mended {
		return "repaired"
	}
	return "damaged"
}

// ended closes a walk with a look at the audit log.
func (x *scrubber) ended(ctx context.Context, now time.Time) error {
	entries, fault, err := x.store.VerifyAudit(ctx)
	if err != nil {
		return err
	}
	if fault != nil {
		x.found++
		x.metrics.faults.WithLabelValues(outcomeOf(false)).Inc()
		x.log.Error("the audit log is damaged", "seq", fault.Seq, "fault", fault.What)
	}
	damaged, err := x.store.Damaged(ctx)
	if err != nil {
		return err
	}
	x.metrics.damaged.Set(float64(damaged))
	x.log.Info("all stored events were looked at", "faults", x.found, "damaged", damaged, "audit_entries", entries, "took", now.Sub(x.began))
	return x.store.SaveScrub(ctx, x.walk, x.began)
}

// scrubMetrics tell what the walks through the logs found.
type scrubMetrics struct {
	events  prometheus.Counter
	faults  *prometheus.CounterVec // by outcome: repaired, damaged
	damaged prometheus.Gauge
}

func newScrubMetrics(r prometheus.Registerer) (*scrubMetrics, error) {
	m := &scrubMetrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_scrub_events_total", Help: "Stored events that were looked at and are sound.",
		}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_scrub_faults_total", Help: "Places that were not as they were written, by what became of them.",
		}, []string{"outcome"}),
		damaged: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_scrub_damaged_events", Help: "Events known to be damaged that nobody who could be asked had, after the last walk.",
		}),
	}
	for _, outcome := range []bool{true, false} {
		m.faults.WithLabelValues(outcomeOf(outcome))
	}
	for _, c := range []prometheus.Collector{m.events, m.faults, m.damaged} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the scrub: %w", err)
		}
	}
	return m, nil
}
