package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/loopback"
)

// screen is what a demo prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await fails the test when the screen does not show the text in time.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(s.String(), text) {
			return
		}
	}
	t.Fatalf("%q is not shown; this is:\n%s", text, s)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// play runs a demo until the test ends or the returned function is called.
func play(t *testing.T, d *demo) (end func() error) {
	t.Helper()
	for i := range d.ports {
		d.ports[i] = freePort(t)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runDemo(ctx, d) }()
	end = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return end
}

func TestTheDemoShowsOnOneSideWhatIsPostedOnTheOther(t *testing.T) {
	shown := &screen{}
	d := &demo{out: shown, says: t.Output()}
	end := play(t, d)
	shown.await(t, "Ctrl-C ends the demo")
	for _, text := range []string{"curl -s ", "/api/v1/events?wait=30", "15 messages, the same on both servers", "lena@127.0.0.1:"} {
		if !strings.Contains(shown.String(), text) {
			t.Errorf("%q is not shown", text)
		}
	}

	aiko, _ := d.person("aiko")
	in := map[string]string{"body": "Hello from Tokyo."}
	if err := aiko.call(t.Context(), http.MethodPost, "/threads/"+d.told[0].id+"/messages", in, nil); err != nil {
		t.Fatal(err)
	}
	shown.await(t, "in Berlin: Aiko Sato (Kobo) writes in \""+d.told[0].title+"\"\n    Hello from Tokyo.")
	jonas, _ := d.person("jonas")
	if err := jonas.call(t.Context(), http.MethodPost, "/threads/"+d.told[1].id+"/messages", in, nil); err != nil {
		t.Fatal(err)
	}
	shown.await(t, "in Tokyo: Jonas Brandt (Havel) writes")

	if err := end(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("the demo's directory is left behind: %v", err)
	}
}

func TestTheDemoTellsScriptsWhatTheyNeed(t *testing.T) {
	shown := &screen{}
	d := &demo{out: shown, says: t.Output(), json: true}
	play(t, d)
	shown.await(t, "\n")
	var ready demoReady
	if err := json.Unmarshal([]byte(shown.String()), &ready); err != nil {
		t.Fatal(err)
	}
	if len(ready.Servers) != 2 || ready.Channel.ID == "" || len(ready.Channel.Threads) != 3 {
		t.Fatalf("%+v", ready)
	}
	var threads [2]listed[struct {
		Title    string
		Messages int
		Created  time.Time
	}]
	for i, s := range ready.Servers {
		for _, p := range s.People {
			v := visitor{base: s.URL + "/api/v1", token: p.Token}
			if err := v.call(t.Context(), http.MethodGet, "/channels/"+ready.Channel.ID+"/threads", nil, &threads[i]); err != nil {
				t.Errorf("%s: %v", p.Address, err)
			}
			name, _, _ := strings.Cut(p.Address, "@")
			if err := v.call(t.Context(), http.MethodPost, "/sessions", map[string]string{"name": name, "password": p.Password}, nil); err != nil {
				t.Errorf("%s: %v", p.Address, err)
			}
		}
		answer, err := http.Get(s.AdminURL + "/readyz")
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %v", s.AdminURL, err)
		} else {
			_ = answer.Body.Close()
		}
	}
	if a, b := threads[0].Items, threads[1].Items; len(a) != 3 || len(b) != 3 || a[0] != b[0] || a[1] != b[1] || a[2] != b[2] {
		t.Errorf("Kobo has %+v, Havel %+v", a, b)
	}
	for _, thread := range threads[0].Items {
		if age := time.Since(thread.Created); age < 4*time.Hour {
			t.Errorf("%s began %s ago", thread.Title, age)
		}
	}
}

func TestTheStoryLiesOnWorkingDaysThatAreOver(t *testing.T) {
	for day := range 14 {
		for hour := range 24 {
			present := time.Date(2026, 11, 16+day, hour, 30, 0, 0, time.UTC)
			c := newStoryClock(present)
			last := c.begin.AddDate(0, 0, storyDays-1)
			if !workingDays(c.begin) || last.Weekday() == time.Saturday || c.begin.Add(storyEnd).After(present) {
				t.Errorf("at %s the story begins on %s", present, c.begin)
			}
		}
	}
	for _, plot := range story() {
		for i, l := range plot.lines {
			if l.at > storyEnd || i > 0 && l.at <= plot.lines[l.reply].at {
				t.Errorf("%s: line %d lies at %s", plot.title, i, l.at)
			}
		}
	}
}
