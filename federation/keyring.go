package federation

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meridian/threads"
)

// HeldKey is a key that this server signs or signed with, and how it follows the one before it.
type HeldKey struct {
	Private ed25519.PrivateKey
	From    time.Time // zero for a first key, which was always there
	Until   time.Time // when another took its place; zero for the present one
	Revoked bool      // the one before may be in wrong hands
	By      []byte    // signature of the succession by the one before
	Own     []byte    // likewise by this one
}

func (k HeldKey) public() ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

// Keyring is the keys of one server, oldest first; the last is the present one. It is never empty.
type Keyring []HeldKey

// Present is the key that this server's requests bear.
func (r Keyring) Present() ed25519.PrivateKey { return r[len(r)-1].Private }

// Signed are the public halves, as partners see them.
func (r Keyring) Signed(server string) []threads.SignedKey {
	out := make([]threads.SignedKey, len(r))
	for i, k := range r {
		out[i] = threads.SignedKey{Key: eventKey(server, k.public()), Revoked: k.Revoked, By: k.By, Own: k.Own}
	}
	return out
}

func eventKey(server string, public ed25519.PublicKey) threads.Key {
	return threads.Key{ID: KeyID(server, public), Public: public}
}

// Pen is what the server's events are sealed with.
func (r Keyring) Pen(server string, random func() [16]byte) threads.Pen {
	pen := threads.Pen{Server: server, Random: random}
	for i, k := range r {
		one := threads.PenKey{
			Key:  eventKey(server, k.public()),
			Sign: func(message []byte) []byte { return ed25519.Sign(k.Private, message) },
		}
		if i == len(r)-1 {
			pen.Key, pen.Sign = one.Key, one.Sign
			break
		}
		pen.Earlier = append(pen.Earlier, one)
	}
	return pen
}

// Renew is the ring with a new key made from random. revoked says that the present one may be in
// wrong hands.
func (r Keyring) Renew(server string, random io.Reader, now time.Time, revoked bool) (Keyring, error) {
	private, err := drawKey(random)
	if err != nil {
		return nil, err
	}
	now = now.UTC().Truncate(time.Second)
	next := HeldKey{Private: private, From: now, Revoked: revoked}
	old := r[len(r)-1]
	s := threads.Succession{
		Server: server, Previous: eventKey(server, old.public()), Key: eventKey(server, next.public()), Revoked: revoked,
	}
	next.By, next.Own = ed25519.Sign(old.Private, s.SigningBytes()), ed25519.Sign(private, s.SigningBytes())
	out := append(slices.Clone(r), next)
	out[len(r)-1].Until = now
	return out, nil
}

// Members of a key's PEM block, beside the key.
const (
	headFrom    = "From"
	headUntil   = "Until"
	headRevoked = "Previous-Revoked"
	headBy      = "Signed-By-Previous"
	headOwn     = "Signed"
)

// maxKeys is how many keys a ring has at most: the document that lists them stays small.
const maxKeys = 64

// SaveKeyring replaces the file as a whole: after a crash it holds the old keys or all of the new
// ones. Its owner alone can read it.
func SaveKeyring(path string, r Keyring) error {
	if len(r) > maxKeys {
		return fmt.Errorf("save server keys %s: a server has at most %d keys", path, maxKeys)
	}
	var file bytes.Buffer
	for _, k := range slices.Backward(r) { // the present one first
		block, err := k.block()
		if err == nil {
			err = pem.Encode(&file, block)
		}
		if err != nil {
			return fmt.Errorf("save server keys %s: %w", path, err)
		}
	}
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) { // of a try that did not end
		return fmt.Errorf("save server keys: %w", err)
	}
	err := writeNewFile(next, file.Bytes())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("save server keys: %w", err)
	}
	return nil
}

func (k HeldKey) block() (*pem.Block, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, err
	}
	b := &pem.Block{Type: keyBlock, Bytes: der, Headers: map[string]string{}}
	for name, t := range map[string]time.Time{headFrom: k.From, headUntil: k.Until} {
		if !t.IsZero() {
			b.Headers[name] = t.UTC().Format(time.RFC3339)
		}
	}
	for name, sig := range map[string][]byte{headBy: k.By, headOwn: k.Own} {
		if sig != nil {
			b.Headers[name] = base64.RawURLEncoding.EncodeToString(sig)
		}
	}
	if k.Revoked {
		b.Headers[headRevoked] = "true"
	}
	return b, nil
}

// LoadKeyring reads the keys that [CreateKey] and [SaveKeyring] keep. It refuses a file that anyone
// but its owner may read or write, and anything that is not Ed25519 private keys, the present one
// first; each error names the file and what to do.
func LoadKeyring(path string) (Keyring, error) {
	content, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("load server key %w", err)
	}
	ring, err := parseKeyring(content)
	if err != nil {
		return nil, fmt.Errorf("load server key %s: %w; put back the file that was created, or its backup", path, err)
	}
	return ring, nil
}

func parseKeyring(content []byte) (Keyring, error) {
	var ring Keyring
	for rest := bytes.TrimSpace(content); len(rest) > 0 || len(ring) == 0; rest = bytes.TrimSpace(rest) {
		k, after, err := parseHeld(rest)
		switch {
		case err != nil:
			return nil, err
		case k.Until.IsZero() != (len(ring) == 0):
			return nil, errors.New("the present key comes first, and those after it say until when they were")
		}
		ring, rest = append(ring, k), after
	}
	slices.Reverse(ring)
	return ring, nil
}

func parseHeld(content []byte) (HeldKey, []byte, error) {
	block, rest := pem.Decode(content)
	if block == nil || block.Type != keyBlock || !bytes.HasPrefix(content, []byte("-----BEGIN ")) {
		return HeldKey{}, nil, errors.New("the file must hold PEM blocks, PRIVATE KEY, and nothing else")
	}
	k := HeldKey{Revoked: block.Headers[headRevoked] != ""}
	var errs [5]error
	k.Private, errs[0] = parseKey(block.Bytes)
	k.From, errs[1] = headTime(block, headFrom)
	k.Until, errs[2] = headTime(block, headUntil)
	k.By, errs[3] = headBytes(block, headBy)
	k.Own, errs[4] = headBytes(block, headOwn)
	return k, rest, errors.Join(errs[:]...)
}

func headTime(b *pem.Block, name string) (time.Time, error) {
	if b.Headers[name] == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, b.Headers[name])
	if err != nil {
		return t, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return t, nil
}

func headBytes(b *pem.Block, name string) ([]byte, error) {
	if b.Headers[name] == "" {
		return nil, nil
	}
	sig, err := base64.RawURLEncoding.DecodeString(b.Headers[name])
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return sig, nil
}
