package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"meridian/api"
)

// event is an event with its data undecoded.
type event struct {
	Op, Cursor, Type string
	At               time.Time
	Data             json.RawMessage
	Notify           bool
}

// events is the answer of a poll.
type events struct {
	Items      []json.RawMessage
	NextCursor string `json:"next_cursor"`
}

// line is a client's end of the event stream.
type line struct {
	w    *world
	conn *websocket.Conn
}

// dial connects; the token is in the header unless u is nil.
func (w *world) dial(u *user, headers ...string) *line {
	w.t.Helper()
	h := http.Header{}
	if u != nil {
		h.Set("Authorization", "Bearer "+u.secret)
	}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, res, err := websocket.DefaultDialer.Dial("ws"+w.url[4:]+"/api/v1/stream", h)
	if err != nil {
		w.t.Fatal(err)
	}
	if ext := res.Header.Get("Sec-WebSocket-Extensions"); ext != "" {
		w.t.Errorf("extensions %q were agreed on", ext)
	}
	w.t.Cleanup(func() { conn.Close() })
	return &line{w, conn}
}

func (l *line) say(v any) {
	l.w.t.Helper()
	if err := l.conn.WriteJSON(v); err != nil {
		l.w.t.Fatal(err)
	}
}

// next is the next message; the error is that of the connection.
func (l *line) next() (event, error) {
	var e event
	l.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, raw, err := l.conn.ReadMessage()
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		l.w.t.Fatalf("%v in %s", err, raw)
	}
	if e.Op == "" {
		l.w.valid("stream", l.w.api.Document().Components.Schemas.Map()["Event"], raw)
	}
	return e, nil
}

func (l *line) want(kind string) event {
	l.w.t.Helper()
	e, err := l.next()
	if err != nil || e.Type != kind && e.Op != kind {
		l.w.t.Fatalf("got %+v, %v instead of %s", e, err, kind)
	}
	return e
}

// any is the next message, whatever it is.
func (l *line) any() event {
	l.w.t.Helper()
	e, err := l.next()
	if err != nil {
		l.w.t.Fatal(err)
	}
	return e
}

// closed reads until the connection ends and is the code with which it did.
func (l *line) closed() int {
	l.w.t.Helper()
	for {
		if _, err := l.next(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				l.w.t.Fatalf("ended with %v", err)
			}
			return closed.Code
		}
	}
}

// resumed is a line that is ready after the cursor.
func (w *world) resumed(u *user, cursor string) *line {
	w.t.Helper()
	l := w.dial(u)
	l.say(object{"op": "resume", "after": cursor})
	l.want("ready")
	return l
}

// cursor is where the journal stands.
func (w *world) cursor(u *user) string {
	w.t.Helper()
	return w.must(200, u, "GET", "/events", nil).text("next_cursor")
}

func TestWhatHappensIsToldToMembersWithAllThatShowsIt(t *testing.T) {
	onBoth(t, whatHappensIsToldToMembersWithAllThatShowsIt)
}

