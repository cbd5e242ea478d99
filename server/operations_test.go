package server

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

const operations = "../docs/operations"

// The rules are tested by Prometheus itself.
func TestAlertsFireWhereTheyShould(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is missing (Debian: apt-get install prometheus)")
		}
		t.Skip("no promtool (Debian: apt-get install prometheus)")
	}
	for _, arguments := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		run := exec.Command(tool, arguments...)
		run.Dir = operations
		if said, err := run.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, said)
		}
	}
}

// alerts are the names and expressions of the alert rules.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
		}
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(operations, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestEveryAlertIsInTheRunbookAndTested(t *testing.T) {
	runbook, tests := read(t, "../runbook.md"), read(t, "alerts_test.yaml")
	for name := range alerts(t) {
		_, entry, found := strings.Cut(runbook, "\n## "+name+"\n")
		entry, _, _ = strings.Cut(entry, "\n## ")
		if !found || !strings.Contains(entry, "**Means:**") || !strings.Contains(entry, "**Do:**") {
			t.Errorf("%s has no entry in docs/runbook.md that says what it means and what to do", name)
		}
		if !strings.Contains(tests, "alertname: "+name+"\n") {
			t.Errorf("%s is not tested", name)
		}
	}
	for _, title := range regexp.MustCompile(`\n## (\w+)\n`).FindAllStringSubmatch(runbook, -1) {
		if alerts(t)[title[1]] == "" {
			t.Errorf("the runbook has an entry for %s, of which there is no alert", title[1])
		}
	}
}

var metricName = regexp.MustCompile(`\b(?:meridian|go|process)_[a-z0-9_]+`)

// described are the names of all metrics that a server has, with and without samples.
func described(t *testing.T) map[string]bool {
	t.Helper()
	at := newSite(t, "")
	dir := at.options.Config.DataDir
	c := &at.options.Config
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, c.TLS.CertFile, c.TLS.KeyFile)
	at.start()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		at.options.Registry.Describe(descriptions)
		close(descriptions)
	}()
	names := map[string]bool{}
	for d := range descriptions {
		for _, name := range metricName.FindAllString(d.String(), -1) {
			names[name] = true
		}
	}
	for _, name := range metricName.FindAllString(metricsOf(at), -1) {
		names[name] = true
	}
	return names
}

func TestEveryMetricOfRulesAndDashboardExists(t *testing.T) {
	used := map[string]string{}
	note := func(where, expression string) {
		for _, name := range metricName.FindAllString(expression, -1) {
			used[strings.TrimSuffix(name, "_bucket")] = where
		}
	}
	for name, expression := range alerts(t) {
		note(name, expression)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			note(p.Title, target.Expr)
		}
	}
	there := described(t)
	for name, where := range used {
		if !there[name] {
			t.Errorf("%s uses %s, which no server has", where, name)
		}
	}
}
