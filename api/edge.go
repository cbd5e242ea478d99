package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// exchange is what is known of a request before its handler runs.
type exchange struct {
	id     string
	now    time.Time
	url    *url.URL
	from   string  // the client's address, for which a request without a valid token is counted
	caller *caller // nil without a token
}

// pollDeadline is when a long poll must be answered and written: it waits up to
// 30 s of it.
const pollDeadline = 45 * time.Second

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func requestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.id
	}
	return ""
}

// requestIDs name requests in answers and in the log. They are no secrets.
type requestIDs struct {
	process string
	count   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	return requestIDs{process: strconv.FormatUint(rand.Uint64(), 36), count: new(atomic.Uint64)}
}

func (r requestIDs) next() string {
	return r.process + "-" + strconv.FormatUint(r.count.Add(1), 36)
}

// ServeHTTP answers one request of a client.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{id: a.ids.next(), now: a.clock(), url: r.URL}
	rec := &recorder{ResponseWriter: w}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	defer a.finish(rec, r, x)
	h := w.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == prefix+"/events" {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(pollDeadline)) // where there is none, it may take as long as it likes
	}
	largest := a.bounds[bodyBytes]
	if r.Method == http.MethodPost && r.URL.Path == filesPath {
		largest = a.bounds[fileBytes]
	}
	if r.ContentLength > int64(largest.Most) {
		writeProblem(rec, r, tooMuch(largest, 0, fmt.Sprintf("a body has at most %d bytes", largest.Most)))
		return
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		writeProblem(rec, r, refusal(http.StatusUnsupportedMediaType, "unsupported_encoding", "send the body as it is, without Content-Encoding"))
		return
	}
	if err := a.admit(r, x); err != nil {
		writeProblem(rec, r, a.answer(r.Context(), err))
		return
	}
	a.mux.ServeHTTP(rec, r)
}

// admit finds out who calls and counts the request: for them or, where no valid
// token says who they are, for the client's address, so that guessing tokens costs
// what being nobody costs. Whoever has a valid token is let in whatever others at
// their address have used up.
func (a *API) admit(r *http.Request, x *exchange) error {
	x.from = clientAddress(r, a.proxies)
	secret, given, err := bearer(r.Header)
	if given {
		if x.caller, err = a.whose(r.Context(), secret, x); err == nil {
			return take(a.rates.person, x.caller.person.ID, x.now)
		}
	}
	if err != nil && !problemIs(err, http.StatusUnauthorized) {
		return err
	}
	if full := take(a.rates.address, x.from, x.now); full != nil {
		return full
	}
	return err
}

// whose is whom the token lets in. One that is not known in memory has to be
// looked up: from an address that has used up its rate only a few at a time, so
// that strangers cannot keep the store busy.
func (a *API) whose(ctx context.Context, secret string, x *exchange) (*caller, error) {
	c, fresh := a.sessions.remembered(secret, x.now)
	if fresh {
		return c, nil
	}
	if c == nil && a.rates.address.Of(x.from).Wait(x.now) > 0 {
		select {
		case a.lookUps <- struct{}{}:
			defer func() { <-a.lookUps }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return a.sessions.find(ctx, secret, x.now)
}

// answer makes the problem of an error, and notes in the log what is not the
// client's doing.
func (a *API) answer(ctx context.Context, err error) *Problem {
	p := *problemOf(err)
	if p.Status == http.StatusInternalServerError && a.lost(p.cause) {
		p = *refusal(http.StatusServiceUnavailable, "unavailable", "this server's database does not answer; try again in a moment")
		p.retry, p.cause = comeBack, err
	}
	p.RequestID = requestID(ctx)
	if p.Status >= http.StatusInternalServerError && p.cause != nil && !errors.Is(p.cause, context.Canceled) { // that is a client who went away
		a.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request_id", p.RequestID),
			slog.String("code", p.Code), slog.Any("error", p.cause))
	}
	return &p
}

// finish recovers from a panic, counts the request and notes it in the log.
func (a *API) finish(w *recorder, r *http.Request, x *exchange) {
	if v := recover(); v != nil && v != http.ErrAbortHandler {
		a.log.LogAttrs(r.Context(), slog.LevelError, "request panicked", slog.String("request_id", x.id),
			slog.String("route", route(r)), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		if w.status == 0 {
			writeProblem(w, r, problemOf(fmt.Errorf("panic: %v", v)))
		}
	}
	took := a.clock().Sub(x.now)
	a.metrics.request(route(r), r.Method, w.status, took)
	if !a.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	person := ""
	if x.caller != nil {
		person = x.caller.person.ID
	}
	a.log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("request_id", x.id),
		slog.String("method", r.Method), slog.String("route", route(r)), slog.Int("status", w.status),
		slog.Duration("took", took), slog.String("person", person))
}

// route is the pattern that the request matched: one of a closed set.
func route(r *http.Request) string {
	_, path, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		return "other"
	}
	return path
}

// routes is a mux that can say what it serves.
type routes struct {
	*http.ServeMux
	patterns []string
}

// HandleFunc is that of the mux.
func (r *routes) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	r.patterns = append(r.patterns, pattern)
	r.ServeMux.HandleFunc(pattern, f)
}

// unmatched answers for what no route serves.
func (a *API) unmatched(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(other); strings.HasPrefix(pattern, method) {
			allowed = append(allowed, method)
		}
	}
	r.Pattern = ""
	if len(allowed) == 0 {
		writeProblem(w, r, notFound())
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, r, refusal(http.StatusMethodNotAllowed, "method_not_allowed", "this resource knows "+strings.Join(allowed, ", ")))
}

// recorder remembers the status that was answered.
type recorder struct {
	http.ResponseWriter
	status  int
	instead int // answered instead of the framework's status, unless 0
}

func (w *recorder) WriteHeader(status int) {
	if w.instead != 0 {
		status = w.instead
	}
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack hands the connection over to a WebSocket.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over connection: %w", err)
	}
	return conn, rw, nil
}