func whatHappensIsToldToMembersWithAllThatShowsIt(t *testing.T, w *world) {
	ana, ben, eve := w.user("ana", false), w.user("ben", false), w.user("eve", false)
	heard, unheard := w.resumed(ana, w.cursor(ana)), w.resumed(eve, w.cursor(eve))
	channel := w.channel(ana, "Harbour")
	heard.want("channel.created")
	w.must(201, ana, "POST", "/channels/"+channel+"/members", object{"address": ben.address})
	var joined api.MemberChange
	e := heard.want("member.joined")
	if err := json.Unmarshal(e.Data, &joined); err != nil || joined != (api.MemberChange{Channel: channel, Address: ben.address, Role: "member"}) {
		t.Errorf("%s", e.Data)
	}
	thread := w.thread(ana, channel, "Quay 4")
	heard.want("thread.created")
	message := w.post(ben, thread, "for @ana@"+kobo)
	e = heard.want("message.posted")
	var told, read api.Message
	if err := json.Unmarshal(e.Data, &told); err != nil {
		t.Fatal(err)
	}
	w.must(200, ana, "GET", "/messages/"+message, nil).into(t, &read)
	if diff := cmp.Diff(read, told); diff != "" {
		t.Error(diff)
	}
	if !e.Notify {
		t.Error("being mentioned is not told")
	}
	w.must(200, ben, "PATCH", "/messages/"+message, object{"body": "for nobody"})
	if e = heard.want("message.edited"); e.Notify || !strings.Contains(string(e.Data), "for nobody") {
		t.Errorf("%+v %s", e, e.Data)
	}
	w.must(204, ana, "PUT", "/messages/"+message+"/reactions/x", nil)
	heard.want("reaction.set")
	w.must(200, ana, "PATCH", "/threads/"+thread, object{"state": "done"})
	heard.want("thread.changed")
	w.must(204, ben, "DELETE", "/messages/"+message, nil)
	if e = heard.want("message.erased"); strings.Contains(string(e.Data), "for nobody") {
		t.Errorf("an erased text was told: %s", e.Data)
	}
	w.must(200, ana, "PATCH", "/channels/"+channel, object{"name": "Port"})
	if e = heard.want("channel.settings"); !strings.Contains(string(e.Data), "Port") {
		t.Errorf("%s", e.Data)
	}
	unheard.say(object{"op": "resume", "after": w.cursor(eve)})
	unheard.want("ready") // and nothing before it
}

func TestAPollWaitsForAnEventAndGoesOnAfterIt(t *testing.T) {
	onBoth(t, aPollWaitsForAnEventAndGoesOnAfterIt)
}

func aPollWaitsForAnEventAndGoesOnAfterIt(t *testing.T, w *world) {
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	cursor := w.cursor(ana)
	var none, got events
	begun := time.Now()
	w.must(200, ana, "GET", "/events?wait=1&after="+cursor, nil).into(t, &none)
	if waited := time.Since(begun); len(none.Items) != 0 || waited < 900*time.Millisecond {
		t.Errorf("%d events after %s", len(none.Items), waited)
	}
	polled := make(chan answer, 1)
	go func() { polled <- w.send(ana, "GET", "/events?wait=20&after="+none.NextCursor, nil) }()
	time.Sleep(50 * time.Millisecond)
	first := w.post(ana, thread, "one")
	(<-polled).into(t, &got)
	second := w.post(ana, thread, "two")
	var more events
	w.must(200, ana, "GET", "/events?after="+got.NextCursor, nil).into(t, &more)
	if len(got.Items) != 1 || len(more.Items) != 1 || !strings.Contains(string(got.Items[0]), first) || !strings.Contains(string(more.Items[0]), second) {
		t.Errorf("%s, %s", got.Items, more.Items)
	}
	var all events
	w.must(200, ana, "GET", "/events?limit=1&after="+cursor, nil).into(t, &all)
	if len(all.Items) != 1 || !strings.Contains(string(all.Items[0]), first) {
		t.Errorf("%s", all.Items)
	}
}

func TestTheTokenMayComeInTheFirstMessage(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	l := w.dial(nil)
	l.say(object{"op": "auth", "token": ana.secret})
	l.want("ready") // by itself after a moment
	w.post(ana, thread, "one")
	l.want("message.posted")
	for name, said := range map[string][]any{
		"a wrong token":         {object{"op": "auth", "token": "guess"}},
		"resume without token":  {object{"op": "resume", "after": w.cursor(ana)}},
		"a cookie, and nothing": {object{"op": "resume"}},
	} {
		l := w.dial(nil, "Cookie", "token="+ana.secret)
		for _, v := range said {
			l.say(v)
		}
		if code := l.closed(); code != 4001 {
			t.Errorf("%s is closed with %d", name, code)
		}
	}
}

