package api

import (
	"context"
	"errors"
	"net/http"

	"meridian/threads"
)

type succeedChannel struct {
	ChannelPath
	Once
}

// Successor is a channel that goes on from another.
type Successor struct {
	Channel Channel  `json:"channel"`
	Invited []string `json:"invited" nullable:"false" doc:"Addresses of those who were asked to join, or are in already."`
	Left    []Absent `json:"left_out" nullable:"false" doc:"Members of the old channel who could not be asked."`
}

// Absent is somebody who was not asked to join, and why.
type Absent struct {
	Address string `json:"address"`
	Reason  string `json:"reason"`
}

type successorOut struct{ Body Successor }

// succeedChannel makes the new channel with the old one's settings and asks
// everybody in who was in the old one, in the role that they had.
func (a *API) succeedChannel(ctx context.Context, c *caller, in *succeedChannel) (*successorOut, error) {
	old, role, err := a.member(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	if !role.Gives(threads.RightWork) {
		return nil, refusal(http.StatusForbidden, "role", "only members and owners can start a successor channel")
	}
	command := threads.CreateChannel{Settings: old.Settings, Follows: old.Cite()}
	done, err := a.doOnce(ctx, c, command, in.Once, in.ID)
	if err != nil {
		return nil, err
	}
	out := &successorOut{Successor{Invited: []string{}, Left: []Absent{}}}
	if err := a.bringAlong(ctx, c, old, done.IDs[0], &out.Body); err != nil {
		return nil, err
	}
	made, err := a.channel(ctx, c, done.IDs[0])
	if err != nil {
		return nil, err
	}
	out.Body.Channel = made.Body
	return out, nil
}

// bringAlong has people of this server join and invites the others; whoever
// cannot be asked keeps nobody else from it.
func (a *API) bringAlong(ctx context.Context, c *caller, old *threads.Channel, to threads.Hash, out *Successor) error {
	people := old.People()
	known, err := a.People.PeopleByID(ctx, idsOf(people))
	if err != nil {
		return err
	}
	for _, p := range people {
		if p.ID == c.person.ID {
			continue
		}
		var refused *threads.Error
		err := a.bring(ctx, c, to, known[p.ID], p)
		switch errors.As(err, &refused); {
		case err == nil || refused != nil && refused.Code == "already_member":
			out.Invited = append(out.Invited, known[p.ID].Address)
		case refused == nil || refused.Kind == threads.Internal || refused.Kind == threads.Unavailable:
			return err
		default:
			out.Left = append(out.Left, Absent{known[p.ID].Address, refused.Text})
		}
	}
	return nil
}

func (a *API) bring(ctx context.Context, c *caller, to threads.Hash, known threads.PersonRecord, p threads.Person) (err error) {
	switch {
	case known.Disabled:
		err = threads.Refuse(threads.Conflict, "disabled", "", "their account is disabled")
	case known.Local:
		_, err = a.do(ctx, c, threads.Join{Channel: to, Person: p.ID, Role: p.Role})
	case known.Address == "":
		err = threads.Refuse(threads.NotFound, "not_found", "", "their address is not known here")
	default:
		_, err = a.Membership.Invite(ctx, Invite{Actor: c.person.ID, Channel: to, Address: known.Address, Role: p.Role})
	}
	return err
}
