package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"meridian/threads"
)

// typeDelivery is the event that tells an author what became of a message at a
// partner. It is in no log: it goes to the clients that are open at the moment,
// and whoever missed it asks for the message's delivery.
const typeDelivery = "message.delivery"

// maxUntold bounds what waits for one client to be told.
const maxUntold = 256

// DeliveryChange is the data of message.delivery.
type DeliveryChange struct {
	Channel string `json:"channel"`
	Message string `json:"message"`
	Delivery
}

// mailbox holds what became of a person's messages until a client of theirs is
// told.
type mailbox struct {
	person string
	filled chan struct{} // holds a value when something came

	mu    sync.Mutex
	fates []threads.Fate
}

func newMailbox(person string) *mailbox {
	return &mailbox{person: person, filled: make(chan struct{}, 1)}
}

func (m *mailbox) put(fates []threads.Fate) {
	m.mu.Lock()
	m.fates = append(m.fates, fates...)
	m.fates = m.fates[max(0, len(m.fates)-maxUntold):]
	m.mu.Unlock()
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []threads.Fate {
	m.mu.Lock()
	defer m.mu.Unlock()
	fates := m.fates
	m.fates = nil
	return fates
}

// Told tells the authors whose clients are open what became of their messages. It
// does not wait for them.
func (a *API) Told(fates []threads.Fate) {
	of := map[string][]threads.Fate{}
	for _, f := range fates {
		of[f.Author] = append(of[f.Author], f)
	}
	a.hub.tell(of)
}

func (h *hub) tell(of map[string][]threads.Fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		if c := s.caller.Load(); c != nil && len(of[c.person.ID]) > 0 {
			s.told.put(of[c.person.ID])
			h.writers.wake(s)
		}
	}
	for m := range h.polls {
		if len(of[m.person]) > 0 {
			m.put(of[m.person])
		}
	}
}

// attend has a long poll told until its end.
func (h *hub) attend(m *mailbox) (end func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.polls[m] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.polls, m)
	}
}

// fateEvents are the events of those fates that the caller may still see, at a
// cursor that they do not move.
func (a *API) fateEvents(ctx context.Context, c *caller, fates []threads.Fate, cursor string) ([]EncodedEvent, error) {
	if len(fates) == 0 {
		return nil, nil
	}
	sees := a.sight(c)
	var events []EncodedEvent
	for _, f := range fates {
		seen, err := sees(ctx, &item{channel: f.Channel})
		if err != nil {
			return nil, err
		}
		if !seen {
			continue
		}
		e, err := fateEvent(f, cursor, a.clock())
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func fateEvent(f threads.Fate, cursor string, now time.Time) (EncodedEvent, error) {
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Cursor string         `json:"cursor"`
		Type   string         `json:"type"`
		At     time.Time      `json:"at"`
		Data   DeliveryChange `json:"data"`
		Notify bool           `json:"notify"`
	}{cursor, typeDelivery, now.UTC(), DeliveryChange{f.Channel, f.Message, deliveryOf(f.Outcome)}, false})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typeDelivery, err)
	}
	return bytes.TrimRight(encoded.Bytes(), "\n"), nil
}

// tellFates writes what became of the caller's messages since.
func (s *socket) tellFates() bool {
	fates := s.told.take()
	if len(fates) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeWait)
	defer cancel()
	events, err := s.hub.a.fateEvents(ctx, s.caller.Load(), fates, cursorOf(s.cursor, s.now()))
	if err != nil {
		s.unread(ctx, err)
		return false
	}
	frames := make([][]byte, len(events))
	for i, e := range events {
		frames[i] = textFrame("", e, "")
	}
	return len(frames) == 0 || s.send(frames...)
}
