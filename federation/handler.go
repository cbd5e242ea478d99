package federation

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/internal/limit"
	"meridian/threads"
)

// pausedRetry is told to whom an administrator paused.
const pausedRetry = time.Minute

// caller is a server whose request is authenticated, and what it sent.
type caller struct {
	name   string
	keys   []ed25519.PublicKey // the one by which it authenticated itself, then those it had before; nil where we dialled it
	now    time.Time
	signed time.Time // by its clock; zero where we dialled it
	body   []byte
}

// reply is the answer to an exchange: a body, or nothing but the status.
type reply struct {
	contentType string
	body        []byte
}

// Problem is a refusal of a whole exchange (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"`
	Time   string `json:"time"` // the refusing server's clock

	// Control is the host's present control head where an acceptance was stale.
	Control *wireControl `json:"control,omitempty"`

	retryAfter time.Duration
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

func refuseExchange(status int, code, detail string) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail}
}

// malformed refuses a body that is not what the exchange is about.
func malformed(err error) *Problem {
	p := refuseExchange(http.StatusBadRequest, "malformed", firstBytes(err.Error(), 200))
	var decode *threads.DecodeError
	if errors.As(err, &decode) {
		p.Field = decode.Path
	}
	return p
}

// noExchange answers what is no exchange.
func (x *Exchange) noExchange(w http.ResponseWriter, r *http.Request) {
	p := refuseExchange(http.StatusNotFound, "not_found", "there is no such exchange: see /.well-known/meridian for those that there are")
	for _, path := range []string{checkPath, pushPath, pullPath, digestPath, requestPath, profilesPath, filePath, erasedPath} {
		if r.URL.Path == path {
			p = refuseExchange(http.StatusMethodNotAllowed, "method_not_allowed", "use POST")
			w.Header().Set("Allow", http.MethodPost)
		}
	}
	x.writeProblem(w, r, p, x.Clock())
}

// exchanged makes a handler of what answers an exchange: it lets authenticated callers in, within
// bounds and a total deadline, and writes what comes of it.
func (x *Exchange) exchanged(answer func(context.Context, caller) (reply, error)) http.Handler {
	unverified := make(chan struct{}, maxUnverified)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), exchangeTime)
		defer cancel()
		deadline := time.Now().Add(exchangeTime) // of the socket, whatever the clock of the house says
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(deadline)  // not every transport has deadlines;
		_ = control.SetWriteDeadline(deadline) // ctx bounds those
		now := x.Clock()
		from, leave, err := x.enter(ctx, r, now, unverified)
		if err == nil {
			defer leave()
			var out reply
			if out, err = x.hear(ctx, r, from, answer); err == nil {
				w.Header().Set("Content-Type", out.contentType)
				w.Header().Set("Cache-Control", "no-store")
				_, _ = w.Write(out.body) // the caller asks again
				return
			}
		}
		x.writeProblem(w, r, err, now)
	})
}

// enter authenticates the caller by the headers alone, before anything of the body is read.
func (x *Exchange) enter(ctx context.Context, r *http.Request, now time.Time, unverified chan struct{}) (caller, func(), error) {
	select { // keys are looked up for whatever name is claimed: strangers must not use up the database
	case unverified <- struct{}{}:
		defer func() { <-unverified }()
	default:
		return caller{}, nil, turnedAway(x.limits[strangersAtATime], 0, "too many servers ask at once; ask again later")
	}
	key, err := x.verifier.VerifyHeaders(r, now)
	if err != nil {
		return caller{}, nil, err
	}
	a, err := x.acquaintance(ctx, key.Server)
	if err != nil {
		return caller{}, nil, err
	}
	if code, detail := a.refused(); code == codePaused {
		return caller{}, nil, &Problem{Status: http.StatusServiceUnavailable, Code: code, Detail: detail, retryAfter: pausedRetry}
	} else if code != "" {
		return caller{}, nil, refuseExchange(http.StatusForbidden, code, detail)
	}
	c := x.courier(key.Server)
	if err := c.admit(r.URL.Path, now); err != nil {
		return caller{}, nil, err
	}
	signed, _ := http.ParseTime(r.Header.Get("Date")) // checked with the signature
	keys := append([]ed25519.PublicKey{key.Public}, earlier(a.partner.Keys, key.Public)...)
	return caller{name: key.Server, keys: keys, now: now, signed: signed}, c.leave, nil
}

