package sim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"meridian/federation"
	"meridian/internal/blobs"
	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// node is one whole server of a world: store, journal and federation, with a
// clock of its own that can be wrong.
type node struct {
	world    *world
	name     string
	ring     federation.Keyring
	path     string // of its database
	people   []string
	ahead    time.Duration // of its clock
	gathers  bool          // it asks many at once
	liar     *liar         // nil for an honest one
	store    *store.Store  // nil while it is down
	dir      *blobs.Dir
	disk     *disk
	opened   time.Time                    // when the database was last written before it was opened
	mark     journal.Mark                 // beside the database, never in a copy of it
	marks    []journal.Mark               // the last ones, of which a loss of power may leave any; nil where there is none
	backup   []byte                       // an older copy of the database
	setBack  bool                         // it was once under an older copy, or none
	unaware  bool                         // once with nothing beside it that shows it
	holds    map[threads.Hash]threads.Ref // what it ever had since it was set back
	journal  *journal.Journal
	exchange *federation.Exchange
}

// disk is a node's store with commits that can go wrong.
type disk struct {
	*store.Store
	node *node
}

var errDisk = errors.New("the disk did not confirm")

// Write commits as the store does, but in a faulty world it may fail before, or
// be stored and fail all the same.
func (d *disk) Write(ctx context.Context, f func(journal.Tx) error) error {
	n := d.node.world.net
	if n.happens("commit fails", "disk of "+d.node.name, n.faults.failCommit) {
		return errDisk
	}
	err := d.Store.Write(ctx, f)
	if err == nil && n.happens("commit is stored and fails", "disk of "+d.node.name, n.faults.failCommit) {
		return errDisk
	}
	return err
}

func (n *node) up() bool { return n.store != nil }

func (n *node) now() time.Time { return n.world.now.Add(n.ahead) }

func (n *node) key() threads.Key {
	signed := n.ring.Signed(n.name)
	return signed[len(signed)-1].Key
}

func (n *node) pen() threads.Pen {
	pen := n.ring.Pen(n.name, n.world.random16)
	pen.Awaited = func(c *threads.Channel) []string { return n.exchange.Awaited(c) }
	return pen
}

// newNode makes a server with three people. Its database is a copy of an empty
// one, because making the schema takes longer than a whole simulation.
func (w *world) newNode(name string) *node {
	seed := sha256.Sum256([]byte(name))
	n := &node{
		world: w, name: name, ring: federation.Keyring{{Private: ed25519.NewKeyFromSeed(seed[:])}},
		path: filepath.Join(w.dir, name+".db"), holds: map[threads.Hash]threads.Ref{},
	}
	w.must(os.WriteFile(n.path, w.empty, 0o600))
	n.openFiles()
	w.nodes = append(w.nodes, n)
	w.net.nodes[name] = n
	n.start()
	w.makePeople(n)
	for i := range 3 {
		n.people = append(n.people, personID(name, i))
	}
	return n
}

// start opens the database and builds everything on it anew, as after a crash.
func (n *node) start() {
	w := n.world
	var err error
	n.store, err = store.Open(context.Background(), store.Options{URL: "sqlite:" + n.path, Server: n.name})
	w.must(err)
	n.opened = n.changed()
	n.disk = &disk{n.store, n}
	n.journal = journal.New(journal.Options{
		Store: n.disk, Pen: n.pen(), Clock: n.now, Committed: n.committed,
		Hold: n.hold,
	})
	n.exchange, err = federation.New(n.wiring())
	w.must(err)
	n.startedDoubtful()
}

// hold keeps an honest server with a wrong clock from writing.
func (n *node) hold(now time.Time) error {
	if n.liar != nil {
		return nil
	}
	err := n.exchange.ClockHold(now)
	if err != nil {
		n.world.counts.add("wrong clock held")
	}
	return err
}

// committed sets the mark and remembers who holds what.
func (n *node) committed(c journal.Commit) {
	n.liar.remember(c)
	for _, e := range c.Entries {
		n.mark = journal.Mark{Pos: e.Pos, ID: e.Event.ID}
		n.marks = append(n.marks[max(0, len(n.marks)-maxMarks):], n.mark)
		n.holds[e.Event.ID] = e.Event.Header.Ref()
		n.took(e.Event)
	}
	for _, e := range c.Foreign {
		if n.liar == nil && !n.setBack {
			n.world.fail("%s is brought %v, under its key, and never lost anything", n.name, e.Header.Ref())
		}
	}
}

func (n *node) wiring() federation.Options {
	w := n.world
	return federation.Options{
		Server: n.name, Keys: n.ring,
		Journal: n.journal, Logs: logs{n.store}, Neighbours: n.store, Partners: n.store,
		Deliveries: n.store, Invitations: n.store, People: n.store, Erasures: n.store, Files: shared{n},
		Do:        n.order,
		Transport: link{w.net, n}, Clock: n.now, Jitter: w.rng.Float64, NewID: w.newID,
		Log: slog.New(slog.NewTextHandler(diary{w, n.name}, nil)), Software: "sim",
	}
}

func (n *node) order(ctx context.Context, o federation.Order) error {
	_, err := n.journal.Do(ctx, journal.Request{Actor: o.Actor, Key: o.Key, Now: o.Now, Command: o.Command})
	return err
}

// diary takes what a server logs into the trail of its world.
type diary struct {
	world *world
	name  string
}

func (d diary) Write(line []byte) (int, error) {
	_, told, _ := strings.Cut(strings.TrimSpace(string(line)), " level=")
	d.world.note("%s logs %s", d.name, told)
	return len(line), nil
}

// logs are the store's logs as partners get them.
type logs struct{ *store.Store }

// LogEvents reads no more than fits one exchange.
func (l logs) LogEvents(ctx context.Context, channel threads.Hash, from threads.Ref, limit int) ([]*threads.Event, error) {
	return l.Store.LogEvents(ctx, store.Span{Channel: channel, Log: from.LogID, From: from.Seq, Limit: limit, Bytes: federation.MaxBody})
}

// crash ends the server: what is in memory is gone.
func (n *node) crash() {
	n.world.must(n.store.Close())
	n.store, n.journal, n.exchange = nil, nil, nil
}

// channel is what the node knows of a channel, nil when it knows nothing.
func (n *node) channel(id threads.Hash) *threads.Channel {
	c, err := n.journal.Channel(context.Background(), id)
	n.world.must(err)
	return c
}

// entries are all events that the node holds.
func (n *node) entries() []threads.Entry {
	var all []threads.Entry
	for after := int64(0); ; {
		page, err := n.store.Entries(context.Background(), after, 500)
		n.world.must(err)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].Pos
	}
}

func (w *world) random16() (b [16]byte) {
	binary.LittleEndian.PutUint64(b[:], w.rng.Uint64())
	binary.LittleEndian.PutUint64(b[8:], w.rng.Uint64())
	return b
}

func (w *world) newID() string {
	id := uuid.UUID(w.random16())
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String()
}

// start is when every world begins.
var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func personID(server string, i int) string {
	return fmt.Sprintf("https://%s/people/%022d", server, i)
}
