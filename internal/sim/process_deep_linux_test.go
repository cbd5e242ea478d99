package sim_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/federation"
	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/server"
	"meridian/threads"
	"meridian/threads/journal"
)

var (
	deepEvents = flag.Int("process.deep", 0, "events of a channel that a newcomer joins")
	deepDir    = flag.String("process.deepdir", "", "folder that keeps the channel for the next run")
)

const (
	deepWriters = 64  // at the same time
	deepThread  = 100 // messages of one thread
	latestRead  = 100 // messages that a newcomer is to read at once
)

// deepChannel is what is known of a channel that lies on the disk.
type deepChannel struct {
	Listen, Channel, Token, Address string
	Events                          int
	First                           string   // message
	Latest                          []string // messages
}

// T66: a newcomer to a deep channel with full history reads what is new at once, and gets the rest
// in bounded memory, a crash in the middle notwithstanding.
// T56: the server whose people wrote all of it loses its disk but for the key.
func TestADeepChannel(t *testing.T) {
	if *deepEvents == 0 {
		t.Skip("make deep runs it")
	}
	dir := filepath.Join(*deepDir, fmt.Sprint(*deepEvents))
	kept := keptChannel(t, dir)
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		t.Run(kind, func(t *testing.T) {
			database := ""
			if kind == "PostgreSQL" {
				database = pgtest.URL(t)
			}
			d := &deep{t: t, deepChannel: kept, a: kept.copied(t, dir)}
			d.b = newHouse(t, database, false)
			d.b.open(d.a.owner.log)
			befriend(d.a, d.b)
			d.joins(t)
			d.loses(t)
		})
	}
}

// deep is a run with one copy of the channel.
type deep struct {
	deepChannel
	t    *testing.T
	a, b *house
}

// keptChannel is the channel in the folder, made anew unless it is there.
func keptChannel(t *testing.T, dir string) (kept deepChannel) {
	t.Helper()
	known := filepath.Join(dir, "channel.json")
	raw, err := os.ReadFile(known)
	if err == nil {
		must(t, json.Unmarshal(raw, &kept))
		return kept
	}
	must(t, os.RemoveAll(dir))
	must(t, os.MkdirAll(dir, 0o700))
	h := install(t, dir, "", false)
	h.open(newHistory())
	kept = deepChannel{Listen: h.name, Channel: h.owner.newChannel("Deep"), Token: h.owner.token, Address: h.owner.address, Events: *deepEvents}
	h.stop()
	begun := time.Now()
	kept.write(t, filepath.Join(dir, "data"))
	t.Logf("%d events written in %s", kept.Events, time.Since(begun).Round(time.Second))
	raw, err = json.Marshal(kept)
	must(t, err)
	must(t, os.WriteFile(known, raw, 0o600))
	return kept
}

// write fills the channel as the server would, without its being asked over HTTP.
func (kept *deepChannel) write(t *testing.T, data string) {
	t.Helper()
	ring, err := federation.LoadKeyring(server.KeyFile(data))
	must(t, err)
	db, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(data, "meridian.db"), Server: kept.Listen})
	must(t, err)
	author, err := db.PersonByAddress(t.Context(), kept.Address)
	must(t, err)
	pen := ring.Pen(kept.Listen, func() (b [16]byte) { rand.Read(b[:]); return b })
	w := &deepWriter{
		channel: kept.Channel, author: author.ID,
		journal: journal.New(journal.Options{Store: db, Pen: pen, Clock: time.Now}),
	}
	w.run(t, kept.Events)
	kept.Events = int(w.written.Load())
	kept.First, kept.Latest = w.first, w.latest
	must(t, db.Close())
}

// deepWriter are many writers of one channel, each with one thread after the other.
type deepWriter struct {
	journal         *journal.Journal
	channel, author string
	written         atomic.Int64

	mu     sync.Mutex
	first  string
	latest []string
}