func TestClientsThatKeepToNothingAreClosed(t *testing.T) {
	w := newWorld(t, api.Limits{SocketsPerPerson: 100})
	ana := w.user("ana", false)
	for name, c := range map[string]struct {
		code int
		say  func(*websocket.Conn) error
	}{
		"no JSON":           {1008, func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("{")) }},
		"binary":            {1008, func(c *websocket.Conn) error { return c.WriteMessage(websocket.BinaryMessage, []byte("{}")) }},
		"an unknown op":     {1008, func(c *websocket.Conn) error { return c.WriteJSON(object{"op": "sing"}) }},
		"an unknown member": {1008, func(c *websocket.Conn) error { return c.WriteJSON(object{"op": "resume", "colour": 1}) }},
		"a wrong cursor":    {1008, func(c *websocket.Conn) error { return c.WriteJSON(object{"op": "resume", "after": "x"}) }},
		"too long": {1009, func(c *websocket.Conn) error {
			return c.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", 5000)))
		}},
	} {
		l := w.dial(ana)
		if err := c.say(l.conn); err != nil {
			t.Fatal(err)
		}
		if code := l.closed(); code != c.code {
			t.Errorf("%s is closed with %d instead of %d", name, code, c.code)
		}
	}
}

// T41: frames without end cost little and end the connection.
func TestFloodsOfFramesEndTheConnection(t *testing.T) {
	w := newWorld(t, api.Limits{SocketsPerPerson: 100})
	ana := w.user("ana", false)
	for name, frame := range map[string]string{
		"tiny fragments":  "\x01\x81\x00\x00\x00\x00x", // text, not final, one byte
		"empty fragments": "\x01\x80\x00\x00\x00\x00",
		"pings":           "\x89\x80\x00\x00\x00\x00",
	} {
		before := heap()
		raw := dialRaw(t, w, ana)
		go func() {
			first := true
			for range 1_000_000 {
				b := []byte(frame)
				if !first && b[0] == 1 {
					b[0] = 0 // continuation
				}
				first = false
				if _, err := raw.Write(b); err != nil {
					return
				}
			}
		}()
		begun := time.Now()
		raw.SetReadDeadline(begun.Add(20 * time.Second))
		scrap := make([]byte, 4096)
		var err error
		for err == nil {
			_, err = raw.Read(scrap)
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s go on after 20 s", name)
		}
		raw.Close()
		if grown := int64(heap()) - int64(before); grown > 8<<20 {
			t.Errorf("%s: %d bytes were kept", name, grown)
		}
	}
}

// dialRaw connects without a client library.
func dialRaw(t testing.TB, w *world, u *user) net.Conn {
	t.Helper()
	addr := strings.TrimPrefix(w.url, "http://")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /api/v1/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", addr, u.secret)
	head := make([]byte, 0, 512)
	for !strings.Contains(string(head), "\r\n\r\n") {
		b := make([]byte, 1)
		if _, err := c.Read(b); err != nil {
			t.Fatal(err)
		}
		head = append(head, b...)
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101") || strings.Contains(string(head), "deflate") {
		t.Fatalf("%s", head)
	}
	return c
}

// T41: a client that does not read is let go, and has lost nothing.
func TestASlowReaderIsLetGoAndResumesWithoutLoss(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	cursor := w.cursor(ana)
	slow, quick := dialRaw(t, w, ana), w.resumed(ana, cursor)
	if tcp, ok := slow.(*net.TCPConn); ok {
		tcp.SetReadBuffer(64 << 10)
	}
	time.Sleep(1200 * time.Millisecond) // it is live
	body := strings.Repeat("x", 50_000)
	var want []string
	heard := make(chan struct{})
	go func() { // nobody else waits for the slow one
		defer close(heard)
		for range 200 {
			quick.want("message.posted")
		}
	}()
	for range 200 {
		want = append(want, w.post(ana, thread, body))
	}
	<-heard
	for deadline := time.Now().Add(10 * time.Second); w.metric("meridian_socket_slow_closes_total") == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still waited for after 10 s")
		}
	}
	slow.SetReadDeadline(time.Now().Add(10 * time.Second))
	var tail []byte
	for buf := make([]byte, 64<<10); ; {
		n, err := slow.Read(buf)
		if tail = append(tail, buf[:n]...); len(tail) > 1<<20 {
			tail = tail[len(tail)-1<<10:]
		}
		if err != nil {
			break
		}
	}
	if !strings.Contains(string(tail), "\x0f\xa8you read too slowly") {
		t.Error("it was not closed with 4008")
	}
	again := w.resumed(ana, cursor)
	for _, id := range want {
		if e := again.want("message.posted"); !strings.Contains(string(e.Data), id) {
			t.Fatalf("%s is missing", id)
		}
	}
}

