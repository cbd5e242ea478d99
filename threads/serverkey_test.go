package threads

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"
	"time"
)

// successor is the same server with its next key, and how that follows the present one.
func (a *actor) successor(revoked bool) (*actor, SignedKey) {
	seed := sha256.Sum256(append([]byte("next key of "+a.name), a.private...))
	next := &actor{t: a.t, name: a.name, private: ed25519.NewKeyFromSeed(seed[:]), drawn: a.drawn + 1000, keys: a.keys + 1, now: a.now}
	key := next.key()
	s := Succession{Server: a.name, Previous: a.key(), Key: key, Revoked: revoked}
	return next, SignedKey{
		Key: key, Revoked: revoked,
		By: ed25519.Sign(a.private, s.SigningBytes()), Own: ed25519.Sign(next.private, s.SigningBytes()),
	}
}

// ring is a pen of a server that holds an earlier key as well.
func (a *actor) ring(earlier *actor) *Pen {
	p := a.pen()
	p.Earlier = []PenKey{{earlier.key(), earlier.pen().Sign}}
	return p
}

func TestServerWritesWithTheKeyThatTheChannelKnows(t *testing.T) {
	g := newGuestbook(t)
	next, signed := g.havel.successor(false)
	post := func() *Event {
		t.Helper()
		e, err := g.away.SealData(Draft{Type: "x.note", Actor: g.mia, Content: []byte(`{"salt":"AAAAAAAAAAAAAAAAAAAAAA"}`)}, next.ring(g.havel))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	before := post()
	g.command(RenewKey{Channel: g.host.ID, Server: "havel.example", Next: signed})
	g.hear()
	after := post()
	if before.Header.Key != g.havel.key().ID || after.Header.Key != next.key().ID {
		t.Errorf("keys of events before and after server.key: %s and %s", before.Header.Key, after.Header.Key)
	}
	for _, e := range []*Event{before, after} {
		key, ok := g.host.KeyAt("havel.example", e.Header.Key, e.Header.Control.Number)
		if !ok || !Verify(key, SigningBytes(e.HeaderBytes), e.Sig) || g.host.Void(&e.Header) {
			t.Errorf("event %d does not count", e.Header.Seq)
		}
	}
	if _, ok := g.host.KeyAt("havel.example", g.havel.key().ID, g.host.Control.Seq); ok {
		t.Error("the old key signs events that name the control event which replaced it")
	}
	if _, ok := g.host.KeyAt("havel.example", next.key().ID, g.host.Control.Seq-1); ok {
		t.Error("the new key signs events that name a control event before it was known")
	}
	if !g.host.KeyFollows("havel.example", g.havel.key()) {
		t.Error("the old key signed the new one, and the channel does not tell")
	}
}

func TestServerWithoutTheKeyThatTheChannelKnowsIsTold(t *testing.T) {
	g := newGuestbook(t)
	next, _ := g.havel.successor(true)
	_, err := next.do(g.away, g.mia, StartThread{Channel: g.away.ID, Content: title("lost")})
	if refused := (*Error)(nil); !errors.As(err, &refused) || refused.Code != "key_unknown" {
		t.Errorf("writing with a key that the channel does not know: %v", err)
	}
}

func TestRevokedKeyCountsUpToTheCutsOnly(t *testing.T) {
	for name, lost := range map[string]bool{"signed by the old key": false, "on the host's word": true} {
		t.Run(name, func(t *testing.T) {
			g := newGuestbook(t)
			known, late := g.write("known to the host"), g.write("never reached the host")
			g.arrive(known)
			next, signed := g.havel.successor(true)
			if lost {
				signed.By = nil
			}
			g.command(RenewKey{Channel: g.host.ID, Server: "havel.example", Next: signed})
			forged := g.write("forged, dated back to before the revocation")
			if g.host.Void(&known.Header) || !g.host.Void(&late.Header) || !g.host.Void(&forged.Header) {
				t.Error("what lies at or below the cut counts, and nothing beyond")
			}
			if p, _, _ := g.host.Place(forged, "kobo.example", testNow.Add(time.Hour), testNow, time.Hour); p != Misfits {
				t.Errorf("the forged event is placed: %v", p)
			}
			if g.host.Role(g.mia) != RoleMember || !g.host.IsMember("havel.example") || g.host.KeyFollows("havel.example", g.havel.key()) == lost {
				t.Error("its people stay members, and the old key leads to the new one exactly where it signed it")
			}
			away := replica(t, g.control)
			fresh := next.must(away, g.mia, StartThread{Channel: away.ID, Content: title("with the new key")})[0]
			if fresh.Header.Epoch>>32 != g.host.Control.Seq || fresh.Header.Seq != 1 || g.host.Void(&fresh.Header) {
				t.Errorf("the server goes on in a new log: epoch %d, seq %d", fresh.Header.Epoch>>32, fresh.Header.Seq)
			}
			g.arrive(fresh)
		})
	}
}

func TestHostRotatesAndRevokesItsOwnKey(t *testing.T) {
	for _, revoked := range []bool{false, true} {
		g := newGuestbook(t)
		mine := g.kobo.must(g.host, g.ana, StartThread{Channel: g.host.ID, Content: title("mine")})[0]
		next, signed := g.kobo.successor(revoked)
		v := &View{Channel: g.host, Actor: g.ana, Pen: next.ring(g.kobo), Find: findNothing}
		if err := (RenewKey{Channel: g.host.ID, Server: "kobo.example", Next: signed}).Decide(v); err != nil {
			t.Fatal(err)
		}
		g.control = append(g.control, v.Events...)
		g.control = append(g.control, next.must(g.host, g.ana, ChangeSettings{Channel: g.host.ID, Settings: Settings{Name: "renamed"}})...)
		c := replica(t, g.control)
		if c.Settings.Name != "renamed" || c.Void(&mine.Header) {
			t.Error("the control log goes on with the new key, and what the host wrote stays")
		}
		old := Seal(g.control[len(g.control)-1].Header, g.control[len(g.control)-1].Content, g.kobo.pen().Sign)
		if err := replica(t, g.control[:len(g.control)-1]).CheckControl(old); err == nil {
			t.Error("the old key writes the control log after it was replaced")
		}
	}
}

func TestUnprovenServerKeysAreRefused(t *testing.T) {
	g := newGuestbook(t)
	_, signed := g.havel.successor(false)
	_, revoked := g.havel.successor(true)
	stranger, _ := newActor(t, "stranger.example").successor(false)
	for name, change := range map[string]func(*RenewKey){
		"signed by nobody, without cuts": func(c *RenewKey) { c.Next.Revoked = true }, // the signature is over revoked:false
		"another key than was signed":    func(c *RenewKey) { c.Next.Key = stranger.key() },
		"another server":                 func(c *RenewKey) { c.Server = "kobo.example" },
		"a revocation without cuts":      func(c *RenewKey) { c.Next = revoked; c.Next.Revoked = false },
		"no signature in it":             func(c *RenewKey) { c.Next.By = make([]byte, 64) },
	} {
		c := RenewKey{Channel: g.host.ID, Server: "havel.example", Next: signed}
		change(&c)
		if _, err := g.kobo.do(g.host.Clone(), g.ana, c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	next, first := g.havel.successor(false)
	g.command(RenewKey{Channel: g.host.ID, Server: "havel.example", Next: first})
	back := Succession{Server: "havel.example", Previous: next.key(), Key: g.havel.key()}
	again := SignedKey{Key: g.havel.key(), By: ed25519.Sign(next.private, back.SigningBytes())}
	if _, err := g.kobo.do(g.host.Clone(), g.ana, RenewKey{Channel: g.host.ID, Server: "havel.example", Next: again}); err == nil {
		t.Error("a key that was replaced came back")
	}
}
