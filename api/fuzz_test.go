package api_test

import (
	"encoding/json"
	"testing"

	"meridian/api"
	"meridian/internal/cost"
)

// T75: what clients send over a WebSocket. A message that is taken is JSON that says just that.
func FuzzReadOp(f *testing.F) {
	for _, text := range []string{
		`{"op":"auth","token":"x"}`, `{"after":"eA","op":"resume"}`, `{"OP":"auth"}`, `{"op":"auth","op":"resume"}`, `{"op":null}`, `{"op":"auth"}{}`, `[]`, "\xff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var kind, token, after string
		var err error
		cost.Hold(t, func() { kind, token, after, err = api.ReadOp(raw) })
		if err != nil {
			return
		}
		var plain map[string]string
		if err := json.Unmarshal(raw, &plain); err != nil || plain["op"] != kind || plain["token"] != token || plain["after"] != after || len(plain) > 3 {
			t.Errorf("%q is taken for %q, %q, %q", raw, kind, token, after)
		}
	})
}
