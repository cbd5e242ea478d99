package threads

import (
	"encoding/base64"
	"time"
)

// Limits of a channel (protocol.md §2).
const (
	MaxServers = 500
	MaxPeople  = 10_000
	MaxName    = 200
	MaxPurpose = 2000
)

// CreateChannel makes a channel hosted by this server, its actor the first owner.
// A successor Follows another channel.
type CreateChannel struct {
	Settings Settings
	Follows  *Citation // nil for most
}

// In is "": the channel does not exist yet.
func (c CreateChannel) In() Hash { return "" }

// Decide seals channel.created.
func (c CreateChannel) Decide(v *View) error {
	if err := checkSettings(c.Settings); err != nil {
		return err
	}
	w := writer{dst: []byte{'{'}}
	if c.Follows != nil {
		w.key("follows")
		w.dst = append(w.dst, c.Follows.bytes()...)
	}
	w.text("history", c.Settings.History)
	w.key("key")
	w.dst = AppendKey(w.dst, v.Pen.Key)
	w.text("kind", c.Settings.Kind)
	w.text("name", c.Settings.Name)
	w.text("purpose", c.Settings.Purpose)
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeChannelCreated, Content: append(w.dst, '}')})
}

func checkSettings(s Settings) error {
	if err := text(s.Name, "/name", MaxName, true); err != nil {
		return err
	}
	if err := text(s.Purpose, "/purpose", MaxPurpose, false); err != nil {
		return err
	}
	if s.Kind != "work" && s.Kind != "social" {
		return Refuse(Invalid, "invalid", "/kind", "must be work or social")
	}
	if s.History != "full" && s.History != "joined" {
		return Refuse(Invalid, "invalid", "/history", "must be full or joined")
	}
	return nil
}

// Request names a request to the host, so that repeating it has no second
// effect. By is the server that asks.
type Request struct{ ID string }

func (v *View) done(r Request) bool {
	return r.ID != "" && v.Channel.Requested(ServerOf(v.Actor), r.ID) > 0
}

// ChangeSettings changes a channel's settings; empty fields stay as they are.
type ChangeSettings struct {
	Channel  Hash
	Request  Request
	Settings Settings
	Archived *bool
}

// In is the channel.
func (c ChangeSettings) In() Hash { return c.Channel }

// Decide seals channel.settings, channel.archived or both.
func (c ChangeSettings) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil || v.done(c.Request) {
		return err
	}
	merged := c.Settings.over(v.Channel.Settings)
	if err := checkSettings(merged); err != nil {
		return err
	}
	if merged != v.Channel.Settings {
		w := writer{dst: []byte{'{'}}
		w.text("history", merged.History)
		w.text("kind", merged.Kind)
		w.text("name", merged.Name)
		w.text("purpose", merged.Purpose)
		w.nonEmpty("request", c.Request.ID)
		w.text("salt", v.Pen.Salt())
		if err := v.control(Draft{Type: TypeChannelSettings, Content: append(w.dst, '}')}); err != nil {
			return err
		}
	}
	if c.Archived == nil || *c.Archived == v.Channel.Archived {
		return nil
	}
	w := writer{dst: []byte{'{'}}
	w.boolean("archived", *c.Archived)
	w.nonEmpty("request", c.Request.ID)
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeChannelArchived, Content: append(w.dst, '}')})
}

func (s Settings) over(old Settings) Settings {
	merged := old
	if s.Name != "" {
		merged.Name = s.Name
	}
	if s.Purpose != "" {
		merged.Purpose = s.Purpose
	}
	if s.Kind != "" {
		merged.Kind = s.Kind
	}
	if s.History != "" {
		merged.History = s.History
	}
	return merged
}

// Join makes a person a member. Key and Acceptance are the joining server's,
// empty for the host's own people.
type Join struct {
	Channel    Hash
	Request    Request
	Person     string
	Role       Role
	Key        Key
	Acceptance []byte // the joining server's signature over Acceptance.SigningBytes
	Prev       Hash   // the place of the control log that the acceptance names
}

