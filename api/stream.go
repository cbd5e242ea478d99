package api

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/websocket"
)

const streamPath = prefix + "/stream"

// streamRoute serves the WebSocket. It stands beside the framework, so its
// operation is written into the document by hand.
func (a *API) streamRoute() {
	upgrader := &websocket.Upgrader{
		ReadBufferSize: 256, WriteBufferPool: &sync.Pool{}, // sockets write their frames themselves
		HandshakeTimeout: writeWait,
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			code := "websocket"
			if status == http.StatusForbidden {
				code, reason = "origin", errors.New("this Origin may not connect here")
			}
			writeProblem(w, r, refusal(status, code, reason.Error()))
		},
	}
	a.mux.HandleFunc("GET "+streamPath, func(w http.ResponseWriter, r *http.Request) { a.stream(upgrader, w, r) })
	registry := a.huma.OpenAPI().Components.Schemas
	schemaIn[Event](registry)
	schemaIn[op](registry)
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "stream", Method: http.MethodGet, Path: streamPath, Tags: []string{"events"},
		Summary: "Events as they happen, over a WebSocket (RFC 6455)",
		Description: "The token is in the Authorization header or in the first message, `{\"op\":\"auth\",\"token\":…}`. " +
			"Then, at once, `{\"op\":\"resume\",\"after\":CURSOR}` goes on after an event; without it events start from now, after a second. " +
			"The server answers `{\"op\":\"ready\",\"cursor\":…}` and sends one Event (see its schema) a message. " +
			"A cursor older than 30 days is answered with an event of type `resync`: read everything anew, and go on from there. " +
			"The server pings every 30 s. It closes with 1008 what does not keep to this, 4001 when the token was revoked, " +
			"4003 when you were removed from a channel, 4008 when you read too slowly: connect again and resume, nothing is lost.",
		Security: []map[string][]string{{"token": {}}, {}},
		Responses: map[string]*huma.Response{
			"101":     {Description: "Switching Protocols"},
			"default": a.problemResponse(),
		},
	})
}

func (a *API) stream(upgrader *websocket.Upgrader, w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		writeProblem(w, r, refusal(http.StatusUpgradeRequired, "upgrade_required", "connect with a WebSocket client"))
		return
	}
	if err := a.hub.enter(); err != nil {
		writeProblem(w, r, a.answer(r.Context(), err))
		return
	}
	conn, err := upgrader.Upgrade(metered{w}, r, nil)
	if err != nil { // it has answered
		a.hub.leave(nil)
		return
	}
	s := &socket{hub: a.hub, conn: conn, net: conn.NetConn(), made: a.clock(), told: newMailbox("")}
	a.hub.adopt(s)
	if c := exchangeOf(r.Context()).caller; c != nil {
		if err := s.belong(context.WithoutCancel(r.Context()), c); err != nil {
			s.end(closePolicy, problemOf(err).Detail)
		}
	}
	go s.read() // on a small stack of its own: this one goes
}

// metered hands out connections that bound what a client may send.
type metered struct{ http.ResponseWriter }

// Hijack is that of the writer.
func (m metered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(m.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &meteredConn{Conn: conn, budget: floodBurst, at: time.Now()}, rw, nil
}

// errFlood ends a connection whose client sends more than a client has to say.
var errFlood = errors.New("too many bytes for a client of the event stream")

const (
	floodBurst = 64 << 10 // bytes
	floodRate  = 4 << 10  // bytes a second
)

// meteredConn is read by one goroutine.
type meteredConn struct {
	net.Conn
	budget int
	at     time.Time
}

// Read fails with errFlood once the client has sent too much.
func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	now := time.Now()
	c.budget = min(floodBurst, c.budget+int(now.Sub(c.at).Seconds()*floodRate)) - n
	if c.at = now; c.budget < 0 {
		return n, errFlood
	}
	return n, err
}

// drain reads what is still sent, so that the close frame arrives.
func (c *meteredConn) drain() {
	scrap := make([]byte, 4096)
	for {
		if _, err := c.Conn.Read(scrap); err != nil {
			return
		}
	}
}
