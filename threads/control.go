package threads

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/hdevalence/ed25519consensus"
)

// CheckControl says whether e may be the next event of the control log: the
// next number, the right chain, the host as its origin, a later time and a
// signature by the host's key.
func (c *Channel) CheckControl(e *Event) error {
	h := &e.Header
	switch {
	case h.Log != LogControl:
		return refuse("shape", "/log", "must be control")
	case h.Seq != c.Control.Seq+1:
		return refuse("gap", "/seq", fmt.Sprintf("the next control event is %d", c.Control.Seq+1))
	case h.Prev != c.Control.Hash:
		return refuse("chain", "/prev", "is not the hash of the control event before")
	case h.Seq == 1 && e.ID != c.ID || h.Seq > 1 && h.Channel != c.ID:
		return refuse("channel", "/channel", "is not this channel's event")
	case h.Seq > 1 && h.Origin != c.Host:
		return refuse("origin", "/origin", "is not the host, which alone writes the control log")
	case h.Time <= c.Control.Time:
		return refuse("time", "/time", "must be greater than that of the control event before")
	case e.Content == nil:
		return refuse("missing", "/content", "a control event is nothing without its content")
	}
	key, err := c.controlKey(e)
	if err != nil {
		return err
	}
	if !Verify(key, SigningBytes(e.HeaderBytes), e.Sig) {
		return refuse("signature", "/sig", "is not the host's")
	}
	return nil
}

// Verify checks an Ed25519 signature by the one rule (ZIP 215) that single and
// batch verification share, so that every server accepts the same ones.
func Verify(public ed25519.PublicKey, message, sig []byte) bool {
	return ed25519consensus.Verify(public, message, sig)
}

func (c *Channel) controlKey(e *Event) (ed25519.PublicKey, error) {
	if e.Header.Seq == 1 {
		o, err := ParseCanonical(e.Content, MaxContent)
		if err != nil {
			return nil, err
		}
		key, err := decodeKey(o)
		if err == nil && key.ID != e.Header.Key {
			err = refuse("key", "/key", "is not the key that the first event makes known")
		}
		return key.Public, err
	}
	key, ok := c.KeyAt(e.Header.Origin, e.Header.Key, e.Header.Seq-1)
	if !ok {
		return nil, refuse("key", "/key", "is no key that this channel knows for the host")
	}
	return key, nil
}

// ApplyControl applies an event that CheckControl passed. On error nothing has
// changed.
func (c *Channel) ApplyControl(e *Event) error {
	o, err := ParseCanonical(e.Content, MaxContent)
	if err != nil {
		return err
	}
	if err := checkSalt(o); err != nil {
		return err
	}
	if e.Header.Type == TypeMemberJoined {
		if err := checkAcceptance(e, o); err != nil {
			return err
		}
	}
	c.own()
	if t := TypeOf(e.Header.Type); t.control != nil {
		if err := t.control(c, e, o); err != nil {
			return err
		}
	}
	if id, ok, _ := o.String("request"); ok {
		c.requests[ServerOf(e.Header.Actor)+" "+id] = e.Header.Seq
	}
	c.numbers, c.times = append(c.numbers, e.ID), append(c.times, e.Header.Time)
	c.Control = Head{LogID: ControlLog, Seq: e.Header.Seq, Hash: e.ID, Time: e.Header.Time}
	return nil
}

func applyCreated(c *Channel, e *Event, o Object) error {
	if e.Header.Seq != 1 {
		return refuse("shape", "/type", "channel.created is control event 1 and no other")
	}
	key, err := decodeKey(o)
	if err != nil {
		return err
	}
	settings, err := decodeSettings(o, Settings{Kind: "work", History: "full"})
	if err != nil {
		return err
	}
	if ServerOf(e.Header.Actor) != e.Header.Origin {
		return refuse("origin", "/actor", "must be a person of the creating server")
	}
	follows, err := decodeCitation(e, o)
	if err != nil {
		return err
	}
	key.From, c.follows = 0, follows
	c.Settings, c.Host, c.Created = settings, e.Header.Origin, e.Header.Time
	c.hosts = []hosting{{1, c.Host}}
	c.servers[c.Host] = &member{admissions: []admission{{number: 1, joined: 1}}, keys: []knownKey{{Key: key}}}
	c.grant(e.Header.Actor, grant{number: 1, role: RoleOwner})
	return nil
}

