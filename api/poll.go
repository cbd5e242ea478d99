package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Events is one answer of a long poll.
type Events struct {
	Items      []EncodedEvent `json:"items" nullable:"false"`
	NextCursor string         `json:"next_cursor" doc:"after of the next request."`
}

// EncodedEvent is an Event that was encoded for everybody at once.
type EncodedEvent json.RawMessage

// MarshalJSON is the event.
func (e EncodedEvent) MarshalJSON() ([]byte, error) { return e, nil }

// Schema is that of an Event.
func (EncodedEvent) Schema(r huma.Registry) *huma.Schema { return schemaIn[Event](r) }

type pollEvents struct {
	After string `query:"after" maxLength:"128" doc:"Cursor of the last event that you have; from now on without it."`
	Wait  int    `query:"wait" minimum:"0" maximum:"30" default:"0" doc:"Seconds to wait for an event."`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"100"`
}

type eventsOut struct{ Body Events }

func (a *API) eventRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/events", id: "events", tag: "events", summary: "Events after a cursor: a long poll",
	}, a.poll)
}

// beginAfter is where events go on after a cursor; "" is now.
func (a *API) beginAfter(ctx context.Context, after string) (begin, error) {
	last, err := a.Entries.Last(ctx)
	if err != nil {
		return begin{}, fmt.Errorf("read journal: %w", err)
	}
	if after == "" {
		return begin{pos: last, last: last}, nil
	}
	pos, fresh, ok := parseCursor(after, a.clock())
	if !ok {
		return begin{}, badParameter("after", "is not a cursor; leave it out to begin from now")
	}
	if !fresh || pos > last { // beyond the end: this server's past is another than when it gave the cursor
		return begin{pos: last, last: last, resync: true}, nil
	}
	return begin{pos: pos, last: last}, nil
}

// itemsFrom reads one page of the journal after the position.
func (a *API) itemsFrom(ctx context.Context, pos int64) (items []*item, through int64, err error) {
	last, _ := a.hub.ring.moved()
	entries, err := a.Entries.Entries(ctx, pos, readEntries)
	if err != nil {
		return nil, pos, fmt.Errorf("read journal: %w", err)
	}
	if len(entries) == 0 {
		return nil, max(pos, last), nil
	}
	items, err = a.hub.encode(ctx, entries)
	return items, entries[len(entries)-1].Pos, err
}

func (a *API) poll(ctx context.Context, c *caller, in *pollEvents) (*eventsOut, error) {
	if err := a.hub.listen(c); err != nil {
		return nil, err
	}
	defer a.hub.unlisten(c)
	b, err := a.beginAfter(ctx, in.After)
	if err != nil {
		return nil, err
	}
	if b.resync {
		cursor := cursorOf(b.pos, a.clock())
		return &eventsOut{Events{Items: []EncodedEvent{resyncEvent(cursor, a.clock())}, NextCursor: cursor}}, nil
	}
	told := newMailbox(c.person.ID)
	defer a.hub.attend(told)()
	timer := time.NewTimer(time.Duration(in.Wait) * time.Second)
	defer timer.Stop()
	for pos := b.pos; ; {
		revoked := a.hub.revoked()
		found, through, err := a.eventsAfter(ctx, c, begin{pos: pos, last: b.last}, in.Limit)
		if err != nil {
			return nil, err
		}
		pos = through
		fates, err := a.fateEvents(ctx, c, told.take(), cursorOf(pos, a.clock()))
		if err != nil {
			return nil, err
		}
		found = append(found, fates...)
		if len(found) > 0 || in.Wait == 0 || !a.awaits(ctx, pos, timer.C, wakes{revoked, told.filled}) {
			return &eventsOut{Events{Items: found, NextCursor: cursorOf(pos, a.clock())}}, nil
		}
		if c, err = a.stillIn(ctx, c); err != nil {
			return nil, err
		}
	}
}

// wakes end a wait: a token may be revoked, a message's fate has changed.
type wakes struct{ revoked, told <-chan struct{} }

// awaits blocks until there may be something after the position, or the caller's
// token may have been revoked, here or by another node. It reports false when the
// time is up or the server stops.
func (a *API) awaits(ctx context.Context, pos int64, up <-chan time.Time, w wakes) bool {
	last, grown := a.hub.ring.moved()
	if last > pos {
		return true
	}
	again := time.NewTimer(recheck)
	defer again.Stop()
	select {
	case <-grown:
		return true
	case <-w.revoked:
		return true
	case <-w.told:
		return true
	case <-again.C:
		return true
	case <-up:
	case <-ctx.Done():
	case <-a.hub.stopped:
	}
	return false
}

// stillIn refuses a caller whose token was revoked while they waited.
func (a *API) stillIn(ctx context.Context, c *caller) (*caller, error) {
	if again, fresh := a.sessions.remembered(c.secret, a.clock()); fresh {
		return again, nil
	}
	return a.sessions.find(ctx, c.secret, a.clock())
}

// eventsAfter are the first events from there on that the caller may see, and up
// to where there are no others. What was stored before they asked is not left
// for the next poll, though the ring may not have it yet.
func (a *API) eventsAfter(ctx context.Context, c *caller, from begin, limit int) ([]EncodedEvent, int64, error) {
	found := []EncodedEvent{}
	sees := a.sight(c)
	for pos := from.pos; ; {
		items, through, ok := a.hub.ring.after(pos, batchItems)
		if !ok || through == pos && pos < from.last {
			var err error
			if items, through, err = a.itemsFrom(ctx, pos); err != nil {
				return nil, pos, err
			}
		}
		for _, i := range items {
			seen, err := sees(ctx, i)
			if err != nil {
				return nil, pos, err
			}
			if !seen {
				continue
			}
			found = append(found, EncodedEvent(i.json(c.person.ID)))
			if len(found) == limit {
				return found, i.pos, nil
			}
		}
		if through == pos || ctx.Err() != nil {
			return found, through, ctx.Err()
		}
		pos = through
	}
}