// In is the channel.
func (c Join) In() Hash { return c.Channel }

// Decide seals member.joined. The actor is who invited.
func (c Join) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil || v.done(c.Request) {
		return err
	}
	server := ServerOf(c.Person)
	switch {
	case server == "" || !IsRole(string(c.Role)):
		return Refuse(Invalid, "invalid", "/role", "must be reader, guest, member or owner")
	case v.Channel.Role(c.Person) != RoleNone:
		return Refuse(Conflict, "already_member", "/address", "is a member already")
	case len(v.Channel.People()) >= MaxPeople, !v.Channel.IsMember(server) && len(v.Channel.Servers()) >= MaxServers:
		return Refuse(TooMany, "channel_full", "", "the channel has as many members as one can have")
	case server != v.Pen.Server && c.Prev != v.Channel.Control.Hash:
		return Refuse(Conflict, "stale_acceptance", "/prev", "the control log has moved on; accept again")
	}
	key := c.Key
	if server == v.Pen.Server {
		key, _ = v.Channel.KeyOf(server)
	}
	w := writer{dst: []byte{'{'}}
	if len(c.Acceptance) > 0 {
		w.text("acceptance", base64.RawURLEncoding.EncodeToString(c.Acceptance))
	}
	if !v.Channel.IsMember(server) {
		w.key("heads")
		w.dst = appendStarts(w.dst, v.Channel)
	}
	w.key("key")
	w.dst = AppendKey(w.dst, key)
	w.text("person", c.Person)
	w.nonEmpty("request", c.Request.ID)
	w.text("role", string(c.Role))
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeMemberJoined, Content: append(w.dst, '}')})
}

// ChangeRole gives a member another role.
type ChangeRole struct {
	Channel Hash
	Request Request
	Person  string
	Role    Role
}

// In is the channel.
func (c ChangeRole) In() Hash { return c.Channel }

// Decide seals member.role.
func (c ChangeRole) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil || v.done(c.Request) {
		return err
	}
	old := v.Channel.Role(c.Person)
	switch {
	case !IsRole(string(c.Role)):
		return Refuse(Invalid, "invalid", "/role", "must be reader, guest, member or owner")
	case old == RoleNone:
		return Refuse(NotFound, "not_found", "/address", "is not a member of this channel")
	case old == c.Role:
		return nil
	case old == RoleOwner && v.owners() == 1:
		return Refuse(Conflict, "last_owner", "/role", "a channel keeps at least one owner; make another person owner first")
	}
	w := writer{dst: []byte{'{'}}
	w.text("person", c.Person)
	w.nonEmpty("request", c.Request.ID)
	w.text("role", string(c.Role))
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeMemberRole, Content: append(w.dst, '}')})
}

func (v *View) owners() (n int) {
	for _, p := range v.Channel.People() {
		if p.Role == RoleOwner {
			n++
		}
	}
	return n
}

// RemoveMember takes a person out of the channel. A person may leave at any
// time, an archived channel too; the last owner alone stays.
type RemoveMember struct {
	Channel Hash
	Request Request
	Person  string
}

// In is the channel.
func (c RemoveMember) In() Hash { return c.Channel }

// Decide seals member.removed with the cuts of the person's server's logs, as
// far as they are applied here, and server.removed when it was the last person
// of another server.
func (c RemoveMember) Decide(v *View) error {
	right := RightOwn
	if c.Person == v.Actor {
		right = RightNone
	}
	if err := v.needHost(right); err != nil || v.done(c.Request) {
		return err
	}
	switch v.Channel.Role(c.Person) {
	case RoleNone:
		return Refuse(NotFound, "not_found", "/address", "is not a member of this channel")
	case RoleOwner:
		if v.owners() == 1 {
			return Refuse(Conflict, "last_owner", "/address", "a channel keeps at least one owner; make another person owner first")
		}
	}
	w := writer{dst: []byte{'{'}}
	w.key("cuts")
	w.dst = AppendHeads(w.dst, v.Channel.headsOf(ServerOf(c.Person)))
	w.text("person", c.Person)
	w.nonEmpty("request", c.Request.ID)
	w.text("salt", v.Pen.Salt())
	if err := v.control(Draft{Type: TypeMemberRemoved, Content: append(w.dst, '}')}); err != nil {
		return err
	}
	return v.removeEmpty(ServerOf(c.Person), c.Request)
}