// T41: nobody connects from a foreign page.
func TestAForeignOriginMayNotConnect(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	h := http.Header{"Authorization": {"Bearer " + ana.secret}, "Origin": {"https://evil.example"}}
	_, res, err := websocket.DefaultDialer.Dial("ws"+w.url[4:]+"/api/v1/stream", h)
	if err == nil || res == nil || res.StatusCode != 403 {
		t.Fatalf("%v %v", res, err)
	}
	w.dial(ana, "Origin", w.http.URL)
	if a := w.must(426, ana, "GET", "/stream", nil); a.text("code") != "upgrade_required" {
		t.Errorf("%s", a.raw)
	}
}

func TestSocketsOfAPersonAreCounted(t *testing.T) {
	w := newWorld(t, api.Limits{SocketsPerPerson: 2})
	ana, ben := w.user("ana", false), w.user("ben", false)
	first := w.resumed(ana, "")
	w.resumed(ana, "")
	if code := w.dial(ana).closed(); code != 1008 {
		t.Errorf("the third is closed with %d", code)
	}
	w.must(429, ana, "GET", "/events?wait=1", nil)
	w.resumed(ben, "")
	first.conn.Close()
	for deadline := time.Now().Add(5 * time.Second); w.metric("meridian_sockets_open") > 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a closed socket is still counted")
		}
	}
	w.resumed(ana, "")
}

// T22: who has lost a right hears nothing of what comes after.
func TestNothingIsToldAfterARevocation(t *testing.T) {
	for name, c := range map[string]struct {
		revoke func(w *world, root, ana *user, channel string)
		code   int
	}{
		"the token is revoked": {func(w *world, _, ana *user, _ string) {
			w.must(204, ana, "DELETE", "/me/tokens/"+ana.token, nil)
		}, 4001},
		"the person is disabled": {func(w *world, root, ana *user, _ string) {
			w.must(200, root, "PATCH", "/admin/people/"+ana.address, object{"disabled": true})
		}, 4001},
		"the person is removed": {func(w *world, root, ana *user, channel string) {
			w.must(204, root, "DELETE", "/channels/"+channel+"/members/"+ana.address, nil)
		}, 4003},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, api.Limits{})
			root, ana := w.user("root", true), w.user("ana", false)
			channel := w.channel(root, "Harbour")
			w.must(201, root, "POST", "/channels/"+channel+"/members", object{"address": ana.address})
			thread := w.thread(root, channel, "Quay 4")
			cursor := w.cursor(ana)
			l := w.resumed(ana, cursor)
			polled := make(chan answer, 1)
			go func() { polled <- w.send(ana, "GET", "/events?wait=5&after="+cursor, nil) }()
			time.Sleep(50 * time.Millisecond)
			begun := time.Now()
			c.revoke(w, root, ana, channel)
			w.post(root, thread, "canary")
			for {
				e, err := l.next()
				if err != nil {
					if !websocket.IsCloseError(err, c.code) {
						t.Errorf("ended with %v", err)
					}
					break
				}
				if e.Type != "member.removed" {
					t.Errorf("%s was told before the socket was closed: %s", e.Type, e.Data)
				}
			}
			t.Logf("T22: %s: closed %s after it was asked for", name, time.Since(begun).Round(time.Millisecond))
			if a := <-polled; strings.Contains(string(a.raw), "canary") {
				t.Errorf("the poll told: %s", a.raw)
			}
		})
	}
}

// T22: who has a lesser role does nothing more that it forbids, from the instant at which it was given,
// here and where the person's server is another one; what it allows goes on, on the same socket and poll.
func TestALesserRoleCountsAtOnce(t *testing.T) {
	onBoth(t, aLesserRoleCountsAtOnce)
}

