package threads

import (
	"crypto/ed25519"
	"encoding/base64"
	"strconv"
)

// successionPrefix keeps the signature of a succession from meaning anything else.
const successionPrefix = "meridian-succession-v1\x00"

// Succession says that one key of a server takes the place of another. The old
// key signs it, so that whoever knows that one may take the new one; the new key
// signs it too, so that whoever knows the new one may take the old one for what
// it was. Revoked says that the old one may be in wrong hands: of what it signed
// only what lies at or below the cuts counts.
type Succession struct {
	Server   string
	Previous Key
	Key      Key
	Revoked  bool
}

// Bytes are the canonical bytes of the succession.
func (s Succession) Bytes() []byte {
	dst := AppendKey([]byte(`{"key":`), s.Key)
	dst = AppendKey(append(dst, `,"previous":`...), s.Previous)
	dst = strconv.AppendBool(append(dst, `,"revoked":`...), s.Revoked)
	dst = appendField(dst, "server", s.Server)
	return append(dst, '}')
}

// SigningBytes are what both keys sign.
func (s Succession) SigningBytes() []byte { return append([]byte(successionPrefix), s.Bytes()...) }

// SignedKey is a key of a server, and how it follows the one before it.
type SignedKey struct {
	Key
	Revoked bool   // the key before it may be in wrong hands
	By      []byte // signature of the succession by the key before it; nil where that was lost
	Own     []byte // signature of the succession by this key
}

// FollowedBy reports whether k signed that next takes its place.
func (k Key) FollowedBy(server string, next SignedKey) bool {
	s := Succession{Server: server, Previous: k, Key: next.Key, Revoked: next.Revoked}
	return len(next.By) == ed25519.SignatureSize && Verify(k.Public, s.SigningBytes(), next.By)
}

// Was reports whether next signed that k was the key before it.
func (k Key) Was(server string, next SignedKey) bool {
	s := Succession{Server: server, Previous: k, Key: next.Key, Revoked: next.Revoked}
	return len(next.Own) == ed25519.SignatureSize && Verify(next.Public, s.SigningBytes(), next.Own)
}

// Same reports whether both are one key under one id.
func (k Key) Same(other Key) bool { return k.ID == other.ID && k.Public.Equal(other.Public) }

// PenKey is a key that a server signs with.
type PenKey struct {
	Key  Key
	Sign func(message []byte) []byte
}

// in is the key that the server of p writes with in a channel: the one that the
// channel knows for it. In a channel that knows none yet it is the newest.
func (p *Pen) in(c *Channel) (PenKey, error) {
	known, ok := c.KeyOf(p.Server)
	if !ok || known.Same(p.Key) {
		return PenKey{p.Key, p.Sign}, nil
	}
	for _, k := range p.Earlier {
		if known.Same(k.Key) {
			return k, nil
		}
	}
	return PenKey{}, Refuse(Unavailable, "key_unknown", "", "the channel's host does not know this server's new key yet; its administrator has to allow this server again with the new fingerprint")
}

// knownKey is a key of a server as the control log tells of it.
type knownKey struct {
	Key
	signed bool // by the key before it
}

// KeyAt is the key with that id by which the server wrote at the numbered
// control event: a key counts from the event that makes it known up to the one
// that puts another in its place.
func (c *Channel) KeyAt(server, id string, number int64) (ed25519.PublicKey, bool) {
	m := c.servers[server]
	if m == nil {
		return nil, false
	}
	for i, k := range m.keys {
		if k.ID == id && k.From <= number && (i == len(m.keys)-1 || number < m.keys[i+1].From) {
			return k.Public, true
		}
	}
	return nil, false
}

// KeyOf is the newest key that the control log knows for the server.
func (c *Channel) KeyOf(server string) (Key, bool) {
	m := c.servers[server]
	if m == nil || len(m.keys) == 0 {
		return Key{}, false
	}
	return m.keys[len(m.keys)-1].Key, true
}

