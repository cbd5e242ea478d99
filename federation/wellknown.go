package federation

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

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

// wireKey is a key of the server. All but the first say how they follow the one before them.
type wireKey struct {
	Algorithm string `json:"algorithm"`
	From      string `json:"from,omitempty"` // when it took the place of the one before
	ID        string `json:"id"`
	Public    string `json:"public"`
	Revoked   bool   `json:"previous_revoked,omitempty"`   // the one before may be in wrong hands
	Own       string `json:"signed,omitempty"`             // signature of the succession by this key
	By        string `json:"signed_by_previous,omitempty"` // likewise by the one before
	Until     string `json:"until,omitempty"`              // when it was retired
}

// maxWellKnown is how long such a document may be, in bytes.
const maxWellKnown = 64 << 10

func (x *Exchange) introduction() wellKnown {
	base := BaseURL(x.Server)
	return wellKnown{
		Endpoints: map[string]string{
			"check": base + checkPath, "digest": base + digestPath, "erased": base + erasedPath, "file": base + filePath, "profiles": base + profilesPath, "pull": base + pullPath,
			"push": base + pushPath, "request": base + requestPath,
		},
		Keys:     x.shownKeys(),
		Server:   x.Server,
		Software: x.Software,
		Versions: []int64{ProtocolVersion},
	}
}

// shownKeys are this server's keys, oldest first.
func (x *Exchange) shownKeys() []wireKey {
	var out []wireKey
	for _, k := range x.ownKeys().ring {
		key := eventKey(x.Server, k.public())
		shown := wireKey{Algorithm: "ed25519", ID: key.ID, Public: encodeKey(key.Public), Revoked: k.Revoked}
		shown.By, shown.Own = base64.RawURLEncoding.EncodeToString(k.By), base64.RawURLEncoding.EncodeToString(k.Own)
		if !k.From.IsZero() {
			shown.From = k.From.UTC().Format(time.RFC3339)
		}
		if !k.Until.IsZero() {
			shown.Until = k.Until.UTC().Format(time.RFC3339)
		}
		out = append(out, shown)
	}
	return out
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
// asked, speaks our version, and its keys are well-formed.
type acquainted struct {
	server   string
	all      []threads.SignedKey // present and retired ones in their order, what they sign not yet checked
	Keys     []threads.Key       // present ones, the newest last
	Versions []int64
}

// fetchWellKnown asks a server who it is. It changes nothing here: what a fetch says never replaces
// a pinned key.
func (x *Exchange) fetchWellKnown(ctx context.Context, server string) (acquainted, error) {
	found, _, err := introduced(ctx, server, x.Transport)
	return found, err
}

// introduced is how a server introduces itself through a transport, and the answer in which it did,
// its body read; nil without one.
func introduced(ctx context.Context, server string, by http.RoundTripper) (acquainted, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, BaseURL(server)+wellKnownPath, nil)
	if err != nil {
		return acquainted{}, nil, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	answer, err := by.RoundTrip(r)
	if err != nil {
		return acquainted{}, nil, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return acquainted{}, answer, fmt.Errorf("%s is asked for %s and answers %s instead of 200; is a Meridian server behind this name?", server, wellKnownPath, answer.Status)
	}
	body, err := readBounded(answer.Body, maxWellKnown)
	if err != nil {
		return acquainted{}, answer, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	found, err := checkWellKnown(server, body)
	return found, answer, err
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
	found := acquainted{server: server, Versions: doc.Versions}
	for _, k := range doc.Keys {
		public, err := decodeKey(k.Public)
		if err != nil || k.Algorithm != "ed25519" || k.ID != KeyID(server, public) {
			return acquainted{}, fmt.Errorf("key %.300q of %s is not an Ed25519 key under its own id", k.ID, server)
		}
		key := threads.SignedKey{Key: threads.Key{ID: k.ID, Public: public}, Revoked: k.Revoked}
		var errs [2]error
		key.By, errs[0] = base64.RawURLEncoding.Strict().DecodeString(k.By)
		key.Own, errs[1] = base64.RawURLEncoding.Strict().DecodeString(k.Own)
		if errs != [2]error{} {
			return acquainted{}, fmt.Errorf("the signatures of key %.300q of %s are not base64url", k.ID, server)
		}
		found.all = append(found.all, key)
		if k.Until == "" {
			found.Keys = append(found.Keys, key.Key)
		}
	}
	if len(found.Keys) == 0 {
		return acquainted{}, fmt.Errorf("%s names no present key", server)
	}
	return found, nil
}
