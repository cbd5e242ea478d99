package api_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/api"
	"meridian/threads"
)

// Parts of which a benchmark reaches one method.
type (
	tokens      = api.Tokens
	threadsOf   = api.Threads
	quickTokens struct {
		tokens
	}
	quickThreads struct {
		threadsOf
		*quick
	}
)

func (q quickTokens) PersonByToken(context.Context, string, time.Time) (threads.PersonRecord, string, error) {
	return threads.PersonRecord{ID: ana, Address: "ana@" + kobo, Local: true}, "t", nil
}

func (q quickThreads) Thread(context.Context, string, threads.Hash) (threads.ThreadRecord, error) {
	return threads.ThreadRecord{ID: q.thread, Channel: q.channel.ID}, nil
}

// quick answers as fast as memory allows, so that benchmarks measure the client
// interface alone. It has one channel, one thread and a log of its own.
type quick struct {
	api.People
	channel *threads.Channel
	thread  threads.Hash
	pen     threads.Pen

	mu      sync.Mutex
	changed chan struct{}
	log     []threads.Entry
	sealed  *threads.Event // what every command comes to, when set
}

const ana = "https://" + kobo + "/people/AAAAAAAAAAAAAAAAAAAAAA"

func newQuick(t testing.TB) *quick {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &quick{changed: make(chan struct{}), pen: threads.Pen{
		Server: kobo, Key: threads.Key{ID: "https://" + kobo + "/keys/1", Public: public}, Now: time.Now(),
		Sign: func(m []byte) []byte { return ed25519.Sign(private, m) }, Random: random16,
	}}
	v := &threads.View{Channel: threads.NewChannel(""), Actor: ana, Pen: &q.pen}
	if err := (threads.CreateChannel{Settings: threads.Settings{Name: "Harbour", Kind: "work", History: "full"}}).Decide(v); err != nil {
		t.Fatal(err)
	}
	q.channel = v.Channel
	title := "Quay 4"
	if err := (threads.StartThread{Channel: q.channel.ID, Content: threads.ThreadContent{Title: &title}}).Decide(v); err != nil {
		t.Fatal(err)
	}
	q.thread = v.Events[1].ID
	return q
}

func (q *quick) write(t testing.TB, body string) *threads.Event {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	v := &threads.View{Channel: q.channel, Actor: ana, Pen: &q.pen, Find: func(id threads.Hash) (threads.Target, error) {
		return threads.Target{ID: id, Type: threads.TypeThreadCreated}, nil
	}}
	post := threads.Post{Channel: q.channel.ID, Message: threads.Message{Thread: q.thread, Body: body}}
	if err := post.Decide(v); err != nil {
		t.Fatal(err)
	}
	q.log = append(q.log, threads.Entry{Pos: int64(len(q.log) + 1), Event: v.Events[0]})
	close(q.changed)
	q.changed = make(chan struct{})
	return v.Events[0]
}

func (q *quick) Do(context.Context, api.Request) (api.Result, error) {
	return api.Result{IDs: []threads.Hash{q.sealed.ID}, Events: []*threads.Event{q.sealed}, Last: 7}, nil
}

func (q *quick) Channel(context.Context, threads.Hash) (*threads.Channel, error) {
	return q.channel, nil
}

func (q *quick) Entries(_ context.Context, after int64, limit int) ([]threads.Entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := q.log[min(after, int64(len(q.log))):]
	return rest[:min(limit, len(rest))], nil
}

func (q *quick) Last(context.Context) (int64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(len(q.log)), nil
}

func (q *quick) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

func (q *quick) PeopleByID(context.Context, []string) (map[string]threads.PersonRecord, error) {
	return map[string]threads.PersonRecord{ana: {ID: ana, Address: "ana@" + kobo}}, nil
}

