package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/api"
	"meridian/internal/limit"
	"meridian/internal/store"
	"meridian/threads"
)

// flood is how a limit is driven to its end: by whom, and who else must notice nothing.
type flood struct {
	limits api.Limits
	// begin prepares a world of its own and returns what one request is of the one who goes too
	// far, the n-th, and what somebody else asks.
	begin func(w *world) (one func(n int) answer, other func() answer)
}

// floods has one for each row of the table that bounds requests in time.
var floods = map[string]flood{
	"limits.person_rate": {api.Limits{PersonRate: 1}, func(w *world) (func(int) answer, func() answer) {
		ana, ben := w.user("ana", false), w.user("ben", false)
		return func(int) answer { return w.send(ana, "GET", "/me", nil) }, func() answer { return w.send(ben, "GET", "/me", nil) }
	}},
	"limits.anonymous_rate": {api.Limits{AnonymousRate: 1}, func(w *world) (func(int) answer, func() answer) {
		return func(n int) answer {
			if n%2 == 0 {
				return w.sendFrom(2, &user{w: w, secret: fmt.Sprint("guess ", n)}, "GET", "/server", nil)
			}
			return w.sendFrom(2, nil, "GET", "/server", nil)
		}, func() answer { return w.sendFrom(3, nil, "GET", "/server", nil) }
	}},
	"sign-ins of an address": {api.Limits{SignIns: 2}, func(w *world) (func(int) answer, func() answer) {
		w.withPassword("ana", "correct horse")
		return func(int) answer { return w.signIn(2, "wrong horse") }, func() answer { return w.signIn(3, "correct horse") }
	}},
	"sign-ins of a name": {api.Limits{SignIns: 1}, func(w *world) (func(int) answer, func() answer) {
		w.withPassword("ana", "correct horse")
		ben := w.user("ben", false)
		return func(n int) answer { return w.signIn(10+n, "wrong horse") }, func() answer { return w.send(ben, "GET", "/me", nil) }
	}},
}

// signIn tries to be ana, from the n-th address of this machine.
func (w *world) signIn(n int, password string) answer {
	return w.sendFrom(n, nil, "POST", "/sessions", object{"name": "ana", "password": password})
}

// sendFrom is send from the n-th address of this machine.
func (w *world) sendFrom(n int, u *user, method, path string, body any) answer {
	from := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(n))}}).DialContext}
	defer from.CloseIdleConnections()
	before := w.client
	defer func() { w.client = before }()
	w.client = &http.Client{Transport: from}
	return w.send(u, method, path, body)
}

// refuses fails the test where an answer is not the one that the table documents.
func refuses(t *testing.T, a answer, l limit.Limit, wait time.Duration) {
	t.Helper()
	told := ""
	if wait > 0 {
		told = limit.Seconds(wait)
	}
	if a.status != l.Status || a.text("code") != l.Code || a.header.Get("Retry-After") != told {
		t.Fatalf("answered %d, Retry-After %q instead of %d %s, %q: %s", a.status, a.header.Get("Retry-After"), l.Status, l.Code, told, a.raw)
	}
}

// T35: whoever reaches a limit is turned away for as long as the table says and no longer, to the
// last request, and nobody else is.
func TestEveryLimitTripsForWhoeverReachesItAlone(t *testing.T) {
	for _, row := range (api.Limits{}).Table() {
		t.Run(row.Name, func(t *testing.T) {
			if row.PerSecond == 0 {
				if held[row.Name] == nil {
					t.Fatal("nothing here drives this limit to its end")
				}
				held[row.Name](t)
				return
			}
			f, ok := floods[row.Name]
			if !ok {
				t.Fatal("nothing here drives this limit to its end")
			}
			w := newWorld(t, f.limits)
			l := named(w.limits, row.Name)
			ask, other := f.begin(w)
			asked := 0
			one := func() answer {
				asked++
				return ask(asked)
			}
			w.still.Store(time.Now().UnixNano())
			for n := range l.Most {
				if a := one(); a.status == l.Status {
					t.Fatalf("request %d of %d is turned away: %s", n+1, l.Most, a.raw)
				}
			}
			wait := time.Duration(float64(time.Second) / l.PerSecond)
			for range 20 { // what is refused uses up nothing, neither of one's own nor of others
				refuses(t, one(), l, wait)
			}
			if a := other(); a.status >= 300 {
				t.Errorf("somebody else is answered %d: %s", a.status, a.raw)
			}
			w.ahead.Add(int64(wait * 95 / 100))
			refuses(t, one(), l, wait/20)
			w.ahead.Add(int64(wait*5/100 + time.Microsecond))
			if a := one(); a.status == l.Status {
				t.Errorf("after Retry-After it is turned away: %s", a.raw)
			}
			refuses(t, one(), l, wait)
		})
	}
}

