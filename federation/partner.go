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

// AddPartner fetches for whom by names who the server says it is and keeps it as pending, with the fingerprint of its
// key for the administrator to compare. A key that is pinned already stays pinned: a different one
// puts the partner on hold.
func (x *Exchange) AddPartner(ctx context.Context, by, name string) (threads.Partner, error) {
	if _, err := ParseServerName(name); err != nil {
		return threads.Partner{}, threads.Refuse(threads.Invalid, "invalid", "/name", err.Error())
	}
	if name == x.Server {
		return threads.Partner{}, threads.Refuse(threads.Invalid, "invalid", "/name", "is this server itself")
	}
	found, err := x.fetchWellKnown(ctx, name)
	if err != nil {
		return threads.Partner{}, unreachable(err)
	}
	p, err := x.decide(ctx, by, name, func(p *threads.Partner) error {
		if p.State == threads.PartnerAllowed {
			found.judge(p)
			return nil
		}
		if p.State == "" {
			p.State, p.Added = threads.PartnerPending, x.Clock()
		}
		p.Fingerprint, p.Versions = Fingerprint(found.newest().Public), found.Versions
		return nil
	})
	if err != nil || p.State == threads.PartnerAllowed {
		return p, err
	}
	x.strangers.drop(name)
	x.greet(ctx, name)
	return p, nil
}

func unreachable(err error) error {
	return &threads.Error{Kind: threads.Unavailable, Code: "unreachable", Field: "/name", Text: err.Error(), Cause: err}
}

// AllowPartner pins the partner's key and begins to exchange with it. The key is the one whose
// fingerprint the administrator gives, or with "" the one that AddPartner showed: a server that
// shows another one now is refused, and so is one whose name resembles another's.
func (x *Exchange) AllowPartner(ctx context.Context, by, name, fingerprint string) (threads.Partner, error) {
	p, err := x.partner(ctx, name)
	if err != nil {
		return p, err
	}
	if p.State != threads.PartnerAllowed {
		if err := x.unmistakable(ctx, name); err != nil {
			return p, err
		}
	}
	return x.allow(ctx, by, p, fingerprint)
}

// AllowConfusable is AllowPartner for a server whose name may resemble another's: the administrator says that
// it is this one which is meant.
func (x *Exchange) AllowConfusable(ctx context.Context, by, name, fingerprint string) (threads.Partner, error) {
	p, err := x.partner(ctx, name)
	if err != nil {
		return p, err
	}
	return x.allow(ctx, by, p, fingerprint)
}

func (x *Exchange) allow(ctx context.Context, by string, p threads.Partner, fingerprint string) (threads.Partner, error) {
	if fingerprint == "" {
		fingerprint = p.Fingerprint
	}
	if p.State == "" || fingerprint == "" {
		return p, threads.Refuse(threads.Conflict, "unknown_fingerprint", "/fingerprint", "add the partner first and compare the fingerprint that it shows with its administrators")
	}
	found := acquainted{Keys: []threads.Key{p.Key}, Versions: p.Versions}
	pinned := p.State == threads.PartnerBlocked && p.Key.ID != "" && strings.EqualFold(Fingerprint(p.Key.Public), fingerprint)
	if !pinned {
		var err error
		if found, err = x.fetchWellKnown(ctx, p.Name); err != nil {
			return p, unreachable(err)
		}
	}
	for _, k := range found.Keys {
		if strings.EqualFold(Fingerprint(k.Public), fingerprint) {
			return x.begin(ctx, by, found.partner(p.Name, k))
		}
	}
	return p, threads.Refuse(threads.Conflict, "fingerprint", "/fingerprint", "is not that of the key which the server shows now, "+Fingerprint(found.newest().Public)+"; ask its administrators")
}

