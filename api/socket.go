package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"meridian/threads"
)

// socket is one WebSocket. A goroutine of its own reads; writing is done by
// whichever writer has it.
type socket struct {
	hub    *hub
	conn   *websocket.Conn // for reading
	net    net.Conn
	made   time.Time
	caller atomic.Pointer[caller] // nil until the token came

	begin   atomic.Pointer[begin] // where to go on from, until the writer has seen it
	started atomic.Bool           // a begin was given
	state   atomic.Int32          // towards the writers
	ping    atomic.Bool           // a ping is due
	unheard atomic.Int32          // pings since something was heard: a clock would blame clients for a pause of this machine
	ended   atomic.Bool           // nothing more is sent but a close frame

	writing sync.Mutex
	told    *mailbox // what became of the caller's messages, not yet sent
	live    bool     // events are sent; whoever has the socket busy owns it
	cursor  int64    // of the newest event sent, likewise
}

// begin says where a socket's events go on.
type begin struct {
	pos    int64
	last   int64 // newest position when this was said
	resync bool  // what lies before is gone
}

const (
	maxOp      = 4096                   // bytes of a message by a client
	resumeWait = time.Second            // for resume, before events start from now
	writeWait  = 5 * time.Second        // for a client to take what is written
	slowWait   = 4 * time.Second        // for a slow client to take the rest of a frame
	lingerFor  = 2 * time.Second        // for a client to answer a close frame
	endWait    = 500 * time.Millisecond // for a write under way when a socket is ended
	batchItems = 256
	batchBytes = 64 << 10
)

// op is what a client sends.
type op struct {
	Op    string `json:"op" enum:"auth,resume"`
	Token string `json:"token,omitempty" doc:"With auth."`
	After string `json:"after,omitempty" doc:"With resume: the cursor of the last event that you have."`
}

func (s *socket) now() time.Time      { return s.hub.a.clock() }
func (s *socket) hear()               { s.unheard.Store(0) }
func (s *socket) person() string      { return s.caller.Load().person.ID }
func (s *socket) pong(p string) error { s.hear(); s.send(controlFrame(opPong, []byte(p))); return nil }

// read takes in what the client sends until the connection ends.
func (s *socket) read() {
	defer func() {
		s.ended.Store(true)
		s.net.Close()
		s.hub.leave(s)
	}()
	s.conn.SetReadLimit(maxOp)
	s.conn.SetPingHandler(s.pong)
	s.conn.SetPongHandler(func(string) error { s.hear(); return nil })
	for {
		kind, raw, err := s.conn.ReadMessage()
		if errors.Is(err, errFlood) {
			s.end(closePolicy, "too much was sent")
			s.conn.NetConn().(*meteredConn).drain()
			return
		}
		if err != nil {
			return
		}
		s.hear()
		if s.ended.Load() {
			continue // until the client answers the close frame
		}
		if code, reason := s.take(kind, raw); reason != "" {
			s.end(code, reason)
		}
	}
}

// readOp is what a message of a client says: one object, of these members in these spellings.
func readOp(raw []byte) (op, error) {
	canonical, err := threads.Canonicalize(raw, maxOp)
	if err != nil {
		return op{}, err
	}
	o, err := threads.ParseCanonical(canonical, maxOp)
	if err != nil {
		return op{}, err
	}
	var said op
	fields := map[string]*string{"op": &said.Op, "token": &said.Token, "after": &said.After}
	for i := range o.Len() {
		field := fields[o.Key(i)]
		if field == nil {
			return op{}, errUnknownMember
		}
		if *field, _, err = o.String(o.Key(i)); err != nil {
			return op{}, err
		}
	}
	return said, nil
}

