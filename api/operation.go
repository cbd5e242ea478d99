package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"meridian/threads"
)

const prefix = "/api/v1"

// bodyTimeout is how long a client may take to send a body.
const bodyTimeout = 20 * time.Second

// operation names a route and what it is for.
type operation struct {
	method, path string
	id           string // of the operation in the OpenAPI document
	tag          string
	summary      string
	status       int  // of success; 200 when 0
	also         int  // another status of success, with the same body
	open         bool // no token is needed
}

// framework makes the adapter that reads requests and writes answers. Its
// errors are turned into ours on their way out, so that its package variable
// for errors stays as it is.
func (a *API) framework() huma.API {
	format := strictJSON(a.limits.BodyBytes)
	a.json = format
	config := huma.Config{
		OpenAPI:       a.document(),
		Formats:       map[string]huma.Format{"application/json": format, "json": format}, // and what ends in +json
		DefaultFormat: "application/json",
		Transformers: []huma.Transformer{func(ctx huma.Context, _ string, v any) (any, error) {
			m, ok := v.(*huma.ErrorModel)
			if !ok {
				return v, nil
			}
			p := a.answer(ctx.Context(), frameworkProblem(m))
			if _, w := humago.Unwrap(ctx); p.Status != m.Status {
				w.(*recorder).instead = p.Status
			}
			return p, nil
		}},
		RejectUnknownQueryParameters: true,
	}
	return humago.New(a.mux, config)
}

// register serves an operation. handle gets the caller, nil only where the
// operation is open; its errors become problems.
func register[I, O any](a *API, op operation, handle func(context.Context, *caller, *I) (*O, error)) {
	full := huma.Operation{
		OperationID: op.id, Method: op.method, Path: prefix + op.path, Summary: op.summary, Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: int64(a.limits.BodyBytes) + 1, BodyReadTimeout: bodyTimeout,
		Responses: map[string]*huma.Response{"default": a.problemResponse()},
	}
	if !op.open {
		full.Security = []map[string][]string{{"token": {}}}
		full.Middlewares = huma.Middlewares{a.needCaller}
	}
	huma.Register(a.huma, full, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, exchangeOf(ctx).caller, in)
		if err != nil {
			return nil, a.answer(ctx, err)
		}
		return out, nil
	})
	if op.also != 0 {
		same := full.Responses[strconv.Itoa(op.status)]
		full.Responses[strconv.Itoa(op.also)] = &huma.Response{Description: http.StatusText(op.also), Content: same.Content}
	}
}

func (a *API) needCaller(ctx huma.Context, next func(huma.Context)) {
	if exchangeOf(ctx.Context()).caller != nil {
		next(ctx)
		return
	}
	r, w := humago.Unwrap(ctx)
	writeProblem(w, r, unauthorized("this needs a token: send Authorization: Bearer TOKEN; POST /api/v1/sessions gives one"))
}

// Once is the header that makes repeating a POST harmless.
type Once struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"200" doc:"Makes repeating this request harmless for 30 days: the first outcome is answered again. Another request under the same key is refused with 409."`
}

// digest tells requests under one key apart: by route, path and meaning of the body.
func digest(ctx context.Context, operation string, body any) (threads.Hash, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("digest request: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", operation, exchangeOf(ctx).url.Path)
	h.Write(raw)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)), nil
}

// do has the journal carry out a command for the caller.
func (a *API) do(ctx context.Context, c *caller, command threads.Command) (Result, error) {
	return a.Journal.Do(ctx, Request{Actor: c.person.ID, Command: command, Now: exchangeOf(ctx).now})
}

// doOnce is do under the request's Idempotency-Key.
func (a *API) doOnce(ctx context.Context, c *caller, command threads.Command, key Once, body any) (Result, error) {
	if key.IdempotencyKey == "" {
		return a.do(ctx, c, command)
	}
	sum, err := digest(ctx, fmt.Sprintf("%T", command), body)
	if err != nil {
		return Result{}, err
	}
	return a.Journal.Do(ctx, Request{
		Actor: c.person.ID, Command: command, Now: exchangeOf(ctx).now, Key: key.IdempotencyKey, Digest: sum,
	})
}

// claim is a command that seals nothing: it keeps an Idempotency-Key for a
// request whose effect, repeated, is the same by itself.
type claim struct{}

func (claim) In() threads.Hash             { return "" }
func (claim) Decide(v *threads.View) error { return nil }

// claimOnce refuses a request under a key that another request had.
func (a *API) claimOnce(ctx context.Context, c *caller, operation string, key Once, body any) error {
	if key.IdempotencyKey == "" {
		return nil
	}
	sum, err := digest(ctx, operation, body)
	if err != nil {
		return err
	}
	_, err = a.Journal.Do(ctx, Request{
		Actor: c.person.ID, Command: claim{}, Now: exchangeOf(ctx).now, Key: key.IdempotencyKey, Digest: sum,
	})
	return err
}

// Paged is where a list goes on.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Items in the answer, at most."`
	Cursor string `query:"cursor" maxLength:"512" doc:"next_cursor of the answer before."`
}

func (p Paged) page() threads.Page { return threads.Page{After: p.Cursor, Limit: p.Limit} }

// List is one page of a list.
type List[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor" doc:"Where the list goes on; empty at its end."`
}

type listed[T any] struct {
	Link string `header:"Link" doc:"rel=\"next\" (RFC 8288), where there is a next page."`
	Body List[T]
}

// listOf makes the answer of a page, and of records what people see.
func listOf[R, T any](ctx context.Context, records []R, next string, shown func(R) T) *listed[T] {
	out := &listed[T]{Body: List[T]{Items: make([]T, len(records)), NextCursor: next}}
	for i, r := range records {
		out.Body.Items[i] = shown(r)
	}
	if next != "" {
		u := *exchangeOf(ctx).url
		query := u.Query()
		query.Set("cursor", next)
		at := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: query.Encode()}
		out.Link = "<" + at.String() + `>; rel="next"`
	}
	return out
}

// versioned is the answer of one thing that can be changed.
type versioned[T any] struct {
	ETag string `header:"ETag" doc:"Version of this, for If-Match."`
	Body T
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// Unless is the precondition of a change.
type Unless struct {
	IfMatch string `header:"If-Match" maxLength:"512" doc:"ETag that the change was made to: refused with 412 when it is no longer so. Without it the newest change wins."`
}

// holds refuses a change to another version than the present one (RFC 9110 §13.1.1).
func (u Unless) holds(version int64) error { return u.matches(etag(version)) }

// matches is holds for the tag of the present version.
func (u Unless) matches(present string) error {
	if u.IfMatch == "" || strings.TrimSpace(u.IfMatch) == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(u.IfMatch, ",") {
		if strings.TrimSpace(tag) == present {
			return nil
		}
	}
	return stale()
}

func stale() *Problem {
	return refusal(http.StatusPreconditionFailed, "version_mismatch", "it was changed meanwhile; read it again and repeat the change")
}

// isKind reports whether err is a refusal of that kind.
func isKind(err error, kind threads.Kind) bool {
	var refused *threads.Error
	return errors.As(err, &refused) && refused.Kind == kind
}