// begin makes a server a partner whose key is pinned, and wakes its courier.
func (x *Exchange) begin(ctx context.Context, by string, as threads.Partner) (threads.Partner, error) {
	p, err := x.decide(ctx, by, as.Name, func(p *threads.Partner) error {
		if p.State == "" {
			p.Added = x.Clock()
		}
		p.State, p.Key, p.Fingerprint, p.Verified, p.Hold = threads.PartnerAllowed, as.Key, Fingerprint(as.Key.Public), true, ""
		p.Versions = as.Versions
		if as.Keys != nil {
			p.Keys = as.Keys
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	x.Log.Info("partner allowed", "partner", p.Name, "fingerprint", p.Fingerprint)
	x.courier(p.Name).retry() // the partner hears from us at once, which ends its back-off
	x.keysChanged()
	return p, nil
}

// BlockPartner ends all exchange with a server; what is held of it is kept.
func (x *Exchange) BlockPartner(ctx context.Context, by, name string) (threads.Partner, error) {
	if _, err := ParseServerName(name); err != nil {
		return threads.Partner{}, threads.Refuse(threads.Invalid, "invalid", "/name", err.Error())
	}
	p, err := x.decide(ctx, by, name, func(p *threads.Partner) error {
		if p.State == "" {
			p.Added = x.Clock()
		}
		p.State = threads.PartnerBlocked
		return nil
	})
	if err != nil {
		return p, err
	}
	x.Log.Info("partner blocked", "partner", name)
	return p, nil
}

// PausePartner stops all exchange with a server until ResumePartner, over restarts too: nothing is
// sent or fetched, and it is told to come back later.
func (x *Exchange) PausePartner(ctx context.Context, by, name string) (threads.Partner, error) {
	return x.halt(ctx, by, name, true)
}

// ResumePartner ends a pause; what gathered meanwhile is exchanged at once.
func (x *Exchange) ResumePartner(ctx context.Context, by, name string) (threads.Partner, error) {
	p, err := x.halt(ctx, by, name, false)
	if err == nil {
		x.courier(name).retry()
	}
	return p, err
}

func (x *Exchange) halt(ctx context.Context, by, name string, paused bool) (threads.Partner, error) {
	p, err := x.decide(ctx, by, name, func(p *threads.Partner) error {
		if p.State == "" {
			return errNoPartner()
		}
		p.Paused = paused
		return nil
	})
	if err != nil {
		return p, err
	}
	x.Log.Info("partner paused or resumed", "partner", name, "paused", paused)
	x.courier(name).wake()
	return p, nil
}

// RetryPartner tries a partner again at once, parked channels included.
func (x *Exchange) RetryPartner(ctx context.Context, name string) (threads.Partner, error) {
	p, err := x.entered(ctx, name)
	if err == nil {
		x.courier(name).retry()
	}
	return p, err
}

// ResyncPartner is RetryPartner, and compares every shared channel again with what the partner holds,
// in both directions, whatever was taken for granted before.
func (x *Exchange) ResyncPartner(ctx context.Context, name string) (threads.Partner, error) {
	p, err := x.entered(ctx, name)
	if err == nil {
		x.courier(name).resync()
	}
	return p, err
}

// entered is a partner that somebody decided about or that was seen; others are refused.
func (x *Exchange) entered(ctx context.Context, name string) (threads.Partner, error) {
	p, err := x.partner(ctx, name)
	if err == nil && p.State == "" {
		err = errNoPartner()
	}
	return p, err
}

func errNoPartner() error {
	return threads.Refuse(threads.NotFound, "not_found", "", "there is no partner of that name")
}

// SharedChannels are the channels that a server is a member of, by id, at most limit.
func (x *Exchange) SharedChannels(ctx context.Context, name string, limit int) ([]threads.NamedChannel, error) {
	ids, err := x.Neighbours.ChannelsWith(ctx, name, "", limit)
	if err != nil {
		return nil, fmt.Errorf("list channels with %s: %w", name, err)
	}
	var channels []threads.NamedChannel
	for _, id := range ids {
		ch, err := x.Journal.Channel(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("load channel %s: %w", id, err)
		}
		if ch != nil && ch.IsMember(name) {
			channels = append(channels, threads.NamedChannel{ID: id, Name: ch.Settings.Name})
		}
	}
	return channels, nil
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

// decide changes what was decided about a server, for whom by names. Changes come one after another, so that none undoes
// another that was made meanwhile.
func (x *Exchange) decide(ctx context.Context, by, name string, change func(*threads.Partner) error) (threads.Partner, error) {
	x.deciding.Lock()
	defer x.deciding.Unlock()
	if x.Alone != nil {
		end, err := x.Alone(ctx, "partner "+name)
		if err != nil {
			return threads.Partner{Name: name}, err
		}
		defer end()
	}
	p, err := x.partner(ctx, name)
	if err != nil {
		return p, err
	}
	if err := change(&p); err != nil {
		return p, err
	}
	if err := x.Options.Partners.SavePartner(ctx, p, threads.Act{Who: by, At: x.Clock()}); err != nil {
		return p, fmt.Errorf("save partner %s: %w", name, err)
	}
	x.forget(name)
	return p, nil
}

// newest is the key that a server shows last.
func (a acquainted) newest() threads.Key { return a.Keys[len(a.Keys)-1] }

func (a acquainted) shows(k threads.Key) bool {
	return slices.ContainsFunc(a.Keys, func(f threads.Key) bool { return f.Public.Equal(k.Public) })
}

// judge takes up what an allowed partner shows: the pinned key proves its name by TLS; another one takes
// its place where the pinned one signed it, else the partner is on hold until an administrator has
// looked.
func (a acquainted) judge(p *threads.Partner) {
	if !a.shows(p.Key) && a.leads(p.Key) {
		p.Key = a.newest()
	}
	if a.shows(p.Key) {
		p.Verified, p.Hold, p.Fingerprint, p.Keys = true, "", Fingerprint(p.Key.Public), a.lineage(p.Key)
		return
	}
	p.Fingerprint = Fingerprint(a.newest().Public)
	p.Hold = fmt.Sprintf("its key is no longer the pinned one: pinned %s, now %s; if its administrators confirm the new one, allow the partner again with that fingerprint",
		Fingerprint(p.Key.Public), p.Fingerprint)
}

// errUnchanged ends a change that has nothing to change.
var errUnchanged = errors.New("nothing was changed")

// keyCheckEvery is how often a partner's document is compared with what is pinned.
const keyCheckEvery = time.Hour