func applySettings(c *Channel, e *Event, o Object) error {
	settings, err := decodeSettings(o, c.Settings)
	if err != nil {
		return err
	}
	c.Settings = settings
	return nil
}

func applyArchived(c *Channel, e *Event, o Object) error {
	on, ok, err := o.Bool("archived")
	if err != nil || !ok {
		return refuse("shape", "/archived", "must be true or false")
	}
	c.Archived = on
	return nil
}

func applyJoined(c *Channel, e *Event, o Object) error {
	person, role, err := decodePersonRole(o)
	if err != nil {
		return err
	}
	server := ServerOf(person)
	starts, err := decodeStarts(o)
	if err != nil {
		return err
	}
	key, err := decodeKey(o)
	if err != nil {
		return err
	}
	if err := c.admit(server, key, e.Header.Seq, starts); err != nil {
		return err
	}
	c.grant(person, grant{number: e.Header.Seq, role: role})
	return nil
}

// admit makes a server a member, or leaves one that is already as it is.
func (c *Channel) admit(server string, key Key, number int64, starts map[LogID]Start) error {
	key.From = number
	m := c.servers[server]
	if m == nil {
		m = &member{}
		c.servers[server] = m
	}
	known, ok := c.KeyOf(server)
	if len(m.admissions) > 0 && m.last().removed == 0 {
		if !known.Same(key) {
			return refuse("key", "/key", "is not the key that this channel knows for the server")
		}
		return nil
	}
	if !ok || !known.Same(key) {
		m.keys = append(m.keys, knownKey{Key: key})
	}
	m.admissions = append(m.admissions, admission{number: number, joined: number, start: starts, full: c.Settings.History == "full"})
	for id, at := range starts {
		c.final[Ref{id, at.Seq}] = at.Hash
	}
	return nil
}

func applyRole(c *Channel, e *Event, o Object) error {
	person, role, err := decodePersonRole(o)
	if err != nil {
		return err
	}
	if c.Role(person) == RoleNone {
		return refuse("not_member", "/person", "is no member")
	}
	c.grant(person, grant{number: e.Header.Seq, role: role})
	return nil
}

func applyMemberRemoved(c *Channel, e *Event, o Object) error {
	person, ok, err := o.String("person")
	if err != nil || !ok || ServerOf(person) == "" {
		return refuse("shape", "/person", "must be the id of a person")
	}
	cuts, err := decodeHeads(o, "cuts")
	if err != nil {
		return err
	}
	c.grant(person, grant{number: e.Header.Seq, removal: true, cuts: cuts})
	c.nameFinal(cuts)
	return nil
}

func applyServerRemoved(c *Channel, e *Event, o Object) error {
	server, ok, err := o.String("server")
	if err != nil || !ok || !c.IsMember(server) || server == c.Host {
		return refuse("shape", "/server", "must be a member server other than the host")
	}
	cuts, err := decodeHeads(o, "cuts")
	if err != nil {
		return err
	}
	last := c.servers[server].last()
	last.removed, last.cuts = e.Header.Seq, cuts
	for person := range c.people {
		if ServerOf(person) == server && c.Role(person) != RoleNone {
			c.grant(person, grant{number: e.Header.Seq, removal: true, cuts: cuts})
		}
	}
	c.nameFinal(cuts)
	return nil
}

func applyHeadsNamed(c *Channel, e *Event, o Object) error {
	heads, err := decodeHeads(o, "heads")
	if err != nil {
		return err
	}
	c.nameFinal(heads)
	c.Named = e.Header.Time
	return nil
}

func (c *Channel) grant(person string, g grant) { c.people[person] = append(c.people[person], g) }

// nameFinal records hashes that fix their logs below them.
func (c *Channel) nameFinal(heads map[LogID]Cut) {
	for id, cut := range heads {
		c.final[Ref{id, cut.Seq}] = cut.Hash
	}
}

// applyFrozen closes a log at a cut, for all and for ever.
func applyFrozen(c *Channel, e *Event, o Object) error {
	id, cut, err := decodeFrozen(o)
	if err != nil {
		return err
	}
	if old, known := c.frozen[id]; !known || cut.Seq < old.Seq {
		c.frozen[id] = cut
	}
	if cut.Seq > 0 {
		c.nameFinal(map[LogID]Cut{id: cut})
	}
	return nil
}

