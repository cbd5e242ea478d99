package store

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/lib/pq"
)

// A listening connection is silent for long, so it is pinged; one that does not
// answer is given up after listenTimeout. While there is none the news are taken
// to be lost every lostEvery.
const (
	pingEvery     = 2 * time.Second
	listenTimeout = 7 * time.Second
	reconnectMost = 2 * time.Second
	lostEvery     = time.Second
)

// Listen calls hear with what other nodes tell until ctx ends; news of this node
// are left out. While the database cannot be heard, and once when it can again,
// it calls hear with Lost. It is for PostgreSQL: see Nodes.
func (s *Store) Listen(ctx context.Context, hear func(News)) {
	connected := make(chan bool)
	tell := func(up bool) {
		select {
		case connected <- up:
		case <-ctx.Done():
		}
	}
	listener := pq.NewDialListener(deadlineDialer{min(s.silence, listenTimeout)}, s.dsn, 50*time.Millisecond, reconnectMost,
		func(event pq.ListenerEventType, _ error) {
			tell(event == pq.ListenerEventReconnected) // after the first connection it does not listen yet
		})
	defer func() {
		go func() { // closing waits for a connection that is being made
			_ = listener.Close()
			for range listener.Notify {
			}
		}()
	}()
	go func() {
		if listener.Listen(newsChannel) == nil { // which waits for the first connection
			tell(true)
		}
	}()
	go pingUntil(ctx, listener)
	for up := false; ; {
		var lost <-chan time.Time
		if !up {
			lost = time.After(lostEvery)
		}
		select {
		case <-ctx.Done():
			return
		case up = <-connected:
			hear(News{Lost: true})
		case <-lost:
			hear(News{Lost: true})
		case n, ok := <-listener.Notify:
			if !ok {
				return
			}
			s.heard(n, hear)
		}
	}
}

// pingUntil has a connection noticed that is dead without a word.
func pingUntil(ctx context.Context, l *pq.Listener) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = l.Ping() // a failure ends the connection, which is told as such
		}
	}
}

func (s *Store) heard(n *pq.Notification, hear func(News)) {
	if n == nil { // connected again
		hear(News{Lost: true})
		return
	}
	var t told
	switch err := json.Unmarshal([]byte(n.Extra), &t); {
	case err != nil: // a newer version's, or an administrator's by hand
		hear(News{Lost: true})
	case t.Node != s.node:
		hear(t.News)
	}
}

// deadlineDialer makes connections on which no read lasts longer than silence:
// lib/pq itself waits for a silent server whatever the context says.
type deadlineDialer struct{ silence time.Duration }

func (d deadlineDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, dialTimeout)
}

func (d deadlineDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d deadlineDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return deadlineConn{conn, d.silence}, nil
}

type deadlineConn struct {
	net.Conn
	silence time.Duration
}

func (c deadlineConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}
