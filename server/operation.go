package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"meridian/threads"
)

// maxInput bounds the input of an operation, in bytes; archives are not bounded.
const maxInput = 1 << 20

// operation serves f over the control socket: its input and its result as JSON.
func operation[In, Out any](f func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxInput))
		body.DisallowUnknownFields()
		if err := body.Decode(&in); err != nil {
			refuse(w, threads.Refuse(threads.Invalid, "invalid", "", "the input cannot be read: "+err.Error()))
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the asker is gone: nobody to tell
	}
}

// refusal is a *threads.Error on the control socket. The administrator sees the
// cause too.
type refusal struct {
	Kind  threads.Kind `json:"kind"`
	Code  string       `json:"code"`
	Field string       `json:"field,omitempty"`
	Text  string       `json:"text"`
}

func refusalOf(err error) refusal {
	var known *threads.Error
	if !errors.As(err, &known) {
		return refusal{Kind: threads.Internal, Code: "internal", Text: err.Error()}
	}
	text := known.Text
	if known.Cause != nil {
		text += " (" + known.Cause.Error() + ")"
	}
	return refusal{Kind: known.Kind, Code: known.Code, Field: known.Field, Text: text}
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(refusalOf(err))
}

// Call runs one operation through a client that [Attach] gave and stores its
// result in out, unless that is nil. A refusal is a *threads.Error.
func Call(ctx context.Context, client *http.Client, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return send(ctx, client, operation, bytes.NewReader(body), func(answer io.Reader) error {
		if out == nil {
			return nil
		}
		return json.NewDecoder(answer).Decode(out)
	})
}

// send posts body to an operation and has read take the answer.
func send(ctx context.Context, client *http.Client, operation string, body io.Reader, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/"+operation, body)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the server on its control socket: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return read(answer.Body)
	}
	var refused refusal
	if err := json.NewDecoder(answer.Body).Decode(&refused); err != nil {
		return fmt.Errorf("%s: the server answered %s", operation, answer.Status)
	}
	return refused.error()
}

func (r refusal) error() error { return threads.Refuse(r.Kind, r.Code, r.Field, r.Text) }
