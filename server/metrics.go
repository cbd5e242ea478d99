package server

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"meridian/internal/store"
	"meridian/threads/journal"
)

// registerMetrics registers what this package counts: the process, the database
// and the journal. The client interface and the federation register their own.
func registerMetrics(r prometheus.Registerer, s *store.Store) (*journalMetrics, error) {
	of := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	for _, c := range of {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the process: %w", err)
		}
	}
	database := prometheus.WrapRegistererWithPrefix("meridian_", r)
	for name, db := range s.Databases() {
		if err := database.Register(collectors.NewDBStatsCollector(db, name)); err != nil {
			return nil, fmt.Errorf("register metrics of the database: %w", err)
		}
	}
	return newJournalMetrics(r)
}

// journalMetrics tell how writing goes.
type journalMetrics struct {
	commits prometheus.Counter
	events  prometheus.Counter
	group   prometheus.Histogram
	seconds prometheus.Histogram
	waiting prometheus.Gauge
	leftOut prometheus.Counter // of the log
}

func newJournalMetrics(r prometheus.Registerer) (*journalMetrics, error) {
	m := &journalMetrics{
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_journal_commits_total", Help: "Transactions that appended to the journal.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_journal_events_total", Help: "Events appended to the journal.",
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_journal_commit_events", Help: "Events that shared a transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_journal_commit_seconds", Help: "How long transactions took until they were durable.",
			Buckets: prometheus.ExponentialBuckets(.0005, 2, 15),
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_journal_waiting_events", Help: "Events of partners that wait for what they depend on.",
		}),
		leftOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_log_records_left_out_total", Help: "Log records left out because one of their kind was written within the second.",
		}),
	}
	for _, c := range []prometheus.Collector{m.commits, m.events, m.group, m.seconds, m.waiting, m.leftOut} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the journal: %w", err)
		}
	}
	return m, nil
}

func (m *journalMetrics) committed(c journal.Commit) {
	if len(c.Entries) == 0 {
		return
	}
	m.commits.Inc()
	m.events.Add(float64(len(c.Entries)))
	m.group.Observe(float64(len(c.Entries)))
	m.seconds.Observe(c.Took.Seconds())
	m.waiting.Set(float64(c.Waited))
}
