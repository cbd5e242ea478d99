package federation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxAnswer bounds an answer in bytes: frames, and the line after them.
const maxAnswer = 2 * MaxBody

// ask makes one exchange with a server and returns the body of its answer. A refusal of the whole
// exchange is a *Problem; an *Unreached means that the server was not reached, or not understood.
func (x *Exchange) ask(ctx context.Context, server, path, contentType string, body []byte) ([]byte, error) {
	if err := x.stopped(ctx, server); err != nil {
		return nil, err
	}
	return x.exchange(ctx, server, path, contentType, body)
}

// exchange is ask, whatever an administrator here has stopped.
func (x *Exchange) exchange(ctx context.Context, server, path, contentType string, body []byte) ([]byte, error) {
	deadline := exchangeTime
	if path == pushPath {
		deadline = pushTime
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	answer, err := x.send(ctx, server, path, contentType, body)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	got, err := readBounded(answer.Body, maxAnswer)
	if err != nil {
		return nil, &Unreached{fmt.Errorf("read the answer of %s: %w", server, err)}
	}
	if answer.StatusCode != http.StatusOK {
		return nil, problemFrom(server, answer, got)
	}
	x.courier(server).answered(x.Clock())
	return got, nil
}

// send makes a request and returns the answer, whose body the caller reads while ctx lasts, bounded,
// and closes. Every try is signed anew.
func (x *Exchange) send(ctx context.Context, server, path, contentType string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, BaseURL(server)+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	r.Header.Set("Content-Type", contentType)
	sent := x.Clock()
	if err := x.ownKeys().signer.Sign(r, body, sent); err != nil {
		return nil, err
	}
	answer, err := x.Transport.RoundTrip(r)
	if err != nil {
		return nil, &Unreached{fmt.Errorf("ask %s: %w", server, err)}
	}
	x.courier(server).noteClock(answer.Header.Get("Date"), sent, x.Clock())
	x.courier(server).noteCertificate(answer.TLS)
	return answer, nil
}

// Codes of problems that no server sends.
const (
	codeStatus      = "status"       // the answer was none of a Meridian server
	codeStoppedHere = "stopped_here" // an administrator here does not want the exchange now
)

// stopped refuses an exchange that an administrator here has paused.
func (x *Exchange) stopped(ctx context.Context, server string) error {
	a, err := x.acquaintance(ctx, server)
	if err != nil || !a.partner.Paused {
		return err
	}
	p := refuseExchange(http.StatusServiceUnavailable, codeStoppedHere, "the exchange with "+server+" is paused here")
	p.retryAfter = lookEvery
	return p
}

// problemFrom reads a refusal; of one that is no problem body only the status is told.
func problemFrom(server string, answer *http.Response, body []byte) error {
	p := &Problem{}
	if err := json.Unmarshal(body, p); err != nil || p.Code == "" {
		p = &Problem{Code: codeStatus, Detail: fmt.Sprintf("%s answered %s", server, answer.Status)}
	}
	p.Status = answer.StatusCode
	p.Detail = firstBytes(p.Detail, 300)
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.retryAfter = min(time.Duration(seconds)*time.Second, time.Hour)
	}
	return p
}

func firstBytes(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// rejected reports whether a server understood an exchange and refuses this very one, rather than
// us, or everything for now.
func rejected(err error) bool {
	var p *Problem
	if !errors.As(err, &p) {
		return false
	}
	switch p.Status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusForbidden: // of a person's rights, or of everything that comes from this server
		return !slices.Contains([]string{"unknown_server", "not_partner", "blocked", "on_hold", codePaused, codeStatus}, p.Code)
	}
	return p.Status >= 400 && p.Status < 500
}

// askJSON makes an exchange of JSON values.
func (x *Exchange) askJSON(ctx context.Context, server, path string, request, answer any) error {
	body, err := marshal(request)
	if err != nil {
		return fmt.Errorf("write a request to %s: %w", server, err)
	}
	got, err := x.ask(ctx, server, path, typeJSON, body)
	if err != nil {
		return err
	}
	if err := decodeBody(got, answer); err != nil {
		return &Unreached{fmt.Errorf("read the answer of %s: %w", server, err)}
	}
	return nil
}

// greet lets a server know that this one would like to be its partner: its administrators see the
// name among those who asked.
func (x *Exchange) greet(ctx context.Context, server string) {
	var answer digestAnswer
	err := x.askJSON(ctx, server, digestPath, digestRequest{Buckets: map[string]string{}}, &answer)
	x.Log.Debug("greeted", "server", server, "error", err)
}

// Unreached says that a server was not reached or its answer not understood.
type Unreached struct{ Err error }

func (u *Unreached) Error() string { return u.Err.Error() }

// Unwrap is what went wrong.
func (u *Unreached) Unwrap() error { return u.Err }
