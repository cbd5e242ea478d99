package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/api"
)

// ledger takes a log, for tests to read.
type ledger struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *ledger) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// records are the lines of a log in JSON, each of which has to be one record.
func (l *ledger) records(t *testing.T) (all []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bufio.NewScanner(bytes.NewReader(l.text.Bytes()))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var record map[string]any
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			t.Fatalf("%v in %.300s", err, lines.Text())
		}
		all = append(all, record)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// T43: of 100,000 records a minute about three partners, each with two reasons, one a second of each
// is written, and they say how many were left out.
func TestAStormLeavesOneLineASecondOfEachKind(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	kept := &ledger{}
	leftOut := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
	log := newCalm(slog.NewJSONHandler(kept, nil), func() time.Time { return now }, leftOut)
	const records = 100_000
	for i := range records {
		now = now.Add(time.Minute / records)
		log.With("partner", fmt.Sprintf("p%d.example", i%3)).Warn("partner not reached", "reason", []string{"timeout", "name"}[i/3%2], "error", fmt.Sprint(i))
	}
	now = now.Add(time.Second)
	for i := range 6 {
		log.Warn("partner not reached", "partner", fmt.Sprintf("p%d.example", i%3), "reason", []string{"timeout", "name"}[i/3])
	}
	lines := map[string]int{}
	said := 0
	for _, r := range kept.records(t) {
		lines[fmt.Sprint(r["partner"], r["reason"])]++
		said++
		if n, ok := r["left_out"].(float64); ok {
			said += int(n)
		}
	}
	if len(lines) != 6 || said != records+6 {
		t.Errorf("%d kinds, %d records accounted for: %v", len(lines), said, lines)
	}
	for kind, n := range lines {
		if n > 62 {
			t.Errorf("%d lines in 61 seconds of %s", n, kind)
		}
	}
	if got := valueOf(t, leftOut); int(got)+len(kept.records(t)) != records+6 {
		t.Errorf("the metric says %f", got)
	}
}

func valueOf(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestKindsWithoutNumberShareOneTurn(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	kept := &ledger{}
	log := newCalm(slog.NewJSONHandler(kept, nil), func() time.Time { return now }, prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}))
	for i := range 3 * calmKinds {
		log.Info("asked", "server", fmt.Sprint(i))
	}
	if n := len(kept.records(t)); n != calmKinds+1 {
		t.Errorf("%d lines", n)
	}
}

// T43: whatever is sent to a server, each record of its log is one line of JSON, and no token, password
// or key is in it, though everything is logged.
func TestTheLogHoldsNoSecretsAndOneLineARecord(t *testing.T) {
	kept := &ledger{}
	at := newSite(t, "")
	at.options.Log = slog.New(slog.NewJSONHandler(kept, &slog.HandlerOptions{Level: slog.LevelDebug}))
	at.start()
	token := at.person("ana")
	const password = "correct horse of nobody"
	hash, err := api.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	at.mustOperate("people.add", NewAccount{Name: "ben", Hash: hash}, nil)
	long := strings.Repeat("A", 20_000) + "canary-of-a-long-value"
	odd := "first\r\nsecond {\"level\":\"ERROR\"}\x1b[31mred"
	secrets := []string{token, password, hash, "canary-of-a-long-value", "wrong password of nobody"}
	send := func(method, path, body string, headers ...string) {
		r, err := http.NewRequest(method, at.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header[headers[i]] = []string{headers[i+1]}
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return // the header was too odd even for the client
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	for _, given := range []string{token, token + "x", "canary-of-a-long-value"} {
		send("GET", "/api/v1/channels?token="+given, "", "Authorization", "Bearer "+given)
		send("GET", "/api/v1/events?after="+given, "", "Cookie", "session="+given)
		send("POST", "/federation/v1/push", given, "Signature", given)
		send("GET", "/api/v1/stream", "", "Authorization", "Bearer "+given)
	}
	for _, p := range []string{password, "wrong password of nobody"} {
		body, _ := json.Marshal(map[string]string{"name": "ben", "password": p})
		send("POST", "/api/v1/sessions", string(body))
		send("POST", "/api/v1/sessions", string(body)+"}")
	}
	body, _ := json.Marshal(map[string]string{"name": odd, "purpose": long})
	send("POST", "/api/v1/channels", string(body), "Authorization", "Bearer "+token)
	send("GET", "/api/v1/search?q="+strings.Repeat("%0d%0a", 300), "", "Authorization", "Bearer "+token)
	send("GET", "/%0d%0aINFO%1b[31m", "", "User-Agent", "x\ty")
	send("POST", "/federation/v1/pull", "{}", "Signature", `keyId="https://evil.example/keys/0123456789abcdef",algorithm="hs2019",headers="x",signature="`+long+`"`)
	key, err := os.ReadFile(KeyFile(at.options.Config.DataDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(string(key)) {
		if len(line) >= 32 {
			secrets = append(secrets, line)
		}
	}
	if err := at.stop(); err != nil {
		t.Fatal(err)
	}
	records := kept.records(t)
	if len(records) < 20 {
		t.Errorf("%d records: nothing was logged", len(records))
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	for _, secret := range secrets {
		if strings.Contains(kept.text.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if strings.ContainsAny(kept.text.String(), "\r\x1b") {
		t.Error("control characters reach the log as they are")
	}
}
