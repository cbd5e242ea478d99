package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/store/pgtest"
)

// conversation is a channel with a thread of one person at one site.
func conversation(at *site) (token, thread string) {
	at.t.Helper()
	token = at.person("ana")
	var channel, made item
	at.must(token, http.MethodPost, "/channels", map[string]string{"name": "Alone"}, &channel)
	at.must(token, http.MethodPost, "/channels/"+channel.ID+"/threads", map[string]string{"title": "One"}, &made)
	return token, made.ID
}

func TestStoppingEndsSocketsAndLongPollsAndKeepsWhatWasAnswered(t *testing.T) {
	at := newSite(t, "")
	at.start()
	token, thread := conversation(at)
	at.must(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]string{"body": "Kept."}, nil)

	header := http.Header{"Authorization": {"Bearer " + token}}
	socket, answer, err := websocket.DefaultDialer.Dial("ws://"+at.name+"/api/v1/stream", header)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_ = answer.Body.Close()
	if err := socket.WriteJSON(map[string]string{"op": "resume"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := socket.ReadMessage(); err != nil { // ready
		t.Fatal(err)
	}
	polled := make(chan int, 1)
	go func() { polled <- at.status(at.url+"/api/v1/events?wait=30", token) }()
	time.Sleep(200 * time.Millisecond) // until the poll waits; sooner would only be an easier stop

	begun := time.Now()
	if err := at.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, _, err := socket.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway, websocket.CloseServiceRestart) {
		t.Errorf("the socket ended with %v", err)
	}
	if status := <-polled; status != http.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("the long poll ended with %d", status)
	}
	if at.status(at.admin+"/livez", "") != 0 {
		t.Error("admin_listen still answers")
	}

	at.start()
	var messages list
	at.must(token, http.MethodGet, "/threads/"+thread+"/messages", nil, &messages)
	if len(messages.Items) != 1 || messages.Items[0].Body != "Kept." {
		t.Errorf("after the start: %+v", messages.Items)
	}
}

func TestASecondServerWithTheSameDataIsRefused(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			at := newSite(t, database())
			at.start()
			o := at.options
			o.Registry = prometheus.NewRegistry()
			o.Config.Listen, o.Config.AdminListen = freeAddress(t), freeAddress(t)
			s, err := New(t.Context(), o)
			if err == nil {
				err = s.Run(t.Context())
			}
			if err == nil {
				t.Error("two servers run with one data_dir")
			}
			if at.status(at.admin+"/readyz", "") != http.StatusOK {
				t.Error("the first server is disturbed")
			}
		})
	}
}

func TestRootLeavesOthersDataAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	at := newSite(t, "")
	dir := at.options.Config.DataDir
	if err := os.Chown(dir, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	if err := at.operate("partners.list", struct{}{}, nil); err == nil || !strings.Contains(err.Error(), "65532") {
		t.Errorf("as root: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "meridian.db")); !os.IsNotExist(err) {
		t.Errorf("root made a database: %v", err)
	}
}

func TestACrashedServersSocketIsTakenOver(t *testing.T) {
	at := newSite(t, "")
	path := ControlSocket(at.options.Config.DataDir)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	at.start()
	at.mustOperate("people.add", NewAccount{Name: "ana"}, nil)
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("control directory: %v, %v", info.Mode(), err)
	}
}

// line is a TCP way to a database that can be cut.
type line struct {
	listener net.Listener
	to       string // path of a unix socket, or HOST:PORT
	network  string

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// lineTo returns the URL of a PostgreSQL database by way of a line.
func lineTo(t *testing.T, database string) (*line, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{network: "tcp", to: u.Host}
	query := u.Query()
	if dir := query.Get("host"); dir != "" {
		port := "5432"
		if p := query.Get("port"); p != "" {
			port = p
		}
		l.network, l.to = "unix", filepath.Join(dir, ".s.PGSQL."+port)
		query.Del("host")
		query.Del("port")
		u.RawQuery = query.Encode()
	}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.listener.Close()
		l.set(true)
	})
	go l.serve()
	u.Host = l.listener.Addr().String()
	return l, u.String()
}

func (l *line) serve() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(l.network, l.to)
		l.mu.Lock()
		if l.cut || err != nil {
			_ = c.Close()
		} else {
			l.conns = append(l.conns, c, far)
			go relay(c, far)
			go relay(far, c)
		}
		l.mu.Unlock()
	}
}

func relay(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// set cuts the line, or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.conns = nil
	}
}

func TestALostDatabaseGives503AndRecoversWhenItIsBack(t *testing.T) {
	way, database := lineTo(t, pgtest.URL(t))
	at := newSite(t, database)
	at.start()
	token, thread := conversation(at)
	post := func(body string) int {
		return at.call(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]string{"body": body}, nil)
	}
	if status := post("Before."); status != http.StatusCreated {
		t.Fatalf("before: %d", status)
	}

	way.set(true)
	for range 3 {
		if status := post("Lost."); status != http.StatusServiceUnavailable {
			t.Errorf("a post without a database: %d", status)
		}
	}
	if status := at.call(token, http.MethodGet, "/threads/"+thread+"/messages", nil, nil); status != http.StatusServiceUnavailable {
		t.Errorf("a read without a database: %d", status)
	}
	if status := at.status(at.admin+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("readyz without a database: %d", status)
	}
	if status := at.status(at.admin+"/livez", ""); status != http.StatusOK {
		t.Errorf("livez without a database: %d", status)
	}

	way.set(false)
	at.eventually("ready again", func() bool { return at.status(at.admin+"/readyz", "") == http.StatusOK })
	at.eventually("writing again", func() bool { return post("After.") == http.StatusCreated })
	var messages list
	at.must(token, http.MethodGet, "/threads/"+thread+"/messages", nil, &messages)
	if n := len(messages.Items); n != 2 || messages.Items[0].Body != "Before." || messages.Items[1].Body != "After." {
		t.Errorf("%+v", messages.Items)
	}
}

func TestAStepThatFailsIsCalledAgainAndHoldsUpNoOther(t *testing.T) {
	at := newSite(t, "")
	ctx, stop := context.WithCancel(t.Context())
	r := &runner{clock: time.Now, log: at.options.Log}
	calls, others := make(chan time.Time, 10), make(chan time.Time, 1000)
	r.start(ctx, step{name: "fails", do: func(_ context.Context, now time.Time) (time.Time, error) {
		calls <- now
		return now, errors.New("planned")
	}})
	r.start(ctx, step{name: "works", do: func(_ context.Context, now time.Time) (time.Time, error) {
		select {
		case others <- now:
		default:
		}
		return now.Add(5 * time.Millisecond), nil
	}})
	first, second := <-calls, <-calls
	stop()
	r.wait()
	if pause := second.Sub(first); pause < afterFail {
		t.Errorf("called again after %s", pause)
	}
	if len(others) < 20 {
		t.Errorf("the other step was called %d times meanwhile", len(others))
	}
}

func TestAWokenStepIsCalledAtOnce(t *testing.T) {
	at := newSite(t, "")
	ctx, stop := context.WithCancel(t.Context())
	r := &runner{clock: time.Now, log: at.options.Log}
	woken, calls := make(chan struct{}, 1), make(chan struct{}, 10)
	r.start(ctx, step{name: "sleeps", woken: woken, do: func(_ context.Context, now time.Time) (time.Time, error) {
		calls <- struct{}{}
		return now.Add(time.Hour), nil
	}})
	<-calls
	woken <- struct{}{}
	select {
	case <-calls:
	case <-time.After(10 * time.Second):
		t.Error("not called")
	}
	stop()
	r.wait()
}
