package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// visitor is a client of a server, as anybody could write one.
type visitor struct{ base, token string }

// call does one request and decodes its answer into out unless that is nil.
func (v visitor) call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, v.base+path, &body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if v.token != "" {
		r.Header.Set("Authorization", "Bearer "+v.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusMultipleChoices {
		var problem struct{ Code, Detail string }
		_ = json.NewDecoder(answer.Body).Decode(&problem) // the status tells enough
		return fmt.Errorf("%s %s: %s %s %s", method, path, answer.Status, problem.Code, problem.Detail)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
