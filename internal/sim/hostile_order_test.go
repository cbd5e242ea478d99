package sim_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// A quill writes a data log that names no dependencies: whatever it answers may come later.
type quill struct {
	enemy *enemy
	c     *threads.Channel // the control log to go by
	id    threads.LogID
	seq   int64
	prev  threads.Hash
	time  threads.Time
	after []threads.Ref // of the next event
}

func newQuill(e *enemy, c *threads.Channel) *quill {
	return &quill{enemy: e, c: c, id: c.OpenLog(e.name, time.Now()), time: c.Control.Time}
}

func (q *quill) write(kind, actor string, content []byte, erases threads.Hash) *threads.Event {
	q.seq, q.time = q.seq+1, q.time+1
	e := threads.Seal(threads.Header{
		Channel: q.c.ID, Log: threads.LogData, Origin: q.id.Origin, Epoch: q.id.Epoch, Seq: q.seq, Prev: q.prev,
		Control: threads.ControlRef{Number: q.c.Control.Seq, Hash: q.c.Control.Hash},
		After:   q.after, Erases: erases, Time: q.time, Actor: actor, Type: kind, Key: q.enemy.keyID(),
	}, content, q.enemy.sign)
	q.prev = e.ID
	return e
}

// A tale is a channel whose three servers refer to each other's events without saying so, and to
// some that never were.
type tale struct {
	channel threads.Hash
	control []*threads.Event
	data    []*threads.Event
	thread  threads.Hash
	orphan  threads.Hash // a reply whose parent never comes
	parent  threads.Hash // that parent
}

// tell makes a tale; reader is the server to which it will be told.
func tell(rng *rand.Rand, mal, carol, host, reader *enemy) *tale {
	h := host.hosts("Tale")
	for _, e := range []*enemy{mal, carol, reader} {
		h.joined(e.person, e, e.keyID())
	}
	tl := &tale{channel: h.state.ID, control: h.events, parent: threads.HashOf(fmt.Append(nil, rng.Uint64()))}
	quills := []*quill{newQuill(mal, h.state), newQuill(carol, h.state), newQuill(host, h.state)}
	title, done := "Pumps", "done"
	write := func(kind string, erases threads.Hash, content []byte) threads.Hash {
		q := quills[rng.IntN(len(quills))]
		e := q.write(kind, q.enemy.person, content, erases)
		tl.data = append(tl.data, e)
		return e.ID
	}
	message := func(replyTo threads.Hash, body string) threads.Hash {
		return write(threads.TypeMessagePosted, "", threads.AppendMessage(nil, &threads.Message{Thread: tl.thread, ReplyTo: replyTo, Body: body}, salt()))
	}
	tl.thread = write(threads.TypeThreadCreated, "", threads.AppendThread(nil, threads.ThreadContent{Title: &title}, salt()))
	first := message("", "It leaks.")
	tl.orphan = message(tl.parent, "Whatever you said: yes.")
	last := first
	for i := range 5 + rng.IntN(8) {
		switch rng.IntN(6) {
		case 0:
			write(threads.TypeThreadChanged, "", threads.AppendThread(nil, threads.ThreadContent{Object: tl.thread, State: &done}, salt()))
		case 1:
			write(threads.TypeMessageEdited, "", threads.AppendEdit(nil, last, fmt.Sprint("Edited ", i), salt()))
		case 2:
			write(threads.TypeMessageErased, last, threads.AppendTombstone(nil, threads.Tombstone{Thread: tl.thread}, salt()))
		case 3:
			write(threads.TypeReactionSet, "", threads.AppendReaction(nil, last, "👍", rng.IntN(2) == 0, salt()))
		default:
			last = message(last, fmt.Sprint("Reply ", i))
		}
	}
	return tl
}

// A reader is a journal over a store of its own, into which events are put without a network.
type reader struct {
	t       testing.TB
	store   *store.Store
	journal *journal.Journal
}

func newReader(t testing.TB, e *enemy) *reader {
	t.Helper()
	dir, err := os.MkdirTemp(memory(), "reader-")
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + filepath.Join(dir, "r.db"), Server: e.name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return &reader{t: t, store: s, journal: journal.New(journal.Options{Store: s, Pen: *e.pen(time.Now()), Clock: time.Now})}
}

// memory is a folder in memory where the system has one: what is tried is order, not the disk.
func memory() string {
	if _, err := os.Stat("/dev/shm"); err != nil {
		return ""
	}
	return "/dev/shm"
}