// hear reads the body, checks that it is what was signed, and has it answered.
func (x *Exchange) hear(ctx context.Context, r *http.Request, from caller, answer func(context.Context, caller) (reply, error)) (reply, error) {
	if r.ContentLength > MaxBody {
		return reply{}, errTooLarge
	}
	body, err := readBounded(r.Body, MaxBody)
	if errors.Is(err, errTooLarge) {
		return reply{}, err
	}
	if err != nil {
		return reply{}, refuseExchange(http.StatusBadRequest, "body", "the body could not be read to its end")
	}
	if r.Header.Get("Digest") != digestOf(body) {
		return reply{}, inbound{r, from.now}.refuse(reasonDigest, "Digest is not SHA-256= and the base64 of this body's SHA-256")
	}
	if len(r.Header["Content-Encoding"]) > 1 {
		return reply{}, errEncoding
	}
	if from.body, err = inflate(r.Header.Get("Content-Encoding"), body); err != nil {
		return reply{}, err
	}
	x.courier(from.name).heardFrom(from.now)
	return answer(ctx, from)
}

// problemOf is the one table from errors to answers.
func problemOf(err error) *Problem {
	var p *Problem
	var sig *SignatureError
	var refused *threads.Error
	var decode *threads.DecodeError
	switch {
	case errors.As(err, &p):
		copied := *p
		return &copied
	case errors.As(err, &sig) && sig.Reason == reasonUnknownKey:
		return refuseExchange(http.StatusForbidden, "unknown_server", "no server is known here by that key: an administrator has to add yours as a partner first")
	case errors.As(err, &sig):
		return refuseExchange(http.StatusUnauthorized, "signature_"+sig.Reason, sig.Detail)
	case errors.Is(err, errTooLarge):
		return refuseExchange(http.StatusRequestEntityTooLarge, "too_large", err.Error())
	case errors.Is(err, errEncoding):
		return refuseExchange(http.StatusUnsupportedMediaType, "encoding", err.Error())
	case errors.Is(err, errInflate):
		return refuseExchange(http.StatusBadRequest, "encoding", err.Error())
	case errors.As(err, &decode):
		return malformed(err)
	case errors.As(err, &refused) && refused.Kind != threads.Internal:
		p = &Problem{Status: statusOf(refused.Kind), Code: refused.Code, Detail: refused.Text, Field: refused.Field}
		if refused.Kind == threads.TooMany {
			p.retryAfter = answeredFirst
		}
		return p
	}
	return nil
}

func statusOf(k threads.Kind) int {
	switch k {
	case threads.Invalid:
		return http.StatusUnprocessableEntity
	case threads.NotFound:
		return http.StatusNotFound
	case threads.Forbidden:
		return http.StatusForbidden
	case threads.Conflict, threads.Elsewhere:
		return http.StatusConflict
	case threads.TooLarge:
		return http.StatusRequestEntityTooLarge
	case threads.TooMany:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

func (x *Exchange) writeProblem(w http.ResponseWriter, r *http.Request, err error, now time.Time) {
	var sig *SignatureError
	if errors.As(err, &sig) {
		x.metrics.signatureFailures.WithLabelValues(sig.Reason).Inc()
	}
	p := problemOf(err)
	if p == nil {
		x.Log.Error("answer a partner", "path", r.URL.Path, "error", err)
		p = refuseExchange(http.StatusServiceUnavailable, "unavailable", "this server cannot answer now; ask again later")
	}
	p.Title, p.Time = http.StatusText(p.Status), now.UTC().Format(time.RFC3339)
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", limit.Seconds(cmp.Or(p.retryAfter, retryAfter)))
	}
	body, err := marshal(p)
	if err != nil {
		x.Log.Error("write a problem", "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the caller asks again
}

// answerJSON is a reply of one JSON value.
func answerJSON(v any) (reply, error) {
	body, err := marshal(v)
	return reply{typeJSON, body}, err
}
