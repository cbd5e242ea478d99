// Package journal is the only write path: Do for what people of this server
// want, Ingest for what partners send. Both run the rules in one transaction,
// append, apply and commit, and only then answer and signal. It never reads a
// clock or a socket and never decides what the rules decide.
package journal

import (
	"context"
	"fmt"
	"sync"
	"time"

	"meridian/threads"
)

// Journal appends to one log of everything that this server accepted.
type Journal struct {
	store  Store
	server string
	commit func(Commit)
	hold   func(time.Time) error
	late   func(server string) bool
	failed func(error)

	queue queue
	room  *room // what waits; touched only by whoever writes

	mu       sync.RWMutex // guards committed state
	pen      threads.Pen  // without an instant
	channels map[threads.Hash]*threads.Channel
	targets  map[threads.Hash]threads.Target // threads that were referred to lately
	changed  chan struct{}
	last     int64
	known    bool  // last is what the store says
	waits    bool  // something is in the room
	heard    int64 // newest position of which followers or other nodes spoke
	lost     int   // how often other nodes may have written anything
	round    int   // moves with what memory holds
	newest   Mark  // of the events that the nodes of this server committed
}

// Commit tells what one transaction did, for metrics and for followers' rings.
type Commit struct {
	Entries []Entry
	Took    time.Duration // of the transaction
	Waited  int           // events that wait unapplied
	Hidden  bool          // something that was appended earlier was judged again
	// Foreign are events under this server's key, in logs that it was sure of,
	// which it does not hold and others brought; it goes on in other logs.
	Foreign []*threads.Event
	// WentBack says that the database has lost what this process had committed,
	// as a standby does that was promoted too early; without Entries, too.
	WentBack bool
}

// Options are what a Journal is made of.
type Options struct {
	Store Store
	// Pen is the server's name, key and source of salts; its instant is that of
	// each request.
	Pen threads.Pen
	// Clock times commits and nothing else.
	Clock func() time.Time
	// Failed is called when the store did not take a transaction; nil for nothing.
	// It must not block.
	Failed func(error)
	// Hold refuses, at an instant, whatever this server would append of its own;
	// nil for never.
	Hold func(now time.Time) error
	// Late reports whether what a server writes is put off here for now, so that
	// nobody else's events wait for it; nil for never.
	Late func(server string) bool
	// Committed is called after each commit, before anybody is answered or woken;
	// nil for none. It must not block.
	Committed func(Commit)
}

// New is a journal over the store. It must be the only one in this process.
func New(o Options) *Journal {
	j := &Journal{
		store: o.Store, server: o.Pen.Server, pen: o.Pen, commit: o.Committed, hold: o.Hold, late: o.Late, failed: o.Failed, room: newRoom(),
		channels: map[threads.Hash]*threads.Channel{}, targets: map[threads.Hash]threads.Target{},
		changed: make(chan struct{}),
	}
	if j.queue.clock = o.Clock; j.late == nil {
		j.late = func(string) bool { return false }
	}
	return j
}

// Rekey has what is sealed from now on bear the keys of another pen of the same
// server.
func (j *Journal) Rekey(p threads.Pen) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pen.Key, j.pen.Sign, j.pen.Earlier = p.Key, p.Sign, p.Earlier
}

func (j *Journal) penAt(now time.Time) *threads.Pen {
	j.mu.RLock()
	defer j.mu.RUnlock()
	pen := j.pen
	pen.Now = now
	return &pen
}

// Changed is closed at the next commit; whoever waits reads on from its cursor.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.changed
}

// Channel is the committed state of a channel, nil when it is unknown here. It
// is shared and must not be changed.
func (j *Journal) Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	j.mu.RLock()
	c := j.channels[id]
	j.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	return j.load(ctx, id)
}

// load reads a channel, and keeps it unless something was written meanwhile.
func (j *Journal) load(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	j.mu.RLock()
	round := j.round
	j.mu.RUnlock()
	c, err := j.store.Channel(ctx, id)
	if err != nil || c == nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if newer := j.channels[id]; newer != nil {
		return newer, nil
	}
	if j.round == round {
		j.keep(id, c)
	}
	return c, nil
}

// keep has memory hold a channel. j.mu must be held.
func (j *Journal) keep(id threads.Hash, c *threads.Channel) {
	if len(j.channels) >= maxChannels {
		clear(j.channels)
	}
	j.channels[id] = c
}

// batch is the state of one transaction: what it changed so far, seen by
// nobody else until it is committed.
type batch struct {
	j          *Journal
	tx         Tx
	last       int64
	lost       int // as it was when the transaction began
	channels   map[threads.Hash]*threads.Channel
	pending    map[threads.Hash][]Entry // to be appended, by channel
	order      []threads.Hash
	entries    []Entry // appended
	targets    map[threads.Hash]threads.Target
	successors map[threads.Hash][]threads.Hash
	hidden     bool                  // something was judged again
	kept       map[threads.Hash]bool // events that the store has, from an earlier membership
	filled     bool                  // contents or files came that had been missing
	foreign    []*threads.Event
	wentBack   bool
}

