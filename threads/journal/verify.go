package journal

import (
	"context"
	"crypto/ed25519"

	"github.com/hdevalence/ed25519consensus"

	"meridian/threads"
)

// verified are the signatures of a batch that were found good before the
// transaction, with the key that each was checked against.
type verified map[*threads.Event]ed25519.PublicKey

// verify checks the signatures of a batch together, as far as the keys are
// known by now; the rest is checked when its turn comes.
func (j *Journal) verify(ctx context.Context, events []*threads.Event) verified {
	keys := make(verified, len(events))
	bv := ed25519consensus.NewBatchVerifier()
	for _, e := range events {
		if key := j.keyOf(ctx, e); key != nil {
			keys[e] = key
			bv.Add(key, threads.SigningBytes(e.HeaderBytes), e.Sig)
		}
	}
	if len(keys) == 0 || bv.Verify() {
		return keys
	}
	for e, key := range keys {
		if !threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig) {
			delete(keys, e)
		}
	}
	return keys
}

func (j *Journal) keyOf(ctx context.Context, e *threads.Event) ed25519.PublicKey {
	if e.Header.Log != threads.LogData {
		return nil // a control event is checked where it is applied
	}
	c, err := j.Channel(ctx, e.Channel())
	if err != nil || c == nil {
		return nil
	}
	key, _ := c.KeyAt(e.Header.Origin, e.Header.Key, e.Header.Control.Number)
	return key
}

// signed reports whether the event bears its origin's signature by the key that
// the control event it names knows.
func (v verified) signed(c *threads.Channel, e *threads.Event) (bool, string) {
	key, ok := c.KeyAt(e.Header.Origin, e.Header.Key, e.Header.Control.Number)
	if !ok {
		return false, threads.RefusedKey
	}
	if known, ok := v[e]; ok && known.Equal(key) {
		return true, ""
	}
	return threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig), threads.RefusedSignature
}
