package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/store/pgtest"
)

// TestMain lets this test program stand for meridian where it is started as
// "bench hub".
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "bench" && os.Args[2] == "hub" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := ServeHub(ctx, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func testStage(t *testing.T) *stage {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{lab: &lab{Options: Options{Program: program, Progress: io.Discard}, dir: t.TempDir()}}
	t.Cleanup(func() {
		if err := s.strike(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestMedianAndPercentileTakeTheMiddleAndTheRank(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	for p, want := range map[float64]float64{50: 50, 99: 99, 100: 100, 0: 1} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %v is %v ms, want %v", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing is %v", got)
	}
}

func TestAFigureIsReachedOnlyWhenAllItsBoundsHold(t *testing.T) {
	both := target{atLeast: 4000, ratio: 0.035, postgresRatio: 0.2}
	for _, c := range []struct {
		target   target
		figure   Figure
		postgres bool
		reached  bool
	}{
		{both, Figure{Value: 5000, Ratio: 0.04}, false, true},
		{both, Figure{Value: 3999, Ratio: 0.04}, false, false},
		{both, Figure{Value: 5000, Ratio: 0.034}, false, false},
		{both, Figure{Value: 3999, Ratio: 0.21}, true, true},
		{both, Figure{Value: 5000, Ratio: 0.19}, true, false},
		{target{atMost: 1.5}, Figure{Value: 1.5}, false, true},
		{target{atMost: 1.5}, Figure{Value: 1.51}, false, false},
	} {
		words, reached := c.target.judge(c.figure, c.postgres)
		if reached != c.reached || words == "" {
			t.Errorf("%+v on postgres=%v: reached %v by %q", c.figure, c.postgres, reached, words)
		}
	}
	if words, reached := (target{atMost: 1.5}).judge(Figure{Value: 9}, true); words != "" || !reached {
		t.Errorf("a bound of SQLite alone is asked of PostgreSQL: %q, %v", words, reached)
	}
}

func TestOnlyFiguresThatExistCanBeAskedFor(t *testing.T) {
	if _, err := choose([]string{"post_rate", "post_speed"}); err == nil || !strings.Contains(err.Error(), `"post_speed"`) {
		t.Errorf("an unknown figure gives %v", err)
	}
	want := []string{
		"post_rate", "post_p50", "post_p99", "federated_rate", "delivery_p50", "delivery_p99", "catchup_rate",
		"catchup_first", "fanout_rate", "rss_idle", "rss_per_socket", "bytes_per_message", "start_time",
	}
	got, err := choose(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheReportNamesWhatWasNotReached(t *testing.T) {
	figure := figureOf("post_p50", map[string][]reading{"post_p50": {{3, 1}, {1.4, 0.7}, {2, 0.5}}}, false)
	want := Figure{
		Name: "post_p50", Value: 2, Unit: "ms", Floor: 0.7, FloorOf: floorLone, Ratio: 2 / 0.7, Target: "≤ 1.5 ms",
	}
	if diff := cmp.Diff(want, figure); diff != "" {
		t.Error(diff)
	}
	r := Report{Figures: []Figure{figure}, FloorSource: floorSource}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"post_p50", "2.00", "NO", floorInsert} {
		if !strings.Contains(table.String(), part) {
			t.Errorf("the table lacks %q:\n%s", part, &table)
		}
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Figures []map[string]any
		Machine map[string]any
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "value", "unit", "floor", "ratio"} {
		if _, ok := read.Figures[0][key]; !ok {
			t.Errorf("the JSON figure lacks %q", key)
		}
	}
	if read.Machine == nil {
		t.Error("the JSON lacks the machine")
	}
}

func TestTextsHaveTheirSizeTheirMarkAndVariedWords(t *testing.T) {
	p := newProse(3)
	for i := range 50 {
		mark := fmt.Sprintf("Mark %d.", i)
		text := string(p.next(mark))
		words := map[string]bool{}
		for w := range strings.FieldsSeq(text) {
			words[w] = true
		}
		if len(text) != bodySize || !strings.HasPrefix(text, mark) || len(words) < 30 {
			t.Fatalf("%d bytes, %d different words: %s", len(text), len(words), text)
		}
		if raw, err := json.Marshal(text); err != nil || string(raw) != `"`+text+`"` {
			t.Fatalf("needs escaping in JSON: %s", text)
		}
	}
}

func TestAConnectionIsKeptOverAnswersOfEveryLength(t *testing.T) {
	long := strings.Repeat("long ", 5000)
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/chunked":
			for part := range strings.SplitAfterSeq(long, " ") {
				_, _ = io.WriteString(w, part)
			}
		case "/echo":
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(body)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c, err := dial(t.Context(), s.Listener.Addr().String(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 3 {
		for _, want := range []struct {
			path   string
			status int
			answer string
		}{{"/chunked", 200, long}, {"/echo", 201, "said"}, {"/empty", 200, ""}} {
			status, answer, err := c.do("POST", want.path, []byte("said"))
			if err != nil || status != want.status || string(answer) != want.answer {
				t.Fatalf("%s: %d, %d bytes, %v", want.path, status, len(answer), err)
			}
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
}

func TestTheFloorFillsARealTableOnEachStore(t *testing.T) {
	urls := map[string]func(testing.TB) string{"SQLite": func(testing.TB) string { return "" }, "PostgreSQL": pgtest.URL}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			s, err := openStore(t.Context(), url(t), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			f, err := s.floor(t.Context(), 10, 50*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(s.about, name) || f.rate(10) <= 0 || f.bytesPerRow < 1000 {
				t.Errorf("%s: %.0f rows/s, %.0f bytes each", s.about, f.rate(10), f.bytesPerRow)
			}
			if _, err := s.floor(t.Context(), 10, time.Millisecond); err != nil {
				t.Errorf("the floor's database was left behind: %v", err)
			}
		})
	}
}

func TestEverySocketOfTheHubGetsEveryEvent(t *testing.T) {
	s := testStage(t)
	h, err := s.startHub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := h.way(func(text []byte) []byte { return text })
	var open []*socket
	for range 20 {
		one, err := w.open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, one)
	}
	posts, err := w.posts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if took := fanOut(cancel, w, posts, open); took <= 0 || ctx.Err() != nil {
		t.Errorf("took %s: %v", took, context.Cause(ctx))
	}
	if bytes, err := residentBytes(h.cmd.Process.Pid); err != nil || bytes < 1<<20 {
		t.Errorf("the hub has %d bytes: %v", bytes, err)
	}
	c, err := w.course(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.run("Once more."); err != nil || c.took[0] <= 0 {
		t.Errorf("one delivery took %v: %v", c.took, err)
	}
}

func TestStoppingEndsAChildAndTellsHowItEnded(t *testing.T) {
	s := testStage(t)
	h, err := s.startHub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	}
	if err := syscall.Kill(h.cmd.Process.Pid, 0); err == nil {
		t.Error("the child still runs")
	}
	p, err := launch("/bin/sh", environment(), nil, "-c", "echo no such thing >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.awaitReady(t.Context(), "127.0.0.1:1"); err == nil {
		t.Error("a child that failed is ready")
	}
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("a child that failed gives %v", err)
	}
}
