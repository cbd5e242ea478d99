package federation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"meridian/threads"
)

// wellKnown is the document by which a server introduces itself.
type wellKnown struct {
	Endpoints map[string]string `json:"endpoints"`
	Keys      []wireKey         `json:"keys"`
	Server    string            `json:"server"`
	Software  string            `json:"software"`
	Versions  []int64           `json:"versions"`
}

type wireKey struct {
	Algorithm string `json:"algorithm"`
	ID        string `json:"id"`
	Public    string `json:"public"`
	Until     string `json:"until,omitempty"` // when it was retired
}

// maxWellKnown is how long such a document may be, in bytes.
const maxWellKnown = 64 << 10

func (x *Exchange) introduction() wellKnown {
	base := BaseURL(x.Server)
	return wellKnown{
		Endpoints: map[string]string{
			"digest": base + digestPath, "profiles": base + profilesPath, "pull": base + pullPath,
			"push": base + pushPath, "request": base + requestPath,
		},
		Keys:     []wireKey{{Algorithm: "ed25519", ID: x.keyID, Public: encodeKey(x.public())}},
		Server:   x.Server,
		Software: x.Software,
		Versions: []int64{ProtocolVersion},
	}
}

func (x *Exchange) serveWellKnown(w http.ResponseWriter, _ *http.Request) {
	body, err := marshal(x.introduction())
	if err != nil {
		x.Log.Error("write the well-known document", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(body) // nobody is left to hear of a failure
}

// acquainted is what another server says of itself, checked: it is about the server that was
// asked, speaks our version, and its present keys are well-formed.
type acquainted struct {
	Keys     []threads.Key // present ones, the newest last
	Versions []int64
}

// fetchWellKnown asks a server who it is. It changes nothing here: what a fetch says never replaces
// a pinned key.
func (x *Exchange) fetchWellKnown(ctx context.Context, server string) (acquainted, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, BaseURL(server)+wellKnownPath, nil)
	if err != nil {
		return acquainted{}, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	answer, err := x.Transport.RoundTrip(r)
	if err != nil {
		return acquainted{}, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return acquainted{}, fmt.Errorf("%s is asked for %s and answers %s instead of 200; is a Meridian server behind this name?", server, wellKnownPath, answer.Status)
	}
	body, err := readBounded(answer.Body, maxWellKnown)
	if err != nil {
		return acquainted{}, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	return checkWellKnown(server, body)
}

func checkWellKnown(server string, body []byte) (acquainted, error) {
	var doc wellKnown
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&doc); err != nil {
		return acquainted{}, fmt.Errorf("read what %s says of itself: %w", server, err)
	}
	if doc.Server != server {
		return acquainted{}, fmt.Errorf("the server behind %s calls itself %.200q: use that name, or correct its public_url", server, doc.Server)
	}
	if !slices.Contains(doc.Versions, ProtocolVersion) {
		return acquainted{}, fmt.Errorf("%s speaks none of our protocol versions: it speaks %v, we speak %d", server, doc.Versions, ProtocolVersion)
	}
	found := acquainted{Versions: doc.Versions}
	for _, k := range doc.Keys {
		public, err := decodeKey(k.Public)
		if err != nil || k.Algorithm != "ed25519" || k.ID != KeyID(server, public) {
			return acquainted{}, fmt.Errorf("key %.300q of %s is not an Ed25519 key under its own id", k.ID, server)
		}
		if k.Until == "" {
			found.Keys = append(found.Keys, threads.Key{ID: k.ID, Public: public})
		}
	}
	if len(found.Keys) == 0 {
		return acquainted{}, fmt.Errorf("%s names no present key", server)
	}
	return found, nil
}