// named is a row of the table.
func named(l api.Limits, name string) limit.Limit {
	for _, row := range l.Table() {
		if row.Name == name {
			return row
		}
	}
	return limit.Limit{}
}

// held has a test for each row that bounds how much there is at a time.
var held = map[string]func(t *testing.T){
	"limits.sockets": func(t *testing.T) {
		w := newWorld(t, api.Limits{Sockets: 2})
		ana, ben := w.user("ana", false), w.user("ben", false)
		first := w.resumed(ana, "")
		w.resumed(ana, "")
		refuses(t, w.upgrade(ana), named(w.limits, "limits.sockets"), 30*time.Second)
		w.must(200, ben, "GET", "/events?wait=0", nil) // there is another way to hear of everything
		first.conn.Close()
		w.eventually(func() bool { return w.metric("meridian_sockets_open") < 2 })
		w.resumed(ben, "")
	},
	"limits.sockets_per_person": func(t *testing.T) {
		w := newWorld(t, api.Limits{SocketsPerPerson: 2})
		ana, ben := w.user("ana", false), w.user("ben", false)
		first := w.resumed(ana, "")
		w.resumed(ana, "")
		l := named(w.limits, "limits.sockets_per_person")
		refuses(t, w.send(ana, "GET", "/events?wait=1", nil), l, l.Retry)
		w.resumed(ben, "")
		first.conn.Close()
		w.eventually(func() bool { return w.send(ana, "GET", "/events?wait=0", nil).status == http.StatusOK })
	},
	"transfers": func(t *testing.T) {
		w := newWorld(t, api.Limits{})
		ana, ben := w.user("ana", false), w.user("ben", false)
		l := named(w.limits, "transfers")
		var ends []func() error
		for range l.Most {
			ends = append(ends, w.uploading(ana))
		}
		w.eventually(func() bool { return int(w.files.open.Load()) == l.Most })
		refuses(t, w.send(ana, "GET", "/files/"+strings.Repeat("A", 43), nil), l, l.Retry)
		w.must(201, ben, "POST", "/files?name=b", "the whole of it")
		for _, end := range ends {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
		w.must(201, ana, "POST", "/files?name=b", "the whole of it")
	},
	"limits.body_bytes": func(t *testing.T) {
		w := newWorld(t, api.Limits{BodyBytes: 1000})
		ana := w.user("ana", false)
		body := func(n int) string { return `{"name":"a"` + strings.Repeat(" ", n-len(`{"name":"a"}`)) + `}` }
		w.must(201, ana, "POST", "/channels", body(1000))
		refuses(t, w.send(ana, "POST", "/channels", body(1001)), named(w.limits, "limits.body_bytes"), 0)
	},
	"files.max_bytes": func(t *testing.T) {
		w := newWorld(t, api.Limits{FileBytes: 1000})
		ana := w.user("ana", false)
		w.must(201, ana, "POST", "/files?name=a", strings.Repeat("a", 1000))
		refuses(t, w.send(ana, "POST", "/files?name=a", strings.Repeat("a", 1001)), named(w.limits, "files.max_bytes"), 0)
	},
}

// upgrade asks for a WebSocket and reads a refusal.
func (w *world) upgrade(u *user) answer {
	return w.send(u, "GET", "/stream", nil, "Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-Websocket-Version", "13", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

// uploading begins to upload a file; what it returns ends that.
func (w *world) uploading(u *user) func() error {
	w.t.Helper()
	body, in := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, w.url+"/api/v1/files?name=a", body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+u.secret)
	ended := make(chan error, 1)
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusCreated {
				err = fmt.Errorf("uploaded: %s", answer.Status)
			}
		}
		ended <- err
	}()
	return func() error {
		_ = in.Close()
		return <-ended
	}
}

