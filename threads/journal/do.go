package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/threads"
)

// Request is a command by a person of this server, or, at a host, by an owner
// whose server asks.
type Request struct {
	Actor   string
	Command threads.Command
	Now     time.Time
	// Key makes repeating the request harmless; "" for none. Digest tells
	// another request under the same key apart.
	Key    string
	Digest threads.Hash
}

// Result is what a command came to. Events are those that it sealed; of a
// repeated request only their ids are at hand.
type Result struct {
	IDs      []threads.Hash
	Events   []*threads.Event
	Last     int64 // position of the last of Events
	Repeated bool
}

// Do runs a command and returns after its events are durable. Errors are
// *threads.Error: of kind Unavailable when it is unknown whether they are; any
// other means that nothing is stored.
func (j *Journal) Do(ctx context.Context, r Request) (Result, error) {
	var result Result
	var refused error
	err := j.write(ctx, func(b *batch) error {
		result, refused = Result{}, nil
		var err error
		result, err = b.do(r)
		var refusal *threads.Error
		if errors.As(err, &refusal) && refusal.Kind != threads.Internal {
			refused = refusal
			return nil
		}
		return err
	})
	if err == nil {
		err = refused
	}
	return result, err
}

func (b *batch) do(r Request) (Result, error) {
	if r.Key != "" {
		if found, err := b.recall(r); found != nil || err != nil {
			return Result{IDs: ids(found), Repeated: found != nil}, err
		}
	}
	if b.j.hold != nil {
		if err := b.j.hold(r.Now); err != nil {
			return Result{}, err
		}
	}
	c, err := b.commandChannel(r.Command.In())
	if err != nil {
		return Result{}, err
	}
	v := &threads.View{Channel: c.Clone(), Actor: r.Actor, Pen: b.j.penAt(r.Now), Find: b.finder(c)}
	if v.Next, err = b.next(c, r.Actor); err != nil {
		return Result{}, err
	}
	if err := r.Command.Decide(v); err != nil {
		return Result{}, err
	}
	b.add(v.Channel, v.Events, r.Now)
	if err := b.revoid(v.Channel, v.Events); err != nil {
		return Result{}, err
	}
	result := Result{Events: v.Events, Last: b.last}
	for _, e := range v.Events {
		result.IDs = append(result.IDs, e.ID)
	}
	if r.Key == "" {
		return result, nil
	}
	remembered := Remembered{Digest: r.Digest, Events: result.IDs, At: r.Now}
	return result, b.tx.Remember(Key{Person: r.Actor, Key: r.Key}, remembered)
}

// next is the channel that goes on from c for somebody: one in which they can
// write, nil when there is none.
func (b *batch) next(c *threads.Channel, actor string) (*threads.Channel, error) {
	if c.ID == "" {
		return nil, nil
	}
	successors, known := b.successors[c.ID]
	if !known {
		var err error
		if successors, err = b.tx.Successors(c.ID); err != nil {
			return nil, fmt.Errorf("look up what goes on from %s: %w", c.ID, err)
		}
		b.successors[c.ID] = successors
	}
	for _, id := range successors {
		to, err := b.channel(id)
		if err != nil {
			return nil, err
		}
		if to != nil && !to.Archived && to.Role(actor).Gives(threads.RightPost) {
			return to, nil
		}
	}
	return nil, nil
}

func ids(r *Remembered) []threads.Hash {
	if r == nil {
		return nil
	}
	return r.Events
}

func (b *batch) recall(r Request) (*Remembered, error) {
	found, err := b.tx.Recall(Key{Person: r.Actor, Key: r.Key})
	if err != nil || found == nil {
		return nil, err
	}
	if found.Digest != r.Digest {
		return nil, threads.Refuse(threads.Conflict, "idempotency_mismatch", "",
			"this Idempotency-Key was used for another request; use a new key for a new request")
	}
	return found, nil
}

func (b *batch) commandChannel(id threads.Hash) (*threads.Channel, error) {
	if id == "" {
		return threads.NewChannel(""), nil
	}
	c, err := b.channel(id)
	if err == nil && c == nil {
		err = threads.Refuse(threads.NotFound, "not_found", "", "there is no such channel, or you are not in it")
	}
	return c, err
}

// finder looks up what a command refers to: in this transaction, in memory, in
// the store.
func (b *batch) finder(c *threads.Channel) func(threads.Hash) (threads.Target, error) {
	return func(id threads.Hash) (threads.Target, error) {
		b.j.mu.RLock()
		t, ok := b.j.targets[id]
		b.j.mu.RUnlock()
		if !ok {
			t, ok = b.targets[id]
		}
		if ok && t.Channel == c.ID {
			return t, nil
		}
		if err := b.flushChannel(c.ID); err != nil {
			return t, err
		}
		t, err := b.tx.Find(c.ID, id)
		if err == nil && t.Type == threads.TypeThreadCreated {
			t.Channel = c.ID
			b.targets[id] = t
		}
		return t, err
	}
}

// revoid has the store judge again what removals among the events reach, and
// end the forked logs where they have to end.
func (b *batch) revoid(c *threads.Channel, events []*threads.Event, forked ...threads.LogID) error {
	logs := threads.Reached(c, events)
	for _, id := range forked {
		if !slices.Contains(logs, id) {
			logs = append(logs, id)
		}
	}
	if len(logs) == 0 {
		return nil
	}
	if err := b.flushChannel(c.ID); err != nil {
		return err
	}
	b.hidden = true
	return b.tx.Revoid(c, b.last, logs)
}