// Frozen is the log that an event closes, and where; ok is false for what closes none.
func Frozen(e *Event) (log LogID, at Cut, ok bool) {
	if e.Header.Type != TypeLogFrozen {
		return log, at, false
	}
	o, err := ParseCanonical(e.Content, MaxContent)
	if err == nil {
		log, at, err = decodeFrozen(o)
	}
	return log, at, err == nil
}

func decodeFrozen(o Object) (id LogID, cut Cut, err error) {
	bad := refuse("shape", "/log", "must be [origin, epoch] of a data log")
	log, ok, err := o.Array("log")
	if err != nil || !ok || log.Len() != 2 {
		return id, cut, bad
	}
	var errs [2]error
	id.Origin, errs[0] = log.String(0)
	id.Epoch, errs[1] = log.Int(1)
	if errs != [2]error{} || !isServerName(id.Origin) || id.Epoch < 1<<32 {
		return id, cut, bad
	}
	bad = refuse("shape", "/cut", `must be [seq, hash] of an event of the log, or [0, ""]`)
	at, ok, err := o.Array("cut")
	if err != nil || !ok || at.Len() != 2 {
		return id, cut, bad
	}
	cut.Seq, errs[0] = at.Int(0)
	cut.Hash, errs[1] = at.String(1)
	if errs != [2]error{} || cut.Seq < 0 || (cut.Seq == 0) != (cut.Hash == "") || cut.Seq > 0 && !IsHash(cut.Hash) {
		return id, cut, bad
	}
	return id, cut, nil
}

// Named are the places whose hashes a control event, already applied, made
// final, in the order of the logs.
func Named(e *Event) []Head {
	o, err := ParseCanonical(e.Content, MaxContent)
	if err != nil || e.Header.Log != LogControl {
		return nil
	}
	var all []Head
	add := func(id LogID, cut Cut) { all = append(all, Head{LogID: id, Seq: cut.Seq, Hash: cut.Hash}) }
	switch e.Header.Type {
	case TypeMemberRemoved, TypeServerRemoved, TypeServerKey, TypeHeadsNamed:
		for _, key := range [...]string{"cuts", "heads"} {
			cuts, _ := decodeHeads(o, key)
			for id, cut := range cuts {
				add(id, cut)
			}
		}
	case TypeMemberJoined:
		starts, _ := decodeStarts(o)
		for id, start := range starts {
			add(id, start.Cut)
		}
	case TypeLogFrozen:
		if id, cut, err := decodeFrozen(o); err == nil && cut.Seq > 0 {
			add(id, cut)
		}
	}
	slices.SortFunc(all, func(a, b Head) int { return compareLogs(a.LogID, b.LogID) })
	return all
}

// FinalAt is the hash that a control event named for the place, "" when none did.
func (c *Channel) FinalAt(r Ref) Hash { return c.final[r] }

func decodePersonRole(o Object) (string, Role, error) {
	person, _, err := o.String("person")
	if err != nil || ServerOf(person) == "" {
		return "", "", refuse("shape", "/person", "must be the id of a person")
	}
	role, _, err := o.String("role")
	if err != nil || !IsRole(role) {
		return "", "", refuse("shape", "/role", "must be reader, guest, member or owner")
	}
	return person, Role(role), nil
}

func decodeSettings(o Object, old Settings) (Settings, error) {
	s := old
	for key, at := range map[string]*string{"name": &s.Name, "purpose": &s.Purpose, "kind": &s.Kind, "history": &s.History} {
		text, ok, err := o.String(key)
		if err != nil {
			return old, err
		}
		if ok {
			*at = text
		}
	}
	switch {
	case s.Name == "":
		return old, refuse("shape", "/name", "is required")
	case s.Kind != "work" && s.Kind != "social":
		return old, refuse("shape", "/kind", "must be work or social")
	case s.History != "full" && s.History != "joined":
		return old, refuse("shape", "/history", "must be full or joined")
	}
	return s, nil
}

// AppendKey appends the canonical form of a key, {"id","public"}.
func AppendKey(dst []byte, k Key) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, k.ID)
	dst = appendField(dst, "public", base64.RawURLEncoding.EncodeToString(k.Public))
	return append(dst, '}')
}