// take does what a message says; a reason is why the socket is to be closed.
func (s *socket) take(kind int, raw []byte) (code int, reason string) {
	o, err := readOp(raw)
	if kind != websocket.TextMessage || err != nil {
		return closePolicy, `send {"op":"auth","token":…} or {"op":"resume","after":…}`
	}
	switch {
	case o.Op == "auth" && s.caller.Load() == nil:
		return s.authenticate(o.Token)
	case o.Op == "resume" && s.caller.Load() != nil:
		return s.resume(o.After)
	case o.Op == "resume":
		return closeRevoked, "send the token first"
	}
	return closePolicy, "this op is not known, or not now"
}

func (s *socket) authenticate(token string) (code int, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), writeWait)
	defer cancel()
	c, fresh := s.hub.a.sessions.remembered(token, s.now())
	if !fresh {
		var err error
		if c, err = s.hub.a.sessions.find(ctx, token, s.now()); err != nil {
			return closeRevoked, "the token is unknown, expired or revoked"
		}
	}
	if err := s.belong(ctx, c); err != nil {
		return closePolicy, problemOf(err).Detail
	}
	return 0, ""
}

// belong makes the socket the caller's. Its events start from now, unless the
// client soon says where it was.
func (s *socket) belong(ctx context.Context, c *caller) error {
	if err := s.hub.listen(c); err != nil {
		return err
	}
	s.caller.Store(c)
	last, err := s.hub.a.Entries.Last(ctx)
	if err != nil {
		return err
	}
	time.AfterFunc(resumeWait, func() {
		if s.started.CompareAndSwap(false, true) {
			s.start(begin{pos: last, last: last})
		}
	})
	return nil
}

func (s *socket) start(b begin) {
	s.begin.Store(&b)
	s.hub.writers.wake(s)
}

func (s *socket) resume(after string) (code int, reason string) {
	if err := take(s.hub.a.rates.person, s.person(), s.now()); err != nil {
		return closePolicy, "too many requests"
	}
	b, err := s.hub.a.beginAfter(context.Background(), after)
	if err != nil {
		return closePolicy, problemOf(err).Detail
	}
	s.started.Store(true)
	s.start(b)
	return 0, ""
}

// flush writes what the socket has to get. It reports false when the socket has
// to read the journal first, which gives it back by itself.
func (s *socket) flush() bool {
	if s.ping.Swap(false) {
		s.send(controlFrame(opPing, nil))
	}
	if b := s.begin.Swap(nil); b != nil {
		s.live, s.cursor = true, b.pos
		s.ready(b)
	}
	for s.live && !s.ended.Load() {
		items, through, ok := s.hub.ring.after(s.cursor, batchItems)
		if !ok {
			go s.catchUp()
			return false
		}
		if !s.deliver(items) {
			return true
		}
		s.cursor = through
		if len(items) < batchItems {
			s.tellFates()
			return true
		}
	}
	return true
}

// ready tells where the events go on.
func (s *socket) ready(b *begin) {
	cursor := cursorOf(b.pos, s.now())
	s.send(textFrame(`{"op":"ready","cursor":"`+cursor+`"}`, nil, ""))
	if b.resync {
		s.send(textFrame("", resyncEvent(cursor, s.now()), ""))
	}
}

func resyncEvent(cursor string, now time.Time) []byte {
	return []byte(`{"cursor":"` + cursor + `","type":"` + typeResync + `","at":"` + now.UTC().Format(time.RFC3339Nano) + `","data":{},"notify":false}`)
}

// catchUp reads the journal until the ring reaches back far enough.
func (s *socket) catchUp() {
	defer s.hub.writers.rest(s)
	s.hub.behind <- struct{}{}
	defer func() { <-s.hub.behind }()
	for !s.ended.Load() && !s.hub.ring.reaches(s.cursor) {
		ctx, cancel := context.WithTimeout(context.Background(), writeWait)
		items, through, err := s.hub.a.itemsFrom(ctx, s.cursor)
		cancel()
		if err != nil {
			s.unread(ctx, err)
			return
		}
		if !s.deliver(items) {
			return
		}
		s.cursor = through
	}
}