// removeEmpty removes a server of whose people none is left: an organisation
// without a member reads no further.
func (v *View) removeEmpty(server string, r Request) error {
	for _, p := range v.Channel.People() {
		if ServerOf(p.ID) == server {
			return nil
		}
	}
	if server == v.Channel.Host {
		return nil
	}
	return v.removeServer(server, r)
}

// RemoveServer takes a server and all its people out of the channel.
type RemoveServer struct {
	Channel Hash
	Request Request
	Server  string
}

// In is the channel.
func (c RemoveServer) In() Hash { return c.Channel }

// Decide seals server.removed with the cuts of the server's logs.
func (c RemoveServer) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil || v.done(c.Request) {
		return err
	}
	switch {
	case c.Server == v.Channel.Host:
		return Refuse(Conflict, "is_host", "/server", "the host cannot be removed")
	case !v.Channel.IsMember(c.Server):
		return Refuse(NotFound, "not_found", "/server", "is not a member of this channel")
	}
	return v.removeServer(c.Server, c.Request)
}

func (v *View) removeServer(server string, r Request) error {
	w := writer{dst: []byte{'{'}}
	w.key("cuts")
	w.dst = AppendHeads(w.dst, v.Channel.headsOf(server))
	w.nonEmpty("request", r.ID)
	w.text("salt", v.Pen.Salt())
	w.text("server", server)
	return v.control(Draft{Type: TypeServerRemoved, Content: append(w.dst, '}')})
}

// headsOf are the heads of a server's logs under its present admission.
func (c *Channel) headsOf(server string) []Head {
	var heads []Head
	for _, h := range c.Frontier() {
		if h.Origin == server && h.Epoch>>32 == c.Admission(server) {
			heads = append(heads, h)
		}
	}
	return heads
}

// NameHeads makes the present heads final; the host does so by itself, at least
// daily where there is something new, on behalf of an owner.
type NameHeads struct{ Channel Hash }

// In is the channel.
func (c NameHeads) In() Hash { return c.Channel }

// Decide seals heads.named with the heads that are not final yet.
func (c NameHeads) Decide(v *View) error {
	if err := v.needHost(RightOwn); err != nil {
		return err
	}
	var fresh []Head
	for _, h := range v.Channel.Frontier() {
		if v.Channel.FinalAt(Ref{h.LogID, h.Seq}) == "" {
			fresh = append(fresh, h)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	w := writer{dst: []byte{'{'}}
	w.text("by", "server")
	w.key("heads")
	w.dst = AppendHeads(w.dst, fresh)
	w.text("salt", v.Pen.Salt())
	return v.control(Draft{Type: TypeHeadsNamed, Content: append(w.dst, '}')})
}

// namingInterval is how often at most a host names the heads of a channel.
const namingInterval = 24 * time.Hour

// NamingDue reports whether server, as the channel's host, is to name its heads
// now, and the owner on whose behalf.
func (c *Channel) NamingDue(server string, now time.Time) (owner string, due bool) {
	if c.Host != server || c.ControlDoubt != Sure || c.Archived || c.Split() || now.Sub(max(c.Named, c.Created).Wall()) < namingInterval {
		return "", false
	}
	owner = c.Owner(server)
	for _, h := range c.Frontier() {
		if c.FinalAt(Ref{h.LogID, h.Seq}) == "" {
			return owner, owner != ""
		}
	}
	return "", false
}

// Owner is one on whose behalf the host writes what it writes by itself, of that
// server where there is one.
func (c *Channel) Owner(server string) (owner string) {
	for _, p := range c.People() {
		if p.Role == RoleOwner && (owner == "" || ServerOf(p.ID) == server) {
			owner = p.ID
		}
	}
	return owner
}