func (q *quick) serve(t testing.TB) *api.API {
	t.Helper()
	a, err := api.New(api.Options{
		Server: kobo, Version: "bench", Clock: time.Now, Lost: func(error) bool { return false }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry(),
		Limits: api.Limits{PersonRate: 1 << 30, AnonymousRate: 1 << 30, Sockets: 1 << 14, SocketsPerPerson: 1 << 14},
		Needs:  api.Needs{Journal: q, Entries: q, Tokens: quickTokens{}, People: q, Threads: quickThreads{quick: q}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

// discard is a ResponseWriter that keeps nothing.
type discard struct {
	header http.Header
	status int
	body   []byte // of the latest write
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { d.body = b; return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkPostMessage is what the client interface costs for one message of
// 300 bytes, network and journal aside.
func BenchmarkPostMessage(b *testing.B) {
	q := newQuick(b)
	body := string(bytes.Repeat([]byte("x"), 300))
	q.sealed = q.write(b, body)
	a := q.serve(b)
	raw := []byte(fmt.Sprintf(`{"body":%q}`, body))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/api/v1/threads/"+q.thread+"/messages", bytes.NewReader(raw))
		r.Header.Set("Authorization", "Bearer secret")
		r.Header.Set("Content-Type", "application/json")
		w := &discard{header: http.Header{}}
		a.ServeHTTP(w, r)
		if w.status != 201 {
			b.Fatalf("status %d: %s", w.status, w.body)
		}
	}
}

// hear connects n sockets and counts the text messages that each gets.
func hear(b *testing.B, url string, n int, heard *atomic.Int64) []*websocket.Conn {
	b.Helper()
	conns := make([]*websocket.Conn, n)
	dialer := websocket.Dialer{ReadBufferSize: 4096, WriteBufferSize: 128}
	for i := range conns {
		c, _, err := dialer.Dial(url, http.Header{"Authorization": {"Bearer secret"}})
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = c
		b.Cleanup(func() { c.Close() })
		go func() {
			for {
				if _, _, err := c.NextReader(); err != nil {
					return
				}
				heard.Add(1)
			}
		}()
	}
	return conns
}

func await(b *testing.B, heard *atomic.Int64, n int64) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); heard.Load() < n; time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatalf("heard %d of %d", heard.Load(), n)
		}
	}
}

const listeners = 1000

// BenchmarkFanOut sends events to 1,000 sockets, one after the other; the hub
// below it is the floor: gorilla's own writing to each in turn.
func BenchmarkFanOut(b *testing.B) {
	body := string(bytes.Repeat([]byte("x"), 300))
	b.Run("stream", func(b *testing.B) {
		q := newQuick(b)
		server := httptest.NewServer(q.serve(b))
		b.Cleanup(server.Close)
		var heard atomic.Int64
		hear(b, "ws"+server.URL[4:]+"/api/v1/stream", listeners, &heard)
		await(b, &heard, listeners) // ready
		heard.Store(0)
		b.ResetTimer()
		start := time.Now()
		for range b.N {
			q.write(b, body)
		}
		await(b, &heard, int64(b.N)*listeners)
		b.ReportMetric(float64(b.N)*listeners/time.Since(start).Seconds(), "deliveries/s")
	})
	b.Run("bare hub", func(b *testing.B) {
		q := newQuick(b)
		payload, err := json300(q.write(b, body))
		if err != nil {
			b.Fatal(err)
		}
		h := &bareHub{}
		server := httptest.NewServer(h)
		b.Cleanup(server.Close)
		var heard atomic.Int64
		hear(b, "ws"+server.URL[4:], listeners, &heard)
		await(b, &h.open, listeners)
		b.ResetTimer()
		start := time.Now()
		for range b.N {
			h.broadcast(payload)
		}
		await(b, &heard, int64(b.N)*listeners)
		b.ReportMetric(float64(b.N)*listeners/time.Since(start).Seconds(), "deliveries/s")
	})
}

// json300 is an event about as long as the stream's.
func json300(e *threads.Event) ([]byte, error) {
	return bytes.Repeat([]byte("x"), len(e.Content)+300), nil
}

// bareHub writes a message to every connection in turn, and does nothing else.
type bareHub struct {
	mu    sync.Mutex
	conns []*websocket.Conn
	open  atomic.Int64
}

func (h *bareHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u := websocket.Upgrader{ReadBufferSize: 256, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}}
	c, err := u.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	h.open.Add(1)
	go func() {
		for {
			if _, _, err := c.NextReader(); err != nil {
				c.Close()
				return
			}
		}
	}()
}

func (h *bareHub) broadcast(payload []byte) {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, payload)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		_ = c.WritePreparedMessage(m)
	}
}

// BenchmarkIdleSocket reports what an idle socket costs in memory. The clients
// are bare connections that keep no buffers.
func BenchmarkIdleSocket(b *testing.B) {
	q := newQuick(b)
	server := httptest.NewServer(q.serve(b))
	b.Cleanup(server.Close)
	for b.Loop() {
		before := memory()
		conns := make([]net.Conn, listeners)
		for i := range conns {
			conns[i] = dialBare(b, server.Listener.Addr().String())
		}
		time.Sleep(1500 * time.Millisecond) // all are live
		b.ReportMetric(float64(memory()-before)/listeners/1024, "KiB/socket")
		for _, c := range conns {
			c.Close()
		}
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func dialBare(b testing.TB, addr string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(c, "GET /api/v1/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer secret\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	buf := make([]byte, 12)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "HTTP/1.1 101" {
		b.Fatalf("%v %s", err, buf)
	}
	return c
}
