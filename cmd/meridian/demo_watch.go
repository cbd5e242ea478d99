package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// welcome prints what a newcomer needs to try things.
func (d *demo) welcome() error {
	var w strings.Builder
	messages := 0
	for _, t := range d.told {
		messages += len(t.lines)
	}
	for _, h := range d.houses {
		fmt.Fprintf(&w, "\n%s, %s   %s   metrics and health: %s\n", h.title, h.city, h.url, h.adminURL)
		for i, p := range h.signedIn {
			role := map[bool]string{true: " (administrator)", false: ""}[i == 0]
			fmt.Fprintf(&w, "  %-24s password %s   %s%s\n", p.Address, p.Password, p.Name, role)
		}
	}
	fmt.Fprintf(&w, "\nThey share the channel %q: %d threads, %d messages, the same on both servers.\n", storyChannel, len(d.told), messages)
	d.commands(&w)
	_, err := fmt.Fprint(d.out, w.String())
	return err
}

// commands are to be pasted into a shell as they are.
func (d *demo) commands(w *strings.Builder) {
	ours, theirs := d.houses[0], d.houses[1]
	us, them, t := ours.signedIn[0], theirs.signedIn[0], d.told[0]
	path := "/api/v1/threads/" + t.id + "/messages"
	fmt.Fprintf(w, `
In a second terminal, wait as %s in %s for what happens next, up to 30 s:

  curl -s '%s/api/v1/events?wait=30' -H 'Authorization: Bearer %s'

In a third one, write as %s in %s into the thread %q:

  curl -s %s%s -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{"body":"Hello from %s."}'

The same events come over the WebSocket ws://%s/api/v1/stream, if you have websocat:

  echo '{"op":"resume"}' | websocat -n -H 'Authorization: Bearer %s' ws://%s/api/v1/stream

Everything else that can be asked: %s/api/v1/docs

`, them.Name, theirs.city, theirs.url, them.Token,
		us.Name, ours.city, t.title, ours.url, path, us.Token, ours.city,
		theirs.name, them.Token, theirs.name, ours.url)
}

// arrival is a message.posted event on a socket.
type arrival struct {
	Type string
	Data struct {
		Author, Thread, Body string
	}
}

// Pauses between the messages with which the conversation goes on.
const (
	firstEncore = 10 * time.Second
	nextEncore  = 20 * time.Second
)

// watch prints what arrives on either side until ctx is done, and has the
// conversation go on for a while; with --json it only waits.
func (d *demo) watch(ctx context.Context) error {
	if d.json {
		<-ctx.Done()
		return nil
	}
	ended := make(chan error, len(d.houses)+1)
	for _, h := range d.houses {
		socket, err := h.socket(ctx)
		if err != nil {
			return fmt.Errorf("open a socket at %s: %w", h.title, err)
		}
		defer socket.Close()
		go func() { ended <- d.listen(h, socket) }()
	}
	fmt.Fprintln(d.out, "Messages as they arrive at the other organisation; Ctrl-C ends the demo:")
	go func() {
		if err := d.encore(ctx); err != nil {
			ended <- err
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// socket is a WebSocket of the house's first person, from now on.
func (h *house) socket(ctx context.Context) (*websocket.Conn, error) {
	header := http.Header{"Authorization": {"Bearer " + h.signedIn[0].Token}}
	c, answer, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+h.name+"/api/v1/stream", header)
	if err != nil {
		return nil, err
	}
	if err := answer.Body.Close(); err != nil {
		return nil, err
	}
	return c, c.WriteJSON(map[string]string{"op": "resume"})
}

// listen prints the messages of the other organisation until the socket ends.
func (d *demo) listen(h *house, socket *websocket.Conn) error {
	for {
		var a arrival
		if err := socket.ReadJSON(&a); err != nil {
			return fmt.Errorf("read %s's socket: %w", h.title, err)
		}
		if a.Type != "message.posted" || strings.HasSuffix(a.Data.Author, "@"+h.name) {
			continue
		}
		title := a.Data.Thread
		for _, t := range d.told {
			if t.id == a.Data.Thread {
				title = t.title
			}
		}
		fmt.Fprintf(d.out, "\n%s  in %s: %s writes in %q\n    %s\n", time.Now().Format(time.TimeOnly),
			h.city, d.nameOf(a.Data.Author), title, strings.ReplaceAll(a.Data.Body, "\n", "\n    "))
	}
}

func (d *demo) nameOf(address string) string {
	for _, h := range d.houses {
		for _, p := range h.signedIn {
			if p.Address == address {
				return p.Name + " (" + h.title + ")"
			}
		}
	}
	return address
}

// encore posts what the people go on writing.
func (d *demo) encore(ctx context.Context) error {
	wait := firstEncore
	for _, next := range encore() {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := d.say(ctx, next.thread, next.line); err != nil && ctx.Err() == nil {
			return fmt.Errorf("go on with the conversation: %w", err)
		}
		wait = nextEncore
	}
	return nil
}
