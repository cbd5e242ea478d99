package threads

import (
	"crypto/ed25519"
	"errors"
	"testing"
)

// takeOver makes the command by which a's server becomes the host.
func (a *actor) takeOver(c *Channel) HandOver {
	accept := HostAcceptance{Channel: c.ID, From: c.Host, Host: a.name, Prev: c.Control.Hash}
	return HandOver{Channel: c.ID, Server: a.name, Prev: c.Control.Hash, Acceptance: ed25519.Sign(a.private, accept.SigningBytes())}
}

func TestNewHostWritesTheControlLogAfterTheHandOver(t *testing.T) {
	g := newGuestbook(t)
	g.command(ChangeRole{Channel: g.host.ID, Person: g.mia, Role: RoleOwner})
	g.control = append(g.control, g.kobo.must(g.host, g.mia, g.havel.takeOver(g.host))...)
	if _, err := g.kobo.do(g.host.Clone(), g.ana, ChangeSettings{Channel: g.host.ID, Settings: Settings{Name: "too late"}}); err == nil {
		t.Error("the old host goes on writing the control log")
	}
	g.hear()
	g.control = append(g.control, g.havel.must(g.away, g.ana, ChangeSettings{Channel: g.away.ID, Settings: Settings{Name: "renamed"}})...)
	g.control = append(g.control, g.havel.must(g.away, g.mia, RemoveServer{Channel: g.away.ID, Server: "kobo.example"})...)
	c := replica(t, g.control)
	if c.Host != "havel.example" || c.Settings.Name != "renamed" || c.IsMember("kobo.example") {
		t.Errorf("host %s, name %q, the old host is a member: %v", c.Host, c.Settings.Name, c.IsMember("kobo.example"))
	}
}

func TestHandOverNeedsTheNewHostsWordForThisPlace(t *testing.T) {
	g := newGuestbook(t)
	g.command(ChangeRole{Channel: g.host.ID, Person: g.mia, Role: RoleOwner})
	good := g.havel.takeOver(g.host)
	stale := good
	g.command(ChangeSettings{Channel: g.host.ID, Settings: Settings{Purpose: "cranes"}})
	forged := g.havel.takeOver(g.host)
	forged.Acceptance = ed25519.Sign(g.kobo.private, HostAcceptance{Channel: g.host.ID, From: "kobo.example", Host: "havel.example", Prev: g.host.Control.Hash}.SigningBytes())
	replayed := stale
	replayed.Prev = g.host.Control.Hash
	stranger := g.havel.takeOver(g.host)
	stranger.Server = "stranger.example"
	for name, try := range map[string]struct {
		actor string
		HandOver
		code string
	}{
		"of an earlier place":                    {g.mia, stale, "stale_acceptance"},
		"of an earlier place, said to be of now": {g.mia, replayed, "acceptance"},
		"signed by the old host":                 {g.mia, forged, "acceptance"},
		"by an owner elsewhere":                  {g.ana, g.havel.takeOver(g.host), "ask_there"},
		"to a server that is no member":          {g.mia, stranger, "not_found"},
	} {
		_, err := g.kobo.do(g.host.Clone(), try.actor, try.HandOver)
		var refused *Error
		var bad *DecodeError
		if !(errors.As(err, &refused) && refused.Code == try.code) && !(errors.As(err, &bad) && bad.Code == try.code) {
			t.Errorf("%s: %v, want %s", name, err, try.code)
		}
	}
	if again, err := g.kobo.do(g.host.Clone(), g.ana, HandOver{Channel: g.host.ID, Server: "kobo.example"}); err != nil || len(again) != 0 {
		t.Errorf("to who is the host already: %v, %d events", err, len(again))
	}
}