func (j *Journal) begin(tx Tx) (*batch, error) {
	last, err := tx.Last()
	if err != nil {
		return nil, fmt.Errorf("read journal position: %w", err)
	}
	b := &batch{
		j: j, tx: tx, last: last, channels: map[threads.Hash]*threads.Channel{},
		pending: map[threads.Hash][]Entry{}, targets: map[threads.Hash]threads.Target{},
		successors: map[threads.Hash][]threads.Hash{},
	}
	j.mu.Lock()
	b.lost = j.lost
	same := j.known && last == j.last
	if !same { // another node of this organisation wrote meanwhile, or the connection is a new one
		j.forget()
	}
	j.mu.Unlock()
	if !same {
		err = b.lookBack()
	}
	return b, err
}

// lookBack doubts the database when it lacks what this process had committed.
func (b *batch) lookBack() error {
	b.j.mu.RLock()
	newest := b.j.newest
	b.j.mu.RUnlock()
	if newest.Pos == 0 {
		return nil
	}
	held, err := b.tx.Holds(newest)
	if err != nil || held {
		return err
	}
	b.wentBack = true
	return b.tx.Doubt()
}

// forget drops what memory holds of the store's state. j.mu must be held.
func (j *Journal) forget() {
	clear(j.channels)
	clear(j.targets)
	j.known = false
	j.round++
}

// channel is the state within the transaction, nil when unknown. Callers change
// a Clone and put it back.
func (b *batch) channel(id threads.Hash) (*threads.Channel, error) {
	if c := b.channels[id]; c != nil {
		return c, nil
	}
	b.j.mu.RLock()
	c := b.j.channels[id]
	b.j.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	c, err := b.tx.Channel(id)
	if err != nil {
		return nil, fmt.Errorf("load channel %s: %w", id, err)
	}
	return c, nil
}

// add gives events of one channel their positions.
func (b *batch) add(c *threads.Channel, events []*threads.Event, now time.Time) {
	if len(events) == 0 {
		return
	}
	b.put(c)
	for _, e := range events {
		b.last++
		entry := Entry{Pos: b.last, Event: e, At: now, Kept: b.kept[e.ID]}
		if e.Header.Log == threads.LogData {
			entry.Void = c.Void(&e.Header)
			entry.Effects = threads.EffectsOf(e)
		}
		b.pending[c.ID] = append(b.pending[c.ID], entry)
	}
}

// put makes c the channel's state within the transaction.
func (b *batch) put(c *threads.Channel) {
	if b.channels[c.ID] == nil {
		b.order = append(b.order, c.ID)
	}
	b.channels[c.ID] = c
}

// flush hands the pending events of every channel to the store.
func (b *batch) flush() error {
	for _, id := range b.order {
		if err := b.flushChannel(id); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) flushChannel(id threads.Hash) error {
	entries := b.pending[id]
	if len(entries) == 0 {
		return nil
	}
	if err := b.tx.Append(b.channels[id], entries); err != nil {
		return fmt.Errorf("append to %s: %w", id, err)
	}
	for i := range entries {
		if !entries[i].Kept { // followers had it when it came first
			b.entries = append(b.entries, entries[i])
		}
	}
	b.pending[id] = nil
	return nil
}

// publish makes the committed state visible and wakes the followers. What
// another node may have changed since is left to be read anew.
func (j *Journal) publish(b *batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.wentBack {
		j.newest, j.heard = Mark{}, 0
	}
	if n := len(b.entries); n > 0 && b.entries[n-1].Pos > j.newest.Pos {
		j.newest = b.entries[n-1].mark()
	}
	if j.lost != b.lost || j.heard > b.last {
		j.forget()
	} else {
		j.remember(b)
	}
	j.waits = j.room.count > 0
	if len(b.entries) > 0 || b.filled || b.hidden {
		j.wake()
	}
}

// remember takes what a transaction left into memory. j.mu must be held.
func (j *Journal) remember(b *batch) {
	for id, c := range b.channels {
		j.keep(id, c)
	}
	if b.hidden || len(j.targets) > maxTargets {
		clear(j.targets)
	}
	for id, t := range b.targets {
		j.targets[id] = t
	}
	j.last, j.known = b.last, true
	j.round++
}

// wake has the followers read on. j.mu must be held.
func (j *Journal) wake() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// Bounds of what memory holds.
const (
	maxTargets  = 4096
	maxChannels = 8192
)
