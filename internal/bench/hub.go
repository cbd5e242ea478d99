package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// hubBacklog is how many events may wait for one socket before it is closed.
	hubBacklog = 256
	// hubGreeting is the first frame of a socket: what is POSTed from then on follows.
	hubGreeting = "welcome"
)

// ServeHub is the floor of everything about sockets: a hub that keeps nothing,
// knows nobody and writes each body POSTed to it to every socket. It listens on
// loopback, prints its address to out, and ends with ctx.
func ServeHub(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	h := &hub{sockets: map[*hubSocket]bool{}}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	routes.HandleFunc("GET /stream", h.join)
	routes.HandleFunc("POST /publish", h.publish)
	s := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return errors.Join(err, s.Close())
	}
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type hub struct {
	upgrader websocket.Upgrader
	mu       sync.Mutex
	sockets  map[*hubSocket]bool
}

type hubSocket struct {
	conn *websocket.Conn
	send chan *websocket.PreparedMessage
}

func (h *hub) publish(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		select {
		case s.send <- m:
		default:
			_ = s.conn.Close()
		}
	}
}

// join reads the socket in this goroutine, as long as it lasts, and writes it
// in another.
func (h *hub) join(w http.ResponseWriter, r *http.Request) {
	conn, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it was answered
	}
	s := &hubSocket{conn, make(chan *websocket.PreparedMessage, hubBacklog)}
	h.mu.Lock()
	h.sockets[s] = true
	h.mu.Unlock()
	over := make(chan struct{})
	go s.write(over)
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	h.mu.Lock()
	delete(h.sockets, s)
	h.mu.Unlock()
	close(over)
	_ = conn.Close()
}

func (s *hubSocket) write(over <-chan struct{}) {
	if s.conn.WriteMessage(websocket.TextMessage, []byte(hubGreeting)) != nil {
		return // the reader sees it too
	}
	for {
		select {
		case m := <-s.send:
			if s.conn.WritePreparedMessage(m) != nil {
				return // the reader sees it too
			}
		case <-over:
			return
		}
	}
}

// runningHub is the hub in a child process of its own.
type runningHub struct {
	*process
	address    string
	readyAfter time.Duration
}

// startHub runs the hub until it is stopped or the trial is over.
func (s *stage) startHub(ctx context.Context) (h runningHub, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return h, err
	}
	defer r.Close()
	h.process, err = launch(s.Program, environment(), w, "bench", "hub")
	_ = w.Close() // the child has its own
	if err != nil {
		return h, err
	}
	s.later(h.stop)
	if h.address, err = firstLine(ctx, r); err != nil {
		return h, fmt.Errorf("read the hub's address: %w: %s", err, h.errors.text())
	}
	h.readyAfter, err = h.awaitReady(ctx, h.address)
	return h, err
}
