package api

import (
	"encoding/json"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"meridian/threads"
)

// strictJSON reads bodies that mean one thing to every reader: what no event
// may hold, no request may hold either (threads.Canonicalize says what).
func strictJSON(limit int) huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			e := json.NewEncoder(w)
			e.SetEscapeHTML(false)
			return e.Encode(v)
		},
		Unmarshal: func(data []byte, v any) error {
			if _, first := v.(*any); first { // the framework reads twice: to validate, then into a struct
				if _, err := threads.Canonicalize(data, limit); err != nil {
					return err
				}
			}
			return json.Unmarshal(data, v)
		},
	}
}
