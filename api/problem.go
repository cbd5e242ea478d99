package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"meridian/internal/limit"
	"meridian/threads"
)

// Problem is the body of every refusal (RFC 9457). Code is stable; Detail is
// for people and never repeats a value that the client sent.
type Problem struct {
	Title     string  `json:"title" doc:"The name of the status."`
	Status    int     `json:"status" doc:"The HTTP status."`
	Code      string  `json:"code" doc:"What went wrong, stable, in snake case."`
	Detail    string  `json:"detail" doc:"What is wrong and what helps, for people."`
	RequestID string  `json:"request_id" doc:"Names this request in the server's log."`
	Errors    []Fault `json:"errors,omitempty" doc:"Where the request is at fault."`

	retry time.Duration // sent as Retry-After when it is more than 0
	cause error         // for the log alone
}

// Fault is one place of a request that is at fault: in its body, by JSON
// pointer (RFC 6901), or in its query, path or header.
type Fault struct {
	Pointer   string `json:"pointer,omitempty" doc:"Place in the body, as a JSON pointer (RFC 6901)."`
	Parameter string `json:"parameter,omitempty" doc:"Parameter of the query, the path or the header."`
	Detail    string `json:"detail"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Unwrap is the cause, which people never see.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of problems.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders says how to sign in, and when to come back.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.retry > 0 {
		h.Set("Retry-After", limit.Seconds(p.retry))
	}
	return h
}

func refusal(status int, code, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// statuses is the one place where refusals of the domain become answers.
var statuses = map[threads.Kind]int{
	threads.Internal:    http.StatusInternalServerError,
	threads.Invalid:     http.StatusUnprocessableEntity,
	threads.NotFound:    http.StatusNotFound,
	threads.Forbidden:   http.StatusForbidden,
	threads.Conflict:    http.StatusConflict,
	threads.TooLarge:    http.StatusRequestEntityTooLarge,
	threads.TooMany:     http.StatusTooManyRequests,
	threads.Unavailable: http.StatusServiceUnavailable,
	threads.Elsewhere:   http.StatusConflict,
}

// comeBack is when to try again what a moment may cure.
const comeBack = 2 * time.Second

// problemOf is the answer to err. What is no refusal is internal: its text is
// for the log alone.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var refused *threads.Error
	if !errors.As(err, &refused) || refused.Kind == threads.Internal {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			p = refusal(http.StatusServiceUnavailable, "timeout", "the request was given up before it was answered; try again")
			p.retry, p.cause = comeBack, err
			return p
		}
		p = refusal(http.StatusInternalServerError, "internal", "something went wrong on this server; its log has the request id")
		p.cause = err
		return p
	}
	status := statuses[refused.Kind]
	p = refusal(status, refused.Code, refused.Text)
	p.cause = refused.Cause
	if refused.Field != "" {
		p.Detail = strings.TrimPrefix(refused.Field, "/") + " " + refused.Text
		p.Errors = []Fault{{Pointer: refused.Field, Detail: refused.Text}}
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		p.retry = comeBack
	}
	return p
}

// notFound answers alike for what does not exist and for what the caller may
// not see.
func notFound() *Problem {
	return refusal(http.StatusNotFound, "not_found", "there is no such thing, or you may not see it")
}

func invalid(pointer, detail string) *Problem {
	p := refusal(http.StatusUnprocessableEntity, "invalid", strings.TrimPrefix(pointer, "/")+" "+detail)
	p.Errors = []Fault{{Pointer: pointer, Detail: detail}}
	return p
}

func badParameter(name, detail string) *Problem {
	p := refusal(http.StatusUnprocessableEntity, "invalid", name+" "+detail)
	p.Errors = []Fault{{Parameter: name, Detail: detail}}
	return p
}

// codes are those of refusals that the framework makes before a handler runs.
var codes = map[int]string{
	http.StatusBadRequest:            "malformed",
	http.StatusNotAcceptable:         "not_acceptable",
	http.StatusRequestTimeout:        "timeout",
	http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusUnprocessableEntity:   "invalid",
}

// unreadBody is what the framework says of a body that did not arrive whole.
const unreadBody = "cannot read request body"

// maxFaults bounds the list of faults in one answer, and maxPointer how much of
// an unknown member's name it repeats.
const (
	maxFaults  = 20
	maxPointer = 128
)

// frameworkProblem turns the framework's errors into ours, without the values
// that they hold.
func frameworkProblem(m *huma.ErrorModel) *Problem {
	status := m.Status
	switch {
	case len(m.Errors) == 1 && m.Errors[0] != nil && m.Errors[0].Message == errUnknownMember.Error():
		status = http.StatusUnprocessableEntity
	case m.Detail == unreadBody:
		status = http.StatusBadRequest
	}
	code, known := codes[status]
	if !known {
		code = "internal"
	}
	p := refusal(status, code, m.Detail)
	for _, d := range m.Errors {
		if d == nil || len(p.Errors) == maxFaults {
			continue
		}
		p.Errors = append(p.Errors, faultOf(d))
	}
	switch {
	case m.Detail == unreadBody:
		p.Detail, p.Errors = unreadDetail, nil
	case status >= 500:
		p.Detail, p.Errors, p.cause = "something went wrong on this server; its log has the request id", nil, causeOf(m)
	case status == http.StatusRequestEntityTooLarge:
		p.Detail = "the body is too large; GET /api/v1/server tells the limit"
	case len(p.Errors) > 0:
		p.Detail = p.Errors[0].Detail
		if at := p.Errors[0].Pointer + p.Errors[0].Parameter; at != "" {
			p.Detail = strings.TrimPrefix(at, "/") + ": " + p.Detail
		}
	}
	return p
}

func causeOf(m *huma.ErrorModel) error {
	for _, d := range m.Errors {
		if d != nil {
			return errors.New(d.Message)
		}
	}
	return errors.New(m.Detail)
}

func faultOf(d *huma.ErrorDetail) Fault {
	where, name, _ := strings.Cut(d.Location, ".")
	if where == "query" || where == "path" || where == "header" {
		return Fault{Parameter: clip(name), Detail: d.Message}
	}
	pointer := strings.TrimPrefix(d.Location, "body")
	pointer = strings.NewReplacer("~", "~0", "/", "~1", ".", "/", "[", "/", "]", "").Replace(pointer)
	detail := d.Message
	if name, ok := strings.CutPrefix(detail, missingMember); ok {
		name, _, _ = strings.Cut(name, " ")
		pointer, detail = pointer+"/"+name, "is required"
	}
	if quoted, err := strconv.QuotedPrefix(detail); err == nil { // a *threads.DecodeError, which begins with its path
		if path, err := strconv.Unquote(quoted); err == nil && strings.HasPrefix(path, "/") {
			pointer, detail = path, strings.TrimPrefix(detail[len(quoted):], ", ")
		}
	}
	return Fault{Pointer: clip(pointer), Detail: detail}
}

// missingMember is how the framework begins to say that a member is missing.
const missingMember = "expected required property "

func clip(s string) string {
	if len(s) > maxPointer {
		return strings.ToValidUTF8(s[:maxPointer], "") + "…"
	}
	return s
}

// writeProblem answers outside the framework.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.RequestID = requestID(r.Context())
	body, err := json.Marshal(p)
	if err != nil { // a Problem always encodes
		panic(err)
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that went away needs no answer
}
