package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
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
	s.journal.Rekey(ring.Pen(name, random16))
	if err := s.federation.Rekey(ring); err != nil {
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
