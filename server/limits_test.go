package server

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/federation"
	"meridian/internal/limit"
)

var update = flag.Bool("update", false, "write docs/limits.md anew")

// T35: docs/limits.md is what the tables say from which the limiters are made, with the defaults of the
// configuration.
func TestTheDocumentedLimitsAreThoseThatHold(t *testing.T) {
	settings, err := config.Load("", nil, map[string]string{"public_url": "http://127.0.0.1:8001", "data_dir": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{config: settings}
	text := "# What one caller may use up\n\n" +
		"Each row is counted for one caller alone: whoever goes beyond it is turned away, and nobody else. It is made by `go test ./server -run TestTheDocumented -update` from the tables in `api/limit.go` and `federation/limit.go`, with the defaults of the configuration; names with a dot are settings. With several nodes each counts by itself.\n\n" +
		"## People's clients\n\n" + rows(s.clientLimits().Table()) +
		"\nA request with a valid token never counts for its address: people get in whatever strangers behind the same address do. From an address that has used up its rate, tokens that are not in memory are looked up 4 at a time. A WebSocket whose token comes in its first message is nobody's until then.\n" +
		"\n## Partners\n\n" + rows(federation.LimitTable(settings.Limits.PartnerRate, settings.Limits.PartnerEvents)) +
		"\nEvents are counted, as they are stored, for the server whose people wrote them, whoever brings them; what is fetched of the history before one's joining, or to bring back what was lost, is not. A server that has used up its events is answered 429 to pushes alone; what others bring of its events is refused with `retry_later`, and nobody's events wait for them. It keeps what is too much, and sends it when `Retry-After` is over.\n"
	path := filepath.Join("..", "docs", "limits.md")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if there, err := os.ReadFile(path); err != nil || string(there) != text {
		t.Errorf("docs/limits.md is not what holds (%v); go test ./server -run TestTheDocumented -update, and read what changed", err)
	}
}

func rows(table []limit.Limit) string {
	text := "| limit | of | in the long run | at once | beyond it | `Retry-After` |\n| --- | --- | --- | --- | --- | --- |\n"
	for _, l := range table {
		run, retry := "", "none"
		if l.PerSecond > 0 {
			run = fmt.Sprintf("%g/s", l.PerSecond)
			retry = "until there is one again, " + limit.Seconds(time.Duration(float64(time.Second)/l.PerSecond)) + " s at least"
			if l.PerSecond != float64(int(l.PerSecond)) {
				run = fmt.Sprintf("%g/min", l.PerSecond*60)
			}
		} else if l.Retry > 0 {
			retry = limit.Seconds(l.Retry) + " s"
		}
		name := l.Name
		if strings.Contains(name, ".") {
			name = "`" + name + "`"
		}
		text += fmt.Sprintf("| %s | %s | %s | %d | %d `%s` | %s |\n", name, l.Of, run, l.Most, l.Status, l.Code, retry)
	}
	return text
}