func aLesserRoleCountsAtOnce(t *testing.T, w *world) {
	root, ana := w.user("root", true), w.user("ana", false)
	channel := w.channel(root, "Harbour")
	members := "/channels/" + channel + "/members"
	w.must(201, root, "POST", members, object{"address": ana.address, "role": "owner"})
	thread := w.thread(root, channel, "Quay 4")
	theirs, own := w.post(root, thread, "root's"), w.post(ana, thread, "ana's")
	messages := "/threads/" + thread + "/messages"
	type try struct {
		method, path string
		body         any
		allowed      int
	}
	name := try{"PATCH", "/channels/" + channel, object{"name": "Port"}, 200}
	others := try{"DELETE", "/messages/" + theirs, nil, 204}
	start := try{"POST", "/channels/" + channel + "/threads", object{"title": "Quay 5"}, 201}
	say := try{"POST", messages, object{"body": "more"}, 201}
	edit := try{"PATCH", "/messages/" + own, object{"body": "less"}, 200}
	react := try{"PUT", "/messages/" + own + "/reactions/x", nil, 204}
	for _, step := range []struct {
		role               string
		allowed, forbidden []try
	}{
		{"member", []try{start, say, edit, react}, []try{name, others}},
		{"guest", []try{say, edit, react}, []try{name, others, start}},
		{"reader", []try{react}, []try{name, others, start, say, edit}},
	} {
		cursor := w.cursor(ana)
		l := w.resumed(ana, cursor)
		polled := make(chan answer, 1)
		go func() { polled <- w.send(ana, "GET", "/events?wait=20&after="+cursor, nil) }()
		w.must(200, root, "PATCH", members+"/"+ana.address, object{"role": step.role})
		for _, f := range step.forbidden {
			if a := w.must(403, ana, f.method, f.path, f.body); a.text("code") != "role" && a.text("code") != "not_author" {
				t.Errorf("as %s: %s %s: %s", step.role, f.method, f.path, a.raw)
			}
		}
		l.want("member.role") // and of what was refused nothing follows
		if a := <-polled; !strings.Contains(string(a.raw), "member.role") {
			t.Errorf("as %s the poll told %s", step.role, a.raw)
		}
		for _, f := range step.allowed {
			w.must(f.allowed, ana, f.method, f.path, f.body)
			if e := l.any(); e.Type == "" {
				t.Errorf("as %s after %s %s: %+v", step.role, f.method, f.path, e)
			}
		}
	}
}

// T22: a role that another server takes back binds from when the person's own server is told.
func TestALesserRoleGivenElsewhereCountsOnceItIsTold(t *testing.T) {
	kobo, havel, ana, eva, channel := shared(t)
	thread := kobo.thread(ana, channel, "Quay 4")
	havel.eventually("told of the thread", func() bool { return havel.send(eva, "GET", "/threads/"+thread, nil).status == 200 })
	kobo.eventually("told who eva is", func() bool { return kobo.send(ana, "GET", "/people/"+eva.address, nil).status == 200 })
	l := havel.resumed(eva, havel.cursor(eva))
	kobo.must(200, ana, "PATCH", "/channels/"+channel+"/members/"+eva.address, object{"role": "reader"})
	for e := l.any(); e.Type != "member.role"; e = l.any() {
		t.Logf("before it %s", e.Type)
	}
	if a := havel.must(403, eva, "POST", "/threads/"+thread+"/messages", object{"body": "canary"}); a.text("code") != "role" {
		t.Errorf("%s", a.raw)
	}
	after := kobo.post(ana, thread, "what a reader reads")
	for e := l.any(); !strings.Contains(string(e.Data), after); e = l.any() {
		if strings.Contains(string(e.Data), "canary") {
			t.Errorf("%s was told: %s", e.Type, e.Data)
		}
	}
}