func (w *deepWriter) run(t *testing.T, events int) {
	var all sync.WaitGroup
	for i := range deepWriters {
		all.Go(func() {
			for n := 1; w.written.Load() < int64(events) && !t.Failed(); n++ {
				if err := w.thread(t.Context(), i, n, int64(events)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// thread begins a thread and writes it full, or until there are enough events.
func (w *deepWriter) thread(ctx context.Context, writer, n int, events int64) error {
	title := fmt.Sprintf("Subject %d of writer %d", n, writer)
	thread, err := w.do(ctx, threads.StartThread{Channel: w.channel, Content: threads.ThreadContent{Title: &title}})
	for i := 0; i < deepThread && err == nil && w.written.Load() < events; i++ {
		text := fmt.Sprintf("Message %d to subject %d of writer %d. %s", i, n, writer, deepProse)
		_, err = w.do(ctx, threads.Post{Channel: w.channel, Message: threads.Message{Thread: thread, Body: text}})
	}
	return err
}

const deepProse = "The crane arrives on Thursday; until then the containers stay where they are, and whoever needs " +
	"one of them asks the yard for it by name and number, a day ahead, so that nothing has to be moved twice."

func (w *deepWriter) do(ctx context.Context, c threads.Command) (threads.Hash, error) {
	done, err := w.journal.Do(ctx, journal.Request{Actor: w.author, Command: c, Now: time.Now()})
	if err != nil {
		return "", err
	}
	w.written.Add(1)
	id := done.IDs[0]
	if _, post := c.(threads.Post); post {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.first == "" {
			w.first = id
		}
		w.latest = append(w.latest, id)
		w.latest = w.latest[max(0, len(w.latest)-latestRead):]
	}
	return id, nil
}

// copied is a server of its own on a copy of the channel, running.
func (kept deepChannel) copied(t *testing.T, dir string) *house {
	t.Helper()
	h := newInstallation(t, shortDir(t), kept.Listen)
	h.initialise("")
	data := filepath.Join(h.dir, "data")
	for _, name := range []string{"meridian.db", "server.key", "mark"} {
		must(t, copyFile(filepath.Join(dir, "data", name), filepath.Join(data, name)))
	}
	t.Logf("the server with %d events starts in %s", kept.Events, h.start().Round(time.Millisecond))
	h.owner = person{house: h, log: newHistory(), address: kept.Address, token: kept.Token}
	return h
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// joins has B's person join, kills B halfway down, and holds what B then has against A.
func (d *deep) joins(t *testing.T) {
	time.Sleep(2 * time.Second)
	idle := d.b.memory("VmRSS")
	d.a.owner.must(http.MethodPost, "/channels/"+d.Channel+"/members", map[string]string{"address": d.b.owner.address, "role": "member"}, nil)
	d.b.owner.accept(d.Channel)
	begun := time.Now()
	d.b.eventually("showing the latest messages", func() bool { return d.b.owner.reads("/messages/"+d.Latest[0], nil) })
	took := time.Since(begun)
	for _, id := range d.Latest {
		if !d.b.owner.reads("/messages/"+id, nil) {
			t.Errorf("message %s did not come with those before and after it", id)
		}
	}
	t.Logf("the latest %d are readable after %s; reading them one by one took until %s",
		len(d.Latest), took.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("the latest messages took %s to be readable", took)
	}
	d.until(t, d.Events/2)
	before, peak := d.b.count(t, eventsMetric), d.b.memory("VmHWM")
	d.b.kill()
	t.Logf("killed with %d events after %s", before, time.Since(begun).Round(time.Second))
	restart := d.b.start()
	d.until(t, d.Events-before)
	d.b.eventually("showing the first message", func() bool { return d.b.owner.reads("/messages/"+d.First, nil) })
	all := time.Since(begun)
	after := d.b.count(t, eventsMetric)
	peak = max(peak, d.b.memory("VmHWM"))
	t.Logf("all %d events after %s, %d/s; started again in %s; %d fetched before the kill, %d after it; memory %d MiB idle, %d MiB at most",
		d.Events, all.Round(time.Second), int(float64(d.Events)/all.Seconds()), restart.Round(time.Millisecond), before, after, idle>>20, peak>>20)
	if slack := 5000; before+after > d.Events+slack {
		t.Errorf("%d and %d events were fetched of %d", before, after, d.Events)
	}
	if peak-idle > 64<<20 {
		t.Errorf("memory grew by %d MiB", (peak-idle)>>20)
	}
	d.equal(t)
}

// equal waits until both have one state. Hashing that of a deep channel takes a busy machine longer than
// a client waits, so one that is not told asks again.
func (d *deep) equal(t *testing.T) {
	t.Helper()
	d.b.eventually("of one state", func() bool {
		var a, b channelState
		path := "/channels/" + d.Channel + "/state"
		return d.a.owner.reads(path, &a) && d.b.owner.reads(path, &b) && a.StateHash == b.StateHash
	})
}

// until waits until B has appended so many events since it started.
func (d *deep) until(t *testing.T, events int) {
	t.Helper()
	seen, since := 0, time.Now()
	for seen < events {
		time.Sleep(200 * time.Millisecond)
		if n := d.b.count(t, eventsMetric); n > seen {
			seen, since = n, time.Now()
		}
		if time.Since(since) > patience {
			t.Fatalf("%d events of %d, and none in %s\n%s", seen, events, patience, d.b.log.text())
		}
	}
}

const eventsMetric = "meridian_journal_events_total"

// count is the value of a metric without labels.
func (h *house) count(t *testing.T, metric string) (n int) {
	t.Helper()
	answer, err := http.Get(h.admin + "/metrics")
	must(t, err)
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	must(t, err)
	for line := range strings.Lines(string(all)) {
		if value, ok := strings.CutPrefix(line, metric+" "); ok {
			var f float64
			_, err := fmt.Sscan(value, &f)
			must(t, err)
			return int(f)
		}
	}
	t.Fatalf("%s has no %s", h.name, metric)
	return 0
}

// loses has A lose all but its key, and get the channel back from B.
func (d *deep) loses(t *testing.T) {
	d.a.kill()
	data := filepath.Join(d.a.dir, "data")
	all, err := os.ReadDir(data)
	must(t, err)
	for _, entry := range all {
		if entry.Name() != "server.key" {
			must(t, os.RemoveAll(filepath.Join(data, entry.Name())))
		}
	}
	begun := time.Now()
	d.a.start()
	d.a.mustRun("", "partner", "add", d.b.name)
	d.a.mustRun("", "partner", "allow", d.b.name)
	seen, since := 0, time.Now()
	for seen < d.Events {
		time.Sleep(200 * time.Millisecond)
		if n := d.a.count(t, eventsMetric); n > seen {
			seen, since = n, time.Now()
		}
		if time.Since(since) > patience {
			t.Fatalf("%d events came back, and none in %s\n%s", seen, patience, d.a.log.text())
		}
	}
	d.a.appoint(newHistory())
	d.equal(t)
	took := time.Since(begun)
	t.Logf("all %d events are back after %s, %d/s; memory %d MiB at most", seen, took.Round(time.Second), int(float64(seen)/took.Seconds()), d.a.memory("VmHWM")>>20)
	if took > 20*time.Minute {
		t.Errorf("the rebuild took %s", took)
	}
}

// What an administrator does with all of a database, how long it takes with a deep channel in it.
func TestADeepChannelIsVerifiedBackedUpRestoredAndCopied(t *testing.T) {
	if *deepEvents == 0 {
		t.Skip("make deep runs it")
	}
	dir := filepath.Join(*deepDir, fmt.Sprint(*deepEvents))
	kept := keptChannel(t, dir)
	h := kept.copied(t, dir)
	database := "sqlite:" + filepath.Join(h.dir, "data", "meridian.db")
	backup := filepath.Join(h.dir, "backup")
	timed := func(what string, f func()) {
		t.Helper()
		begun := time.Now()
		f()
		took := time.Since(begun)
		t.Logf("%s: %s, %.0f events/s", what, took.Round(100*time.Millisecond), float64(kept.Events)/took.Seconds())
	}
	before := h.memory("VmHWM")
	timed("verify", func() { h.mustRun("", "verify") })
	timed("backup", func() { h.mustRun("", "backup", backup) })
	t.Logf("memory of the server: %d MiB before, %d MiB at most", before>>20, h.memory("VmHWM")>>20)
	info, err := os.Stat(backup)
	must(t, err)
	state := settled(t, kept.Channel, h.owner)
	h.stop()
	must(t, os.RemoveAll(filepath.Join(h.dir, "data")))
	must(t, os.Mkdir(filepath.Join(h.dir, "data"), 0o700))
	timed(fmt.Sprintf("restore of %d MiB", info.Size()>>20), func() { h.mustRun("", "restore", backup) })
	postgres, again := pgtest.URL(t), "sqlite:"+filepath.Join(h.dir, "again.db")
	timed("copy from SQLite to PostgreSQL", func() { h.copies(database, postgres) })
	timed("copy from PostgreSQL to SQLite", func() { h.copies(postgres, again) })
	h.env = append(h.env, "MERIDIAN_DATABASE="+again)
	t.Logf("the server starts on the copy of the copy of the restored in %s", h.start().Round(time.Millisecond))
	if now := settled(t, kept.Channel, h.owner); now != state {
		t.Errorf("state %s was %s", now, state)
	}
}

func (h *house) copies(from, to string) {
	h.t.Helper()
	path, err := program()
	if err != nil {
		h.t.Fatal(err)
	}
	if said, err := exec.Command(path, "db", "copy", "--from", from, "--to", to).CombinedOutput(); err != nil {
		h.t.Fatalf("copy %s to %s: %v: %s", from, to, err, said)
	}
}