// unread ends a socket rather than leave out what could not be read for it: the
// client comes back with its cursor.
func (s *socket) unread(ctx context.Context, err error) {
	s.hub.a.answer(ctx, err)
	s.end(closeGoingAway, "the journal cannot be read now; connect again")
}

// deliver writes those of the items that the person may see now.
func (s *socket) deliver(items []*item) bool {
	if len(items) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeWait)
	defer cancel()
	c := s.caller.Load()
	sees := s.hub.a.sight(c)
	frames := make([][]byte, 0, 8)
	size := 0
	for _, i := range items {
		seen, err := sees(ctx, i)
		if err != nil {
			s.unread(ctx, err)
			return false
		}
		if !seen {
			continue
		}
		frame := i.frame(c.person.ID)
		if size += len(frame); size > batchBytes && len(frames) > 0 {
			if !s.send(frames...) {
				return false
			}
			frames, size = frames[:0], len(frame)
		}
		frames = append(frames, frame)
		s.hub.a.metrics.events.Inc()
	}
	return len(frames) == 0 || s.send(frames...)
}

// sight tells which items a caller may see by the membership of this moment. An
// error says that it is not known: such an item must not be passed over.
func (a *API) sight(c *caller) func(context.Context, *item) (bool, error) {
	var channel threads.Hash
	var member bool
	return func(ctx context.Context, i *item) (bool, error) {
		if i.drop.Load() {
			return false, nil
		}
		if i.channel != channel {
			state, err := a.Journal.Channel(ctx, i.channel)
			if err != nil {
				return false, fmt.Errorf("read channel: %w", err)
			}
			channel, member = i.channel, state != nil && state.Role(c.person.ID) != threads.RoleNone
		}
		return member || i.also != "" && i.also == c.person.ID, nil
	}
}

// send writes frames, whole or not at all, and reports whether the client took
// them in time.
func (s *socket) send(frames ...[]byte) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.ended.Load() {
		return false
	}
	out := frames[0]
	if len(frames) > 1 {
		out = bytes.Join(frames, nil)
	}
	_ = s.net.SetWriteDeadline(time.Now().Add(writeWait)) // else Write fails, and says why
	n, err := s.net.Write(out)
	if err == nil {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !s.ended.Swap(true) {
		go s.tooSlow(restOfFrame(frames, n))
	} else if s.ended.Load() {
		s.net.Close()
	} else {
		s.ended.Store(true)
		s.net.Close()
	}
	return false
}

// restOfFrame is what is missing of the frame in which n bytes of them end.
func restOfFrame(frames [][]byte, n int) []byte {
	for _, f := range frames {
		if n < len(f) {
			if n == 0 {
				return nil
			}
			return f[n:]
		}
		n -= len(f)
	}
	return nil
}

// tooSlow closes a socket whose client does not read, with a code where it can
// still be told: it comes back with its cursor and has lost nothing.
func (s *socket) tooSlow(rest []byte) {
	s.hub.a.metrics.slow.Inc()
	s.finish(append(bytes.Clone(rest), closeFrame(closeSlow, "you read too slowly; connect again")...), slowWait)
}

// end closes the socket with a code. From now on nothing else is sent.
func (s *socket) end(code int, reason string) {
	if s.ended.Swap(true) {
		return
	}
	_ = s.net.SetWriteDeadline(time.Now().Add(endWait)) // a write under way must not hold this up
	go s.finish(closeFrame(code, reason), endWait)
}

// finish writes the last bytes and gives the client time to answer them.
func (s *socket) finish(last []byte, wait time.Duration) {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.net.SetWriteDeadline(time.Now().Add(wait))
	if _, err := s.net.Write(last); err != nil {
		s.net.Close()
		return
	}
	_ = s.net.SetReadDeadline(time.Now().Add(lingerFor)) // then the reader closes
}