// eventually fails the test when something is not so in time.
func (w *world) eventually(f func() bool) {
	w.t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	w.t.Fatal("not so in time")
}

// shelves take files and keep nothing of them.
type shelves struct {
	api.Files
	open atomic.Int32
}

func (s *shelves) Upload(_ context.Context, _ string, declared threads.Attachment, body io.Reader) (threads.Attachment, error) {
	s.open.Add(1)
	defer s.open.Add(-1)
	_, err := io.Copy(io.Discard, body)
	return declared, err
}

// lookUps are the tokens of the store, and tell how many were looked up at a time.
type lookUps struct {
	*store.Store
	slow        atomic.Bool
	going, most atomic.Int32
}

func (l *lookUps) PersonByToken(ctx context.Context, secret string, now time.Time) (threads.PersonRecord, string, error) {
	n := l.going.Add(1)
	defer l.going.Add(-1)
	for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
	}
	if l.slow.Load() {
		time.Sleep(2 * time.Millisecond)
	}
	return l.Store.PersonByToken(ctx, secret, now)
}

// T35: strangers who share an address with people, behind one gate of an office, keep nobody out
// whose token is good, not even right after a start, when no token is in memory; and what they may
// have looked up is bounded.
func TestAGoodTokenIsLetInWhateverStrangersAtItsAddressDo(t *testing.T) {
	w := newWorld(t, api.Limits{AnonymousRate: 1})
	people := make([]*user, 30)
	for i := range people {
		people[i] = w.user("p"+strconv.Itoa(i), false)
	}
	w.still.Store(time.Now().UnixNano())
	for n := 0; w.send(nil, "GET", "/server", nil).status != http.StatusTooManyRequests; n++ {
		if n > 20 {
			t.Fatal("strangers are never turned away")
		}
	}
	w.lookUps.slow.Store(true)
	w.lookUps.most.Store(0)
	ctx, cancel := context.WithCancel(context.Background())
	var strangers sync.WaitGroup
	var turnedAway atomic.Int32
	for i := range 16 {
		strangers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r, _ := http.NewRequest("GET", w.url+"/api/v1/me", nil)
				r.Header.Set("Authorization", fmt.Sprintf("Bearer guess-%d-%d", i, n))
				if answer, err := http.DefaultClient.Do(r); err == nil {
					if answer.StatusCode == http.StatusTooManyRequests {
						turnedAway.Add(1)
					}
					_ = answer.Body.Close()
				}
			}
		})
	}
	w.eventually(func() bool { return turnedAway.Load() > 100 })
	for round := range 3 { // unknown, in memory, and to be looked up again
		for _, u := range people {
			w.must(200, u, "GET", "/me", nil)
		}
		if round == 1 { // the strangers may try a few times more then
			if most := w.lookUps.most.Load(); most > 4 {
				t.Errorf("%d tokens were looked up at a time", most)
			}
			w.ahead.Add(int64(5 * time.Second))
		}
	}
	cancel()
	strangers.Wait()
	w.ahead.Add(int64(2 * time.Second))
	w.must(401, &user{w: w, secret: "guess"}, "GET", "/me", nil)
	w.must(401, &user{w: w, secret: "guess"}, "GET", "/me", nil)
	w.must(429, &user{w: w, secret: "guess"}, "GET", "/me", nil)
}