// KeyNamed is the key that a control event makes known for a server on the host's
// word, if it is of a type that does and its content is held.
func KeyNamed(e *Event) (server string, key Key, ok bool) {
	if e.Header.Log != LogControl {
		return "", Key{}, false
	}
	o, err := ParseCanonical(e.Content, MaxContent)
	if err != nil {
		return "", Key{}, false
	}
	switch e.Header.Type {
	case TypeChannelCreated:
		server = e.Header.Origin
	case TypeMemberJoined:
		person, _, _ := o.String("person")
		server = ServerOf(person)
	case TypeServerKey:
		if o.Has("signature") { // of the key known before, which is checked where it is applied
			return "", Key{}, false
		}
		server, _, _ = o.String("server")
	}
	key, err = decodeKey(o)
	return server, key, err == nil && server != ""
}

func decodeKey(o Object) (Key, error) {
	bad := refuse("shape", "/key", "must be {id, public} of an Ed25519 key")
	k, ok, err := o.Object("key")
	if err != nil || !ok {
		return Key{}, bad
	}
	id, _, err := k.String("id")
	if err != nil || CheckIdentifier(id) != nil {
		return Key{}, bad
	}
	text, _, err := k.String("public")
	if err != nil {
		return Key{}, bad
	}
	public, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return Key{}, bad
	}
	return Key{ID: id, Public: public}, nil
}

// AppendHeads appends heads as [[origin, epoch, seq, hash], …], the form they
// have in cuts and heads.named.
func AppendHeads(dst []byte, heads []Head) []byte {
	dst = append(dst, '[')
	for i, h := range heads {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = AppendString(dst, h.Origin)
		dst = append(dst, ',')
		dst = AppendInt(dst, h.Epoch)
		dst = append(dst, ',')
		dst = AppendInt(dst, h.Seq)
		dst = append(dst, ',')
		dst = AppendString(dst, h.Hash)
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func decodeHeads(o Object, key string) (map[LogID]Cut, error) {
	a, ok, err := o.Array(key)
	if err != nil || !ok {
		return nil, err
	}
	cuts := make(map[LogID]Cut, a.Len())
	for i := range a.Len() {
		bad := refuse("shape", fmt.Sprintf("/%s/%d", key, i), "must be [origin, epoch, seq, hash]")
		t, err := a.Array(i)
		if err != nil || t.Len() != 4 {
			return nil, bad
		}
		var errs [4]error
		var id LogID
		var cut Cut
		id.Origin, errs[0] = t.String(0)
		id.Epoch, errs[1] = t.Int(1)
		cut.Seq, errs[2] = t.Int(2)
		cut.Hash, errs[3] = t.String(3)
		if errs != [4]error{} || !isServerName(id.Origin) || cut.Seq < 0 || !IsHash(cut.Hash) {
			return nil, bad
		}
		cuts[id] = cut
	}
	return cuts, nil
}

func checkSalt(o Object) error {
	salt, ok, err := o.String("salt")
	if err != nil || !ok || len(salt) != 22 || !isBase64URL(salt) {
		return refuse("shape", "/salt", "must be 16 random bytes in base64url")
	}
	return nil
}

// Reached are the logs of c of which events among those given, already applied,
// may have made earlier events void or which they have closed: by removals, by
// a freeze, or by opening lower logs.
func Reached(c *Channel, events []*Event) []LogID {
	servers, frozen, opened := map[string]bool{}, map[LogID]bool{}, false
	for _, e := range events {
		if e.Header.Log == LogData {
			opened = opened || e.Header.Seq == 1
			continue
		}
		o, err := ParseCanonical(e.Content, MaxContent)
		if err != nil {
			continue
		}
		switch e.Header.Type {
		case TypeMemberRemoved:
			person, _, _ := o.String("person")
			servers[ServerOf(person)] = true
		case TypeServerRemoved, TypeServerKey:
			server, _, _ := o.String("server")
			servers[server] = servers[server] || e.Header.Type == TypeServerRemoved || o.Has("cuts")
		case TypeLogFrozen:
			id, _, _ := decodeFrozen(o)
			frozen[id] = true
		}
	}
	if len(servers)+len(frozen) == 0 && !opened {
		return nil
	}
	var reached []LogID
	for id := range c.Logs {
		if servers[id.Origin] || frozen[id] || opened && c.surplus(id) {
			reached = append(reached, id)
		}
	}
	slices.SortFunc(reached, compareLogs)
	return reached
}
