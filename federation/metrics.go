package federation

import (
	"time"

	"meridian/threads"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator sees of the exchange. Partner labels are names of couriers: members
// of shared channels and allowed partners, never names that a request claims.
type metrics struct {
	signatureFailures *prometheus.CounterVec
	refused           *prometheus.CounterVec
	forks             *prometheus.CounterVec
	overQuota         *prometheus.CounterVec
	deliveries        *prometheus.CounterVec
	seconds           *prometheus.HistogramVec
	contacts          *prometheus.GaugeVec
	clocks            *prometheus.GaugeVec
	own               prometheus.Gauge
	backlog           *prometheus.GaugeVec
	oldest            *prometheus.GaugeVec
	fileBytes         *prometheus.CounterVec
	troubles          *prometheus.GaugeVec
	failures          *prometheus.CounterVec
	parkedChannels    *prometheus.GaugeVec
	certificates      *prometheus.GaugeVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meridian_" + name, Help: help}, labels)
	}
	m := &metrics{
		signatureFailures: counter("federation_signature_failures_total", "Requests refused for their signature, by reason.", "reason"),
		refused:           counter("federation_frames_refused_total", "Frames of partners that were not taken, by code.", "code"),
		forks:             counter("federation_forks_total", "Proofs that a server signed two events for one place, by log: data or control.", "log"),
		overQuota:         counter("partner_over_quota_total", "Pushes of a partner that were put off because it brought as many events as limits.partner_events lets it.", "partner"),
		deliveries:        counter("partner_deliveries_total", "Events pushed to a partner, by result; a failed push counts once.", "partner", "result"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_partner_delivery_seconds", Help: "From an event's time until the partner has applied it.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600, 86400},
		}, []string{"partner"}),
		contacts: gauge("partner_last_contact_timestamp_seconds", "Last contact with a partner, each way.", "partner", "direction"),
		clocks:   gauge("partner_clock_difference_seconds", "The partner's clock less ours, as its answers tell it.", "partner"),
		own: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_clock_off_seconds", Help: "The median of the partners' clocks less ours; beyond 120 either way nothing is appended.",
		}),
		backlog:        gauge("partner_backlog_events", "Events that a partner has not been offered yet; at most 10,000 are counted.", "partner"),
		oldest:         gauge("partner_oldest_undelivered_timestamp_seconds", "When the oldest event was written that a partner has not been offered yet, 0 for none.", "partner"),
		troubles:       gauge("partner_trouble", "1 for the reason why nothing is exchanged with a partner now.", "partner", "reason"),
		failures:       counter("partner_failures_total", "Exchanges with a partner that failed, by reason.", "partner", "reason"),
		parkedChannels: gauge("partner_parked_channels", "Channels that a partner does not take: parked, or with a rejected event.", "partner"),
		certificates:   gauge("partner_certificate_expiry_timestamp_seconds", "When the certificate ends that a partner showed last.", "partner"),
	}
	for _, log := range []string{threads.LogControl, threads.LogData} {
		m.forks.WithLabelValues(log) // there from the start, so that the first one is an increase
	}
	m.fileBytes = counter("federation_file_bytes_total", "Bytes of files that partners sent and were sent.", "direction")
	for _, direction := range []string{"received", "sent"} {
		m.fileBytes.WithLabelValues(direction)
	}
	if registry == nil {
		return m, nil
	}
	for _, reason := range SignatureReasons() {
		m.signatureFailures.WithLabelValues(reason)
	}
	for _, log := range []string{threads.LogData, threads.LogControl} {
		m.forks.WithLabelValues(log)
	}
	for code := range refusalCodes { // else the first of a code is no increase
		m.refused.WithLabelValues(code)
	}
	for _, c := range []prometheus.Collector{m.signatureFailures, m.refused, m.forks, m.overQuota, m.deliveries, m.seconds, m.contacts, m.clocks, m.own, m.backlog, m.oldest, m.fileBytes, m.troubles, m.failures, m.parkedChannels, m.certificates} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// refusalCodes is the closed set of codes that refused frames are counted under.
var refusalCodes = map[string]bool{
	threads.RefusedUnknownChannel: true, threads.RefusedNotMember: true, threads.RefusedRemoved: true,
	threads.RefusedOrigin: true, threads.RefusedChain: true, threads.RefusedBranch: true,
	threads.RefusedSignature: true, threads.RefusedKey: true, threads.RefusedTime: true,
	threads.RefusedFork: true, threads.RefusedRetryLater: true, threads.RefusedMalformed: true, "digest": true,
}

func (m *metrics) framesRefused(refusals []wireRefusal) {
	for _, r := range refusals {
		code := r.Code
		if !refusalCodes[code] {
			code = "other"
		}
		m.refused.WithLabelValues(code).Inc()
	}
}

func (m *metrics) delivered(partner, result string, n int) {
	if n > 0 {
		m.deliveries.WithLabelValues(partner, result).Add(float64(n))
	}
}

func (m *metrics) endToEnd(partner string, took time.Duration) {
	m.seconds.WithLabelValues(partner).Observe(max(0, took.Seconds()))
}

func (m *metrics) contact(partner, direction string, now time.Time) {
	m.contacts.WithLabelValues(partner, direction).Set(float64(now.UnixMilli()) / 1000)
}

func (m *metrics) clock(partner string, difference time.Duration) {
	m.clocks.WithLabelValues(partner).Set(difference.Seconds())
}

// trouble says why nothing is exchanged with a partner now, "" when it is.
func (m *metrics) trouble(partner, reason string) {
	m.troubles.DeletePartialMatch(prometheus.Labels{"partner": partner})
	if reason != "" {
		m.troubles.WithLabelValues(partner, reason).Set(1)
	}
}

func (m *metrics) failed(partner, reason string) {
	m.failures.WithLabelValues(partner, reason).Inc()
	m.delivered(partner, "failed", 1)
}

func (m *metrics) parked(partner string, n int) {
	m.parkedChannels.WithLabelValues(partner).Set(float64(n))
}

func (m *metrics) certificate(partner string, until time.Time) {
	m.certificates.WithLabelValues(partner).Set(float64(until.Unix()))
}

func (m *metrics) ownClock(off time.Duration) { m.own.Set(off.Seconds()) }

func (m *metrics) undelivered(partner string, b threads.Backlog) {
	m.backlog.WithLabelValues(partner).Set(float64(b.Events))
	seconds := 0.0
	if !b.Oldest.IsZero() {
		seconds = float64(b.Oldest.UnixMilli()) / 1000
	}
	m.oldest.WithLabelValues(partner).Set(seconds)
}
