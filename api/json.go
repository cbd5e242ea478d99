package api

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

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
			tree, first := v.(*any)
			if !first { // the framework reads twice: to validate, then into a struct
				return json.Unmarshal(data, v)
			}
			if _, err := threads.Canonicalize(data, limit); err != nil {
				return err
			}
			if err := json.Unmarshal(data, tree); err != nil {
				return err
			}
			return plainMembers(*tree)
		},
	}
}

var errUnknownMember = errors.New("a member is not known: all have names in lower case")

// plainMembers refuses names that the decoder would take for others by folding
// case (ſ for s among them): here all names are of a-z and _.
func plainMembers(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
				return errUnknownMember
			}
			if err := plainMembers(member); err != nil {
				return err
			}
		}
	case []any:
		for _, element := range v {
			if err := plainMembers(element); err != nil {
				return err
			}
		}
	}
	return nil
}
