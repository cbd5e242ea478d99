package federation

import (
	"crypto/ed25519"
	"errors"

	"meridian/threads"
)

// own is what follows from this server's keys.
type own struct {
	ring    Keyring
	present threads.Key
	signer  *Signer
}

func ownKeys(server string, ring Keyring) (own, error) {
	if len(ring) == 0 || len(ring.Present()) != ed25519.PrivateKeySize {
		return own{}, errors.New("the server's key is no Ed25519 key")
	}
	present := eventKey(server, ring[len(ring)-1].public())
	signer, err := NewSigner(present.ID, ring.Present())
	return own{ring, present, signer}, err
}

func (x *Exchange) ownKeys() own {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.own
}

// EventKey is the key that this server's requests bear, and its events in channels that know it.
func (x *Exchange) EventKey() threads.Key { return x.ownKeys().present }

// sign signs bytes that this server composed, with its present key.
func (x *Exchange) sign(message []byte) []byte {
	return ed25519.Sign(x.ownKeys().ring.Present(), message)
}

// signAs signs bytes that this server composed about a channel, with the key by which the channel knows
// it; nil where it does not hold that one.
func (x *Exchange) signAs(ch *threads.Channel, message []byte) []byte {
	known, ok := ch.KeyOf(x.Server)
	for _, k := range x.ownKeys().ring {
		if ok && known.Public.Equal(k.public()) {
			return ed25519.Sign(k.Private, message)
		}
	}
	return nil
}

// Rekey has requests signed by the newest key of another ring of this server, whose document shows all
// of them. Partners learn of it at once, channels hosted here by the next RenewKeys.
func (x *Exchange) Rekey(ring Keyring) error {
	keys, err := ownKeys(x.Server, ring)
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.own = keys
	couriers := make([]*Courier, 0, len(x.couriers))
	for _, c := range x.couriers {
		couriers = append(couriers, c)
	}
	x.mu.Unlock()
	x.keysChanged()
	for _, c := range couriers {
		c.retry() // which shows the other the new key
	}
	return nil
}
