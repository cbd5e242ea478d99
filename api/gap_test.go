package api_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"meridian/api"
	"meridian/threads"
)

// faultyPen cannot say who is in a channel while it fails.
type faultyPen struct {
	pen
	fails *atomic.Bool
}

func (p faultyPen) Channel(ctx context.Context, id threads.Hash) (*threads.Channel, error) {
	if p.fails.Load() {
		return nil, errors.New("the database went away")
	}
	return p.pen.Channel(ctx, id)
}

func TestAnEventIsNotPassedOverWhileMembershipsCannotBeRead(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	cursor := w.cursor(ana)
	l := w.resumed(ana, cursor)

	w.fails.Store(true)
	command := threads.Post{Channel: channel, Message: threads.Message{Thread: thread, Body: "canary"}}
	if _, err := (pen{w.journal}).Do(context.Background(), api.Request{Actor: ana.id, Command: command, Now: w.now()}); err != nil {
		t.Fatal(err)
	}
	if e, err := l.next(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("the socket went on with %s, %v", e.Type, err)
	}
	w.must(500, ana, "GET", "/events?after="+cursor, nil)

	w.fails.Store(false)
	var got struct{ Items []struct{ Type string } }
	w.must(200, ana, "GET", "/events?after="+cursor, nil).into(t, &got)
	if len(got.Items) != 1 || got.Items[0].Type != threads.TypeMessagePosted {
		t.Errorf("afterwards a poll tells %v", got.Items)
	}
}
