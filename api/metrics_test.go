package api_test

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/api"
)

// campaign has the tests run as long as their rows of acceptance ask.
var campaign = flag.Bool("api.campaign", false, "run the long versions")

// metric is the value of a metric without labels.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return 0
}

func series(t *testing.T, r *prometheus.Registry) int {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

// T42: nothing that clients choose becomes a label.
func TestMetricsKeepTheirNumberWhateverIsAsked(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	ask := func(n int) {
		r, err := http.NewRequest("GET", w.http.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Method = fmt.Sprintf("M%d", n)
		if n%2 == 0 {
			r.Method = "GET"
		}
		r.URL.Path = fmt.Sprintf("/api/v1/%s/%d", []string{"threads", "people", "no\xffthing", "channels"}[n%4], n)
		r.Header.Set("User-Agent", fmt.Sprintf("agent-%d", n))
		if n%3 == 0 {
			r.Header.Set("Authorization", "Bearer "+ana.secret)
		}
		rec := &nowhere{header: http.Header{}}
		w.api.ServeHTTP(rec, r)
		if rec.status < 400 {
			t.Fatalf("%s %s answers %d", r.Method, r.URL.Path, rec.status)
		}
	}
	total := 4000
	if *campaign {
		total = 100_000
	}
	for n := range 200 {
		ask(n)
	}
	before := series(t, w.registry)
	for n := range total {
		ask(200 + n)
	}
	begun := time.Now()
	if after := series(t, w.registry); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if took := time.Since(begun); took > 50*time.Millisecond {
		t.Errorf("a scrape took %s", took)
	}
}

// nowhere is a ResponseWriter that keeps the status alone.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(status int)      { n.status = status }

func TestMetricsBearTheProjectsPrefix(t *testing.T) {
	w := newWorld(t, api.Limits{})
	w.must(200, nil, "GET", "/server", nil)
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "meridian_") {
			t.Errorf("%s", f.GetName())
		}
	}
}
