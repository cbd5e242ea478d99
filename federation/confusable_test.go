package federation_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/threads"
)

// spoken is what a server said to its log.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *spoken) holds(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// T71: a server whose name people take for a partner's becomes one only if an administrator says that it is meant.
func TestAServerThatResemblesAPartnerIsAllowedOnlyExplicitly(t *testing.T) {
	authority, ctx := newAuthority(t), context.Background()
	acme, havel := newSecured(t, authority, "acme.example"), newSecured(t, authority, "havel.example")
	befriend(t, acme.site, havel.site)
	taken := havel.name
	for _, host := range []string{"have1.example", "xn--vel-5cd80e.example"} { // the second has Cyrillic letters
		other := newSecured(t, authority, host)
		if _, err := acme.exchange.AddPartner(ctx, threads.ByAdmin, other.name); err != nil {
			t.Fatal(err)
		}
		if like, err := acme.exchange.Resembles(ctx, other.name); err != nil || like != taken {
			t.Errorf("%s resembles %q, %v", other.name, like, err)
		}
		p, err := acme.exchange.AllowPartner(ctx, threads.ByAdmin, other.name, "")
		var refused *threads.Error
		if !errors.As(err, &refused) || refused.Code != "confusable" || p.State != threads.PartnerPending {
			t.Errorf("%s: %v, and is %s", other.name, err, p.State)
		}
		if p, err := acme.exchange.AllowConfusable(ctx, threads.ByAdmin, other.name, ""); err != nil || p.State != threads.PartnerAllowed {
			t.Errorf("%s: %v, and is %s", other.name, err, p.State)
		}
		if _, err := acme.exchange.AllowPartner(ctx, threads.ByAdmin, other.name, ""); err != nil {
			t.Errorf("%s, allowed already: %v", other.name, err)
		}
		taken = other.name // comes first by name
	}
}

// T71: where federation is open, a stranger is welcome, but not one whose name is taken for a partner's.
func TestAnOpenServerWelcomesNobodyWhoResemblesAPartner(t *testing.T) {
	authority, ctx := newAuthority(t), context.Background()
	acme, havel := newSecured(t, authority, "acme.example"), newSecured(t, authority, "havel.example")
	befriend(t, acme.site, havel.site)
	said := &spoken{}
	acme.close()
	acme.welcomes, acme.said = true, said
	acme.open()
	known := func(name string) threads.PartnerState {
		p, err := acme.store.Partner(ctx, name)
		if err != nil && !errors.As(err, new(*threads.Error)) {
			t.Fatal(err)
		}
		return p.State
	}
	plain, like := newSecured(t, authority, "kobo.example"), newSecured(t, authority, "have1.example")
	for _, stranger := range []*secured{like, plain} {
		for _, step := range []func() (threads.Partner, error){
			func() (threads.Partner, error) { return stranger.exchange.AddPartner(ctx, threads.ByAdmin, acme.name) },
			func() (threads.Partner, error) {
				return stranger.exchange.AllowPartner(ctx, threads.ByAdmin, acme.name, "")
			},
		} {
			if _, err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, time.Minute, "the stranger with a name of its own is welcome", func() bool { return known(plain.name) == threads.PartnerAllowed })
	eventually(t, time.Minute, "the other is named to the administrator", func() bool {
		return said.holds("resembles="+havel.name) && said.holds("server="+like.name)
	})
	if state := known(like.name); state == threads.PartnerAllowed {
		t.Errorf("%s is %s", like.name, state)
	}
}
