package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are counted by labels from closed sets alone: the patterns of routes
// that exist, known methods, classes of status.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sockets  prometheus.Gauge
	events   prometheus.Counter
	slow     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_http_requests_total", Help: "Requests by people's clients, by route, method and class of status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_http_request_seconds", Help: "How long requests by people's clients took, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"route"}),
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_sockets_open", Help: "WebSockets that are open.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_socket_events_total", Help: "Events written to WebSockets.",
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_socket_slow_closes_total", Help: "WebSockets closed because their client read too slowly.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.sockets, m.events, m.slow} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the client interface: %w", err)
		}
	}
	return m, nil
}

var classes = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	class := classes[0]
	if status >= 100 && status < 600 {
		class = classes[status/100]
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete, http.MethodHead:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, class).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
