package threads

import (
	"crypto/ed25519"
	"encoding/base64"
)

// acceptPrefix keeps the signature of an acceptance from meaning anything else.
const acceptPrefix = "meridian-accept-v1\x00"

// Acceptance is what a joining server signs: that it, and the person, join this
// channel of this host at this place of its control log, in this role, and
// which key its events will bear.
type Acceptance struct {
	Channel Hash
	Host    string
	Person  string
	Role    Role
	Prev    Hash
	Key     Key
}

// Bytes are the canonical bytes of the acceptance.
func (a Acceptance) Bytes() []byte {
	dst := append([]byte(nil), `{"channel":`...)
	dst = AppendString(dst, a.Channel)
	dst = appendField(dst, "host", a.Host)
	dst = append(dst, `,"key":`...)
	dst = AppendKey(dst, a.Key)
	dst = appendField(dst, "person", a.Person)
	dst = appendField(dst, "prev", a.Prev)
	dst = appendField(dst, "role", string(a.Role))
	return append(dst, '}')
}

// SigningBytes are what the joining server signs.
func (a Acceptance) SigningBytes() []byte { return append([]byte(acceptPrefix), a.Bytes()...) }

func checkAcceptance(e *Event, o Object) error {
	person, role, err := decodePersonRole(o)
	if err != nil {
		return err
	}
	key, err := decodeKey(o)
	if err != nil {
		return err
	}
	if ServerOf(person) == e.Header.Origin {
		return nil // the host's own signature over the event is its acceptance
	}
	text, _, err := o.String("acceptance")
	if err != nil {
		return err
	}
	sig, err := base64.RawURLEncoding.DecodeString(text)
	a := Acceptance{
		Channel: e.Header.Channel, Host: e.Header.Origin, Person: person,
		Role: role, Prev: e.Header.Prev, Key: key,
	}
	if err != nil || len(sig) != ed25519.SignatureSize || !Verify(key.Public, a.SigningBytes(), sig) {
		return refuse("acceptance", "/acceptance", "is not the joining server's signature for this place of the log")
	}
	return nil
}

// Admitted is the key by whose word the server was in the channel of e, a control
// event that may come from anybody: it made the channel, or accepted to join it.
func (e *Event) Admitted(server string) (Key, bool) {
	if e.Header.Type != TypeChannelCreated && e.Header.Type != TypeMemberJoined {
		return Key{}, false
	}
	named, key, ok := KeyNamed(e)
	if !ok || named != server {
		return Key{}, false
	}
	if e.Header.Origin == server {
		return key, Verify(key.Public, SigningBytes(e.HeaderBytes), e.Sig)
	}
	o, err := ParseCanonical(e.Content, MaxContent)
	return key, err == nil && checkAcceptance(e, o) == nil
}