// KeyFollows reports whether the channel knows the server by this key, or by one
// that follows it, each signed by the one before.
func (c *Channel) KeyFollows(server string, k Key) bool {
	m := c.servers[server]
	if m == nil {
		return false
	}
	for i := len(m.keys) - 1; i >= 0; i-- {
		if m.keys[i].Same(k) {
			return true
		}
		if !m.keys[i].signed {
			return false
		}
	}
	return false
}

// RenewKey records at the host that a server has another key than the channel
// knows. Without the signature of the known key the host answers for it alone.
type RenewKey struct {
	Channel Hash
	Server  string
	Next    SignedKey
}

// In is the channel.
func (c RenewKey) In() Hash { return c.Channel }

// Revokes reports whether what the old key signed counts up to the cuts alone.
func (c RenewKey) Revokes() bool { return c.Next.Revoked || c.Next.By == nil }

// Decide seals server.key, with the cuts of the server's logs where the old key
// is revoked: the server goes on in new logs, as if it had been admitted anew.
func (c RenewKey) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil {
		return err
	}
	known, ok := v.Channel.KeyOf(c.Server)
	switch {
	case !ok || !v.Channel.IsMember(c.Server):
		return Refuse(NotFound, "not_found", "/server", "is not a member of this channel")
	case known.Same(c.Next.Key):
		return nil
	}
	w := writer{dst: []byte{'{'}}
	if c.Revokes() {
		w.key("cuts")
		w.dst = AppendHeads(w.dst, v.Channel.headsOf(c.Server))
	}
	w.key("key")
	w.dst = AppendKey(w.dst, c.Next.Key)
	w.text("salt", v.Pen.Salt())
	w.text("server", c.Server)
	if c.Next.By != nil {
		w.text("signature", base64.RawURLEncoding.EncodeToString(c.Next.By))
	}
	return v.control(Draft{Type: TypeServerKey, Content: append(w.dst, '}')})
}

func applyServerKey(c *Channel, e *Event, o Object) error {
	server, _, err := o.String("server")
	if err != nil || !c.IsMember(server) {
		return refuse("shape", "/server", "must be a member server")
	}
	key, err := decodeKey(o)
	if err != nil {
		return err
	}
	cuts, err := decodeHeads(o, "cuts")
	if err != nil {
		return err
	}
	m := c.servers[server]
	for _, k := range m.keys {
		if k.ID == key.ID || k.Public.Equal(key.Public) {
			return refuse("key", "/key", "was the server's key before: a key never comes back")
		}
	}
	signed, err := checkSuccession(m.keys[len(m.keys)-1].Key, server, key, o)
	if err != nil {
		return err
	}
	key.From = e.Header.Seq
	m.keys = append(m.keys, knownKey{key, signed})
	if o.Has("cuts") {
		m.reopen(e.Header.Seq, cuts)
		c.nameFinal(cuts)
	}
	return nil
}

// reopen ends the server's logs at the cuts and admits it anew.
func (m *member) reopen(number int64, cuts map[LogID]Cut) {
	last := m.last()
	last.removed, last.cuts = number, cuts
	m.admissions = append(m.admissions, admission{number: number, joined: last.joined, start: last.start, full: last.full})
}

// checkSuccession checks that the old key signed the new one. Where it did not,
// the event has cuts: nobody but the host says whose the new key is.
func checkSuccession(old Key, server string, key Key, o Object) (signed bool, err error) {
	text, ok, err := o.String("signature")
	if err != nil {
		return false, err
	}
	if !ok {
		if !o.Has("cuts") {
			return false, refuse("shape", "/cuts", "are required where the old key did not sign the new one")
		}
		return false, nil
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !old.FollowedBy(server, SignedKey{Key: key, Revoked: o.Has("cuts"), By: sig}) {
		return false, refuse("signature", "/signature", "is not the old key's over the new one")
	}
	return true, nil
}
