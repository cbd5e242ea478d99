package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// AddPartner fetches who the server says it is and keeps it as pending, with the fingerprint of its
// key for the administrator to compare. A key that is pinned already stays pinned: a different one
// is an error that shows both.
func (x *Exchange) AddPartner(ctx context.Context, name string) (threads.Partner, error) {
	if _, err := ParseServerName(name); err != nil {
		return threads.Partner{}, threads.Refuse(threads.Invalid, "invalid", "/name", err.Error())
	}
	if name == x.Server {
		return threads.Partner{}, threads.Refuse(threads.Invalid, "invalid", "/name", "is this server itself")
	}
	found, err := x.fetchWellKnown(ctx, name)
	if err != nil {
		return threads.Partner{}, &threads.Error{Kind: threads.Unavailable, Code: "unreachable", Field: "/name", Text: err.Error(), Cause: err}
	}
	p, err := x.partner(ctx, name)
	if err != nil {
		return threads.Partner{}, err
	}
	newest := found.Keys[len(found.Keys)-1]
	if p.Key.ID != "" && p.State == threads.PartnerAllowed {
		if slices.ContainsFunc(found.Keys, func(k threads.Key) bool { return k.ID == p.Key.ID }) {
			p.Hold, p.Verified = "", true
		} else {
			p.Hold = keyChanged(p.Key, newest)
			p.Fingerprint = Fingerprint(newest.Public)
		}
		return p, x.savePartner(ctx, p)
	}
	if p.State == "" {
		p.Name, p.State, p.Added = name, threads.PartnerPending, x.Clock()
	}
	p.Fingerprint, p.Versions = Fingerprint(newest.Public), found.Versions
	if err := x.savePartner(ctx, p); err != nil {
		return p, err
	}
	x.greet(ctx, name)
	return p, nil
}

func keyChanged(pinned, seen threads.Key) string {
	return fmt.Sprintf("its key is no longer the pinned one: pinned %s, now %s; if its administrators confirm the new one, allow the partner again with that fingerprint",
		Fingerprint(pinned.Public), Fingerprint(seen.Public))
}

// AllowPartner pins the partner's key and begins to exchange with it. The key is the one whose
// fingerprint the administrator gives, or with "" the one that AddPartner showed: a server that
// shows another one now is refused.
func (x *Exchange) AllowPartner(ctx context.Context, name, fingerprint string) (threads.Partner, error) {
	p, err := x.partner(ctx, name)
	if err != nil {
		return p, err
	}
	if fingerprint == "" {
		fingerprint = p.Fingerprint
	}
	if p.State == "" || fingerprint == "" {
		return p, threads.Refuse(threads.Conflict, "unknown_fingerprint", "/fingerprint", "add the partner first and compare the fingerprint that it shows with its administrators")
	}
	if p.State == threads.PartnerBlocked && p.Key.ID != "" && Fingerprint(p.Key.Public) == fingerprint {
		p.State, p.Hold = threads.PartnerAllowed, ""
		return p, x.begin(ctx, p)
	}
	found, err := x.fetchWellKnown(ctx, name)
	if err != nil {
		return p, &threads.Error{Kind: threads.Unavailable, Code: "unreachable", Text: err.Error(), Cause: err}
	}
	for _, k := range found.Keys {
		if strings.EqualFold(Fingerprint(k.Public), fingerprint) {
			p.State, p.Key, p.Fingerprint, p.Verified, p.Hold = threads.PartnerAllowed, k, Fingerprint(k.Public), true, ""
			p.Versions = found.Versions
			return p, x.begin(ctx, p)
		}
	}
	return p, threads.Refuse(threads.Conflict, "fingerprint", "/fingerprint", "is not that of the key which the server shows now, "+Fingerprint(found.Keys[len(found.Keys)-1].Public)+"; ask its administrators")
}

// begin stores a partner that may be exchanged with from now on, and wakes its courier.
func (x *Exchange) begin(ctx context.Context, p threads.Partner) error {
	if err := x.savePartner(ctx, p); err != nil {
		return err
	}
	x.Log.Info("partner allowed", "partner", p.Name, "fingerprint", p.Fingerprint)
	x.courier(p.Name).rouse()
	return nil
}

// BlockPartner ends all exchange with a server; what is held of it is kept.
func (x *Exchange) BlockPartner(ctx context.Context, name string) (threads.Partner, error) {
	if _, err := ParseServerName(name); err != nil {
		return threads.Partner{}, threads.Refuse(threads.Invalid, "invalid", "/name", err.Error())
	}
	p, err := x.partner(ctx, name)
	if err != nil {
		return p, err
	}
	if p.State == "" {
		p.Name, p.Added = name, x.Clock()
	}
	p.State = threads.PartnerBlocked
	if err := x.savePartner(ctx, p); err != nil {
		return p, err
	}
	x.Log.Info("partner blocked", "partner", name)
	return p, nil
}

// RetryPartner tries a partner again at once, parked channels included.
func (x *Exchange) RetryPartner(ctx context.Context, name string) error {
	p, err := x.partner(ctx, name)
	if err != nil {
		return err
	}
	if p.State == "" {
		return threads.Refuse(threads.NotFound, "not_found", "", "there is no partner of that name")
	}
	x.courier(name).retry()
	return nil
}

// partner is the partner of that name, one without a state when there is none.
func (x *Exchange) partner(ctx context.Context, name string) (threads.Partner, error) {
	p, err := x.Options.Partners.Partner(ctx, name)
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.NotFound {
		return threads.Partner{Name: name}, nil
	}
	if err != nil {
		return p, fmt.Errorf("look up partner %s: %w", name, err)
	}
	return p, nil
}

func (x *Exchange) savePartner(ctx context.Context, p threads.Partner) error {
	if err := x.Options.Partners.SavePartner(ctx, p); err != nil {
		return fmt.Errorf("save partner %s: %w", p.Name, err)
	}
	x.forget(p.Name)
	return nil
}

// hold stops the exchange with a partner until an administrator has looked.
func (x *Exchange) hold(ctx context.Context, p threads.Partner, why string) error {
	if p.Hold == why {
		return nil
	}
	p.Hold = why
	x.Log.Error("partner on hold", "partner", p.Name, "reason", why)
	return x.savePartner(ctx, p)
}

// checkKey compares what a server shows with what is known of it: a partner that shows another key
// than the pinned one is put on hold; the same key proves the name by TLS, also that of a member of a
// shared channel that is no partner.
func (x *Exchange) checkKey(ctx context.Context, name string) error {
	found, err := x.fetchWellKnown(ctx, name)
	if err != nil {
		return err
	}
	x.forget(name)
	a, err := x.acquaintance(ctx, name)
	if err != nil {
		return err
	}
	shows := func(k threads.Key) bool {
		return slices.ContainsFunc(found.Keys, func(f threads.Key) bool { return f.Public.Equal(k.Public) })
	}
	p := a.partner
	switch {
	case p.State == threads.PartnerAllowed && !shows(p.Key):
		return x.hold(ctx, p, keyChanged(p.Key, found.Keys[len(found.Keys)-1]))
	case p.State == "" || p.Verified || p.State == threads.PartnerPending && !slices.ContainsFunc(a.members, shows):
		return nil
	}
	p.Verified = true
	return x.savePartner(ctx, p)
}

// keyCheckEvery is how often a partner's document is compared with what is pinned.
const keyCheckEvery = time.Hour
