package threads

import (
	"crypto/ed25519"
	"encoding/base64"
)

// hostPrefix keeps the signature of a host's acceptance from meaning anything else.
const hostPrefix = "meridian-host-v1\x00"

// HostAcceptance is what a server signs that takes over a channel: that it
// writes the control log of this channel from this place on, after the host
// that wrote it until now.
type HostAcceptance struct {
	Channel Hash
	From    string // the host until now
	Host    string // the one that signs
	Prev    Hash   // the newest control event before the hand-over
}

// Bytes are the canonical bytes of the acceptance.
func (a HostAcceptance) Bytes() []byte {
	dst := AppendString([]byte(`{"channel":`), a.Channel)
	dst = appendField(dst, "from", a.From)
	dst = appendField(dst, "host", a.Host)
	dst = appendField(dst, "prev", a.Prev)
	return append(dst, '}')
}

// SigningBytes are what the new host signs, with the key by which the channel
// knows it.
func (a HostAcceptance) SigningBytes() []byte { return append([]byte(hostPrefix), a.Bytes()...) }

// HandOver makes another member server the channel's host. An owner of that
// server asks for it there; the server accepts, and the present host seals it.
type HandOver struct {
	Channel    Hash
	Request    Request
	Server     string // the new host
	Acceptance []byte // its signature over HostAcceptance.SigningBytes
	Prev       Hash   // the place of the control log that the acceptance names
}

// In is the channel.
func (c HandOver) In() Hash { return c.Channel }

// Decide seals channel.host.
func (c HandOver) Decide(v *View) error {
	if v.done(c.Request) || v.Channel.Host == c.Server && v.Channel.Role(v.Actor) != RoleNone {
		return nil
	}
	if err := MayHandOver(v.Channel, v.Actor, c.Server); err != nil {
		return err
	}
	if err := v.needHost(RightOwn); err != nil {
		return err
	}
	if c.Prev != v.Channel.Control.Hash {
		return Refuse(Conflict, "stale_acceptance", "/prev", "the control log has moved on; accept again")
	}
	w := writer{dst: []byte{'{'}}
	w.text("acceptance", base64.RawURLEncoding.EncodeToString(c.Acceptance))
	w.text("host", c.Server)
	w.nonEmpty("request", c.Request.ID)
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeChannelHost, Content: append(w.dst, '}')})
}

// MayHandOver refuses an actor who cannot have that server host the channel:
// only an owner of that server's can, because it is the one to accept.
func MayHandOver(c *Channel, actor, server string) error {
	switch role := c.Role(actor); {
	case role == RoleNone:
		return Refuse(NotFound, "not_found", "", "there is no such channel, or you are not in it")
	case role != RoleOwner:
		return Refuse(Forbidden, "role", "", "only an owner can move a channel to another host")
	case !c.IsMember(server):
		return Refuse(NotFound, "not_found", "/server", "is not a member of this channel")
	case ServerOf(actor) != server:
		return Refuse(Conflict, "ask_there", "/server", "has to accept: an owner of the channel at "+server+" asks for it, at their own server")
	}
	return c.Changeable()
}

func applyHost(c *Channel, e *Event, o Object) error {
	server, _, err := o.String("host")
	if err != nil || !c.IsMember(server) || server == c.Host {
		return refuse("shape", "/host", "must be a member server other than the host")
	}
	text, _, err := o.String("acceptance")
	if err != nil {
		return err
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(text)
	key, ok := c.KeyOf(server)
	a := HostAcceptance{Channel: c.ID, From: c.Host, Host: server, Prev: e.Header.Prev}
	if err != nil || !ok || len(sig) != ed25519.SignatureSize || !Verify(key.Public, a.SigningBytes(), sig) {
		return refuse("acceptance", "/acceptance", "is not the new host's signature for this place of the log")
	}
	c.Host = server
	c.hosts = append(c.hosts, hosting{e.Header.Seq + 1, server})
	return nil
}
