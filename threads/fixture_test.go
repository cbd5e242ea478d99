package threads

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"testing"
	"time"
)

// actor is a server of the tests: its key and salts follow from its name, so
// that everything it writes is the same in every run.
type actor struct {
	t       testing.TB
	name    string
	private ed25519.PrivateKey
	drawn   uint64
	keys    int // that it had before this one
	now     time.Time
}

var testNow = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func newActor(t testing.TB, name string) *actor {
	seed := sha256.Sum256([]byte("test key of " + name))
	return &actor{t: t, name: name, private: ed25519.NewKeyFromSeed(seed[:]), now: testNow}
}

func (a *actor) person(name string) string {
	sum := sha256.Sum256([]byte(name + "@" + a.name))
	return PersonID(a.name, [16]byte(sum[:16]))
}

func (a *actor) key() Key {
	public := a.private.Public().(ed25519.PublicKey)
	return Key{ID: "https://" + a.name + "/keys/" + itoa(a.keys+1), Public: public}
}

func (a *actor) pen() *Pen {
	a.now = a.now.Add(time.Second)
	return &Pen{Server: a.name, Key: a.key(), Now: a.now, Sign: func(m []byte) []byte { return ed25519.Sign(a.private, m) }, Random: func() [16]byte {
		a.drawn++
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(a.name), a.drawn))
		return [16]byte(sum[:16])
	}}
}

// do decides a command at c, which moves on, and returns what was sealed.
func (a *actor) do(c *Channel, person string, cmd Command) ([]*Event, error) {
	v := &View{Channel: c.Clone(), Actor: person, Pen: a.pen(), Find: findNothing}
	if err := cmd.Decide(v); err != nil {
		return nil, err
	}
	*c = *v.Channel
	return v.Events, nil
}

func (a *actor) must(c *Channel, person string, cmd Command) []*Event {
	a.t.Helper()
	events, err := a.do(c, person, cmd)
	if err != nil {
		a.t.Fatalf("%T: %v", cmd, err)
	}
	return events
}

func findNothing(Hash) (Target, error) { return Target{}, Refuse(NotFound, "not_found", "", "nothing") }

// join makes the command by which a's person enters the channel.
func (a *actor) join(c *Channel, person string, role Role) Join {
	accept := Acceptance{Channel: c.ID, Host: c.Host, Person: person, Role: role, Prev: c.Control.Hash, Key: a.key()}
	return Join{
		Channel: c.ID, Person: person, Role: role, Key: a.key(), Prev: c.Control.Hash,
		Acceptance: ed25519.Sign(a.private, accept.SigningBytes()),
	}
}

// replica is another server's channel after the control events given.
func replica(t testing.TB, events []*Event) *Channel {
	t.Helper()
	c := NewChannel(events[0].ID)
	for _, e := range events {
		if err := c.CheckControl(e); err != nil {
			t.Fatalf("check control event %d: %v", e.Header.Seq, err)
		}
		if err := c.ApplyControl(e); err != nil {
			t.Fatalf("apply control event %d: %v", e.Header.Seq, err)
		}
	}
	return c
}

func created(a *actor, owner string) (*Channel, []*Event) {
	c := NewChannel("")
	return c, a.must(c, owner, CreateChannel{Settings: Settings{Name: "Harbour works", Kind: "work", History: "full"}})
}

func title(s string) ThreadContent { return ThreadContent{Title: &s} }

func unhex(t testing.TB, s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