// T69: whatever the connection does, the events after resuming are the log.
func TestTheStreamIsTheLogWhereverItIsCut(t *testing.T) {
	w := newWorld(t, api.Limits{SocketsPerPerson: 1000})
	ana := w.user("ana", false)
	thread := w.thread(ana, w.channel(ana, "Harbour"), "Quay 4")
	cursor := w.cursor(ana)
	cuts, posts := 60, 600
	if testing.Short() {
		cuts, posts = 10, 100
	}
	if *campaign {
		cuts, posts = 1000, 10_000
	}
	var want []string
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for range posts {
			want = append(want, w.post(ana, thread, "x"))
		}
	}()
	var got []string
	for cut := 0; len(got) < posts; cut++ {
		l := w.resumed(ana, cursor)
		stop := posts
		if cut < cuts {
			stop = rand.IntN(2 * posts / cuts)
		}
		for n := 0; n < stop && len(got) < posts; n++ {
			e := l.want("message.posted")
			cursor = e.Cursor
			var m api.Message
			if err := json.Unmarshal(e.Data, &m); err != nil {
				t.Fatal(err)
			}
			got = append(got, m.ID)
		}
		l.conn.Close()
	}
	<-wrote
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// T69: a restart loses nothing, and a cursor that is too old says so.
func TestACursorOutlivesARestartAndAMonthIsItsLife(t *testing.T) {
	onBoth(t, aCursorOutlivesARestartAndAMonthIsItsLife)
}

func aCursorOutlivesARestartAndAMonthIsItsLife(t *testing.T, w *world) {
	ana := w.user("ana", false)
	thread := w.thread(ana, w.channel(ana, "Harbour"), "Quay 4")
	cursor := w.cursor(ana)
	l := w.resumed(ana, cursor)
	first := w.post(ana, thread, "one")
	if e := l.want("message.posted"); !strings.Contains(string(e.Data), first) {
		t.Errorf("%s", e.Data)
	}
	w.stop()
	if code := l.closed(); code != 1001 {
		t.Errorf("a server that stops closes with %d", code)
	}
	w.start()
	second := w.post(ana, thread, "two")
	l = w.resumed(ana, cursor)
	for _, id := range []string{first, second} {
		if e := l.want("message.posted"); !strings.Contains(string(e.Data), id) {
			t.Errorf("%s instead of %s", e.Data, id)
		}
	}
	w.ahead.Add(int64(31 * 24 * time.Hour))
	third := w.post(ana, thread, "three")
	l = w.resumed(ana, cursor)
	fresh := l.want("resync").Cursor
	if e := w.must(200, ana, "GET", "/events?after="+cursor, nil); !strings.Contains(string(e.raw), `"resync"`) {
		t.Errorf("%s", e.raw)
	}
	fourth := w.post(ana, thread, "four")
	if e := l.want("message.posted"); strings.Contains(string(e.Data), third) || !strings.Contains(string(e.Data), fourth) {
		t.Errorf("%s", e.Data)
	}
	w.resumed(ana, fresh).want("message.posted")
}

func TestAnErasedTextIsNotToldToWhoComesLate(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	thread := w.thread(ana, w.channel(ana, "Harbour"), "Quay 4")
	cursor := w.cursor(ana)
	l := w.resumed(ana, cursor)
	message := w.post(ana, thread, "canary")
	l.want("message.posted")
	w.must(204, ana, "DELETE", "/messages/"+message, nil)
	l.want("message.erased")
	late := w.resumed(ana, cursor)
	for e := late.any(); e.Type != "message.erased"; e = late.any() {
		if strings.Contains(string(e.Data), "canary") {
			t.Fatalf("%s", e.Data)
		}
	}
}

func TestWhoAnswersNoPingIsLetGo(t *testing.T) {
	if testing.Short() {
		t.Skip("three rounds of pings take 12 s")
	}
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	deaf, alive := dialRaw(t, w, ana), w.resumed(ana, "")
	go func() {
		for alive.conn.SetReadDeadline(time.Time{}) == nil { // reading answers pings
			if _, _, err := alive.conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	heard := ""
	deaf.SetReadDeadline(time.Now().Add(30 * time.Second))
	for buf := make([]byte, 4096); ; {
		w.ahead.Add(int64(31 * time.Second)) // a ping is due at the next sweep
		n, err := deaf.Read(buf)
		if heard += string(buf[:n]); err != nil {
			break
		}
	}
	if pings := strings.Count(heard, "\x89\x00"); pings != 2 || !strings.Contains(heard, "\x03\xf0nothing was heard of you") {
		t.Errorf("after %d pings it heard %q", pings, heard)
	}
	w.post(ana, w.thread(ana, w.channel(ana, "Harbour"), "Quay 4"), "still here")
	if open := w.metric("meridian_sockets_open"); open != 1 {
		t.Errorf("%v sockets are open", open)
	}
}
