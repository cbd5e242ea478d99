package journal

import (
	"context"
	"fmt"
	"sync"
	"time"

	"meridian/threads"
)

// maxGroup is how many requests share a transaction at most, and maxWaiting how
// many may wait for one before the next is turned away.
const (
	maxGroup   = 256
	maxWaiting = 4096
)

// task is one caller's part in a transaction. run adds to the batch and notes
// its answer; an error that run returns fails the whole transaction, so
// refusals stay within the task.
type task struct {
	run  func(*batch) error
	done chan error
	lead chan struct{} // closed when the caller is to write for all who wait
}

// queue is the group commit: the caller who finds nobody writing takes what
// waits, writes it in one transaction and hands the pen to one who came
// meanwhile. There is no goroutine of its own.
type queue struct {
	clock func() time.Time

	mu      sync.Mutex
	waiting []*task
	writing bool
}

// join waits until t is to be written by its caller, or was written by another.
// It reports whether the caller holds the pen.
func (q *queue) join(ctx context.Context, t *task) (lead bool, err error) {
	q.mu.Lock()
	if len(q.waiting) >= maxWaiting {
		q.mu.Unlock()
		return false, threads.Refuse(threads.Unavailable, "busy", "", "too many requests wait to be stored; try again in a moment")
	}
	q.waiting = append(q.waiting, t)
	if !q.writing {
		q.writing = true
		q.mu.Unlock()
		return true, nil
	}
	q.mu.Unlock()
	select {
	case <-t.lead:
		return true, nil
	case err := <-t.done:
		return false, err
	case <-ctx.Done():
		return false, q.leave(ctx, t)
	}
}

// leave takes t out when its caller gives up: what was not begun never happens,
// what was begun is waited for.
func (q *queue) leave(ctx context.Context, t *task) error {
	q.mu.Lock()
	for i, w := range q.waiting {
		if w == t {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			q.mu.Unlock()
			select {
			case <-t.lead: // the pen came at the same moment: pass it on
				q.pass()
			default:
			}
			return threads.Refuse(threads.Unavailable, "timeout", "", "the request was given up before it was stored")
		}
	}
	q.mu.Unlock()
	return <-t.done
}

// take is the next group to write.
func (q *queue) take() []*task {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxGroup)
	group := q.waiting[:n:n]
	q.waiting = append([]*task(nil), q.waiting[n:]...)
	return group
}

// pass hands the pen to one who waits, or lays it down.
func (q *queue) pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.writing = false
		return
	}
	close(q.waiting[0].lead)
}

// write runs t in a transaction, together with whatever else waits.
func (j *Journal) write(ctx context.Context, run func(*batch) error) error {
	t := &task{run: run, done: make(chan error, 1), lead: make(chan struct{})}
	lead, err := j.queue.join(ctx, t)
	if !lead {
		return err
	}
	defer j.queue.pass()
	for {
		group := j.queue.take()
		if len(group) == 0 {
			return <-t.done
		}
		j.writeGroup(ctx, group)
		select {
		case err := <-t.done:
			return err
		default: // more than a group waited before t
		}
	}
}

// writeGroup writes a group in one transaction. A task whose work the store
// refuses fails alone: the others are written again without it.
func (j *Journal) writeGroup(ctx context.Context, group []*task) {
	ctx = context.WithoutCancel(ctx) // the others' answers must not hang on this caller
	for len(group) > 0 {
		bad, err := j.transact(ctx, group)
		if bad < 0 {
			for _, t := range group {
				t.done <- err
			}
			return
		}
		group[bad].done <- err
		group = append(group[:bad:bad], group[bad+1:]...)
	}
}

// transact is one transaction: the commit point of everything in the group. It
// returns the place of the task that made it fail before anything was stored,
// -1 when all of the group succeeded or failed together.
func (j *Journal) transact(ctx context.Context, group []*task) (bad int, err error) {
	bad = -1
	begun := j.queue.clock()
	var b *batch
	defer func() {
		if v := recover(); v != nil { // nobody may wait for ever for what died
			for _, t := range group {
				t.done <- unavailable(fmt.Errorf("panic: %v", v))
			}
			panic(v)
		}
	}()
	err = j.store.Write(ctx, func(tx Tx) error {
		if b, err = j.begin(tx); err != nil {
			return err
		}
		for i, t := range group {
			if err := t.run(b); err != nil {
				bad = i
				return err
			}
		}
		return b.flush()
	})
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.forget()
		if j.failed != nil {
			j.failed(err)
		}
		return bad, unavailable(err)
	}
	if j.commit != nil && (len(b.entries) > 0 || b.wentBack || b.hidden) {
		j.commit(Commit{
			Entries: b.entries, Hidden: b.hidden, Took: j.queue.clock().Sub(begun), Waited: j.room.count, Foreign: b.foreign, WentBack: b.wentBack,
		})
	}
	j.publish(b)
	return -1, nil
}

func unavailable(cause error) error {
	return &threads.Error{
		Kind: threads.Unavailable, Code: "not_stored",
		Text: "the database did not confirm that this was stored; send it again with the same Idempotency-Key", Cause: cause,
	}
}