func (r *reader) take(from string, events ...*threads.Event) threads.Answer {
	r.t.Helper()
	got, err := r.journal.Ingest(context.Background(), threads.Batch{From: from, Events: events, Now: time.Now(), MetAfter: time.Hour})
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// ending is all that a tale comes to.
func (r *reader) ending(tl *tale) string {
	r.t.Helper()
	hash, err := r.store.StateHash(context.Background(), tl.channel)
	if err != nil {
		r.t.Fatal(err)
	}
	dump, err := r.store.Dump(context.Background(), tl.channel)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%v\n%s", hash, dump)
}

// T30: replies before their parents, changes before what they change, erasures before what they
// erase: in whichever of 1,000 orders it comes, and in whatever portions, it ends the same.
func TestWhatRefersToWhatHasNotComeEndsTheSameInEveryOrder(t *testing.T) {
	mal, carol, host, self := newEnemy(t), newEnemy(t), newEnemy(t), newEnemy(t)
	readers := []*reader{newReader(t, self), newReader(t, self), newReader(t, self), newReader(t, self), newReader(t, self)}
	tales := 250
	if testing.Short() {
		tales = 20
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range tales {
		tl := tell(rng, mal, carol, host, self)
		endings := map[string]bool{}
		for i, r := range readers {
			if err := r.store.Expect(context.Background(), tl.channel); err != nil {
				t.Fatal(err)
			}
			r.take(host.name, tl.control...)
			if i == 0 {
				r.take(host.name, tl.data...)
			} else if refused := r.scattered(rng, tl); len(refused) > 0 {
				t.Fatalf("seed %d: %+v", seed, refused)
			}
			endings[r.ending(tl)] = true
		}
		if len(endings) != 1 {
			all := slices.Collect(maps.Keys(endings))
			t.Fatalf("seed %d: %d endings: %s", seed, len(endings), cmp.Diff(all[0], all[1]))
		}
	}
}

// scattered takes a tale in some order, in some portions, from some members.
func (r *reader) scattered(rng *rand.Rand, tl *tale) (refused []threads.Refusal) {
	events := slices.Clone(tl.data)
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for len(events) > 0 {
		n := 1 + rng.IntN(len(events))
		from := tl.data[rng.IntN(len(tl.data))].Header.Origin
		refused = append(refused, r.take(from, events[:n]...).Channels[tl.channel].Refused...)
		events = events[n:]
	}
	return refused
}

// T30: a reply whose parent never comes is shown under the parent's bare id.
func TestAReplyWithoutItsParentIsShownUnderTheBareID(t *testing.T) {
	s := newScene(t, "")
	never := threads.HashOf([]byte("never"))
	orphan := s.mal.write(threads.Draft{
		Type:    threads.TypeMessagePosted,
		Content: threads.AppendMessage(nil, &threads.Message{Thread: s.thread, ReplyTo: never, Body: "As you said."}, salt()),
	})
	if got := s.mal.push(s.victim, orphan); len(got.Refusals) > 0 {
		t.Fatalf("%+v", got)
	}
	for _, m := range s.messages(s.ana, s.thread) {
		if m.ID == orphan.ID {
			if m.ReplyTo != never || m.Body != "As you said." {
				t.Errorf("shown as %+v", m)
			}
			return
		}
	}
	t.Error("it is not shown")
}

// T30: what waits for what never comes is bounded for each partner; beyond that the partner keeps it.
func TestWhatWaitsIsBoundedForEachPartner(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const most, mostBytes = 10_000, 16 << 20
	for name, size := range map[string]int{"events": 10, "bytes": 60 << 10} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			missing := s.mal.post(s.thread, "This one is held back.")
			before, held, bytes, full := s.rows(), 0, 0, false
			for !full && held <= most {
				var batch []*threads.Event
				for len(batch) < min(500, max(1, (3<<20)/(size+1000))) {
					batch = append(batch, s.mal.post(s.thread, strings.Repeat("x", size)))
				}
				got := s.mal.push(s.victim, batch...)
				if got.status != http.StatusOK {
					t.Fatalf("%+v", got)
				}
				held += len(batch)
				for _, r := range got.Refusals {
					if full = r.Code == threads.RefusedRetryLater; !full {
						t.Fatalf("%+v", r)
					}
					held -= len(batch) - r.Index
				}
				bytes = held * (size + 900)
			}
			if !full || held > most || bytes > mostBytes*11/10 {
				t.Errorf("%d events of %d bytes wait, full: %v", held, size, full)
			}
			s.unchanged("what waits", before)
			if got := s.scrape()["meridian_journal_waiting_events"]; got > most {
				t.Errorf("the metric says that %v wait", got)
			}
			s.others(t)
			if got := s.mal.push(s.victim, missing); got.status != http.StatusOK || len(got.Refusals) > 0 {
				t.Errorf("what was missing: %+v", got)
			}
			if n := s.rows()["event"] - before["event"]; n != held+2 {
				t.Errorf("%d events came of it, %d waited", n, held)
			}
		})
	}
}

// others fails the test where another member server is not heard at once.
func (s *scene) others(t *testing.T) {
	t.Helper()
	s.carol.catchUp(s.victim)
	begun := time.Now()
	if got := s.carol.push(s.victim, s.carol.post(s.thread, "And I?")); got.status != http.StatusOK || len(got.Refusals) > 0 || time.Since(begun) > time.Minute {
		t.Errorf("another server after %s: %+v", time.Since(begun), got)
	}
}
