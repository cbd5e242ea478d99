package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// way leads texts from POSTs to sockets. Meridian and the hub are each one.
type way struct {
	in, path, token   string // HOST:PORT, path and token of POSTs
	out, stream, user string // HOST:PORT, path and token of sockets
	wrap              func(text []byte) []byte
	greeting          string // in the frame after which events come
}

// way leads from the room's first thread to sockets of a person of b.
func (r *room) way(b *site, p person) way {
	return way{
		in: r.at.address, path: "/api/v1/threads/" + r.threads[0] + "/messages", token: r.at.people[0].token,
		out: b.address, stream: "/api/v1/stream", user: p.token,
		wrap:     func(text []byte) []byte { return fmt.Appendf(nil, `{"body":"%s"}`, text) },
		greeting: `"op":"ready"`,
	}
}

// way has the hub send what wrap makes of each text.
func (h runningHub) way(wrap func(text []byte) []byte) way {
	return way{in: h.address, path: "/publish", out: h.address, stream: "/stream", wrap: wrap, greeting: hubGreeting}
}

// say posts a text.
func (w way) say(c *connection, text []byte) error {
	status, answer, err := c.do("POST", w.path, w.wrap(text))
	if err == nil && status >= 300 {
		err = fmt.Errorf("POST %s: %d %s", w.path, status, answer)
	}
	return err
}

// socket is a client's WebSocket. It ends with the context it was opened with.
type socket struct {
	conn  *websocket.Conn
	frame bytes.Buffer
}

func (w way) open(ctx context.Context) (*socket, error) {
	header := http.Header{}
	if w.user != "" {
		header.Set("Authorization", "Bearer "+w.user)
	}
	dialer := websocket.Dialer{HandshakeTimeout: answerTime, ReadBufferSize: 4096, WriteBufferSize: 256}
	conn, answer, err := dialer.DialContext(ctx, "ws://"+w.out+w.stream, header)
	if err != nil {
		if answer != nil {
			err = fmt.Errorf("%w: %s", err, answer.Status)
		}
		return nil, fmt.Errorf("open a socket on %s: %w", w.stream, err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &socket{conn: conn}, nil
}

// await reads until a frame holds mark and returns it; it is valid until the
// next call.
func (s *socket) await(mark []byte) ([]byte, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return nil, err
	}
	for {
		_, r, err := s.conn.NextReader()
		if err != nil {
			return nil, fmt.Errorf("read a socket: %w", err)
		}
		s.frame.Reset()
		if _, err := s.frame.ReadFrom(r); err != nil {
			return nil, fmt.Errorf("read a socket: %w", err)
		}
		if bytes.Contains(s.frame.Bytes(), mark) {
			return s.frame.Bytes(), nil
		}
	}
}
