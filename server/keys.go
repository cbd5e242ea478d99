package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// KeyChange is the input of keys.rotate; keys.list takes the same and heeds none of it.
type KeyChange struct {
	// Revoke says that the present key may be in wrong hands: what it signs counts
	// no longer.
	Revoke bool `json:"revoke,omitempty"`
}

// HeldKey is a key of this server as its administrator sees it.
type HeldKey struct {
	Fingerprint string     `json:"fingerprint"`
	From        *time.Time `json:"from,omitempty"`
	Until       *time.Time `json:"until,omitempty"` // absent of the present one
	Revoked     bool       `json:"revoked"`
}

// HeldKeys is the answer of keys.list and keys.rotate, the present one first.
type HeldKeys struct {
	Keys []HeldKey `json:"keys"`
}

// rotateKeys is durable before anything bears the new key. A server that ends
// in between goes on with it after its next start.
func (s *Server) rotateKeys(ctx context.Context, in KeyChange) (HeldKeys, error) {
	s.rekeying.Lock()
	defer s.rekeying.Unlock()
	path, name := KeyFile(s.config.DataDir), s.config.Server()
	ring, err := federation.LoadKeyring(path)
	if err != nil {
		return HeldKeys{}, err
	}
	if ring, err = ring.Renew(name, rand.Reader, s.clock(), in.Revoke); err != nil {
		return HeldKeys{}, err
	}
	if err := federation.SaveKeyring(path, ring); err != nil {
		return HeldKeys{}, err
	}
	if err := s.rekey(ctx, ring); err != nil {
		return HeldKeys{}, err
	}
	shown := shownKeys(ring)
	entry := threads.AuditEntry{
		Act: threads.Act{Who: threads.ByAdmin, At: s.clock()}, What: threads.AuditKeyChanged, Object: name,
		Detail: map[bool]string{true: "the old one is revoked; ", false: ""}[in.Revoke] + shown.Keys[0].Fingerprint,
	}
	if err := s.store.Audit(ctx, entry); err != nil {
		return HeldKeys{}, err
	}
	s.log.Info("new key", "fingerprint", shown.Keys[0].Fingerprint, "revokes", in.Revoke)
	return shown, nil
}

// rekey has this node sign with the keys of another ring. rekeying must be held.
func (s *Server) rekey(ctx context.Context, ring federation.Keyring) error {
	s.journal.Rekey(ring.Pen(s.config.Server(), random16))
	if err := s.federation.Rekey(ring); err != nil {
		return err
	}
	s.signing = ring.Present()
	return s.compareKey(ctx, ring)
}

// compareKey finds out whether this node's key is that of the organisation's
// other nodes: one that was replaced must sign nothing any more.
func (s *Server) compareKey(ctx context.Context, ring federation.Keyring) error {
	own := federation.Fingerprint(ring.Present().Public().(ed25519.PublicKey))
	newest, err := s.store.OwnKey(ctx, own)
	if err != nil {
		return err
	}
	var behind error
	if newest != "" {
		behind = threads.Refuse(threads.Unavailable, "key_behind", "", fmt.Sprintf(
			"server.key of this node has the key %s, which this organisation replaced by %s: copy server.key from the node that has it (if none has it, delete it and run meridian keys revoke)", own, newest))
	}
	if was := s.keyBehind.Swap(&behind); behind != nil && (was == nil || *was == nil) {
		s.log.Error("this node signs nothing until it has the newer key", "error", behind)
	} else if behind == nil && was != nil && *was != nil {
		s.log.Info("this node has the newest key again", "fingerprint", own)
	}
	return nil
}

// keyHold refuses what this node would sign with a key that was replaced.
func (s *Server) keyHold() error {
	if behind := s.keyBehind.Load(); behind != nil {
		return *behind
	}
	return nil
}

// keyed has partners come back later, and so reach another node, while this one
// could only tell them of a key that was replaced.
func (s *Server) keyed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.keyHold() != nil {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "this node has an older key than its organisation", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// keyEvery is how often a node asks whether its key was replaced.
const keyEvery = 2 * time.Second

// lookAtKey is a step at each of several nodes: one whose key was replaced by
// another node stops signing, and goes on once the file was copied to it.
func (s *Server) lookAtKey(ctx context.Context, now time.Time) (time.Time, error) {
	s.rekeying.Lock()
	defer s.rekeying.Unlock()
	ring, err := federation.LoadKeyring(KeyFile(s.config.DataDir))
	if err != nil {
		return now, err
	}
	if !s.signing.Equal(ring.Present()) {
		return now.Add(keyEvery), s.rekey(ctx, ring)
	}
	return now.Add(keyEvery), s.compareKey(ctx, ring)
}

func (s *Server) listKeys(context.Context, KeyChange) (HeldKeys, error) {
	ring, err := federation.LoadKeyring(KeyFile(s.config.DataDir))
	return shownKeys(ring), err
}

func shownKeys(ring federation.Keyring) HeldKeys {
	shown := HeldKeys{Keys: make([]HeldKey, len(ring))}
	for i, k := range ring {
		shown.Keys[len(ring)-1-i] = HeldKey{
			Fingerprint: federation.Fingerprint(k.Private.Public().(ed25519.PublicKey)),
			From:        unlessNever(k.From), Until: unlessNever(k.Until),
			Revoked: i+1 < len(ring) && ring[i+1].Revoked,
		}
	}
	return shown
}

func unlessNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
