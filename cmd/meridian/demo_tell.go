package main

import (
	"context"
	"errors"
	"net/http"
)

// toldThread is a thread of the story that was posted.
type toldThread struct {
	id, title string
	lines     []string // ids of its messages
}

// listed is a page of a list.
type listed[T any] struct {
	Items []T `json:"items"`
}

// makeChannel has Kobo's administrator make the channel and bring everybody in:
// their own people at once, Havel's by invitation.
func (d *demo) makeChannel(ctx context.Context) error {
	host, _ := d.person(d.houses[0].people[0].name)
	var made struct{ ID string }
	in := map[string]any{"name": storyChannel, "purpose": storyPurpose, "kind": "work", "history": "full"}
	if err := host.call(ctx, http.MethodPost, "/channels", in, &made); err != nil {
		return err
	}
	d.channel = made.ID
	for _, h := range d.houses {
		for i, p := range h.people {
			guest, account := d.person(p.name)
			if guest == host {
				continue
			}
			role := map[bool]string{true: "owner", false: "member"}[i == 0]
			if err := host.call(ctx, http.MethodPost, "/channels/"+d.channel+"/members", map[string]any{"address": account.Address, "role": role}, nil); err != nil {
				return err
			}
			if h == d.houses[0] {
				continue
			}
			if err := d.accept(ctx, guest); err != nil {
				return err
			}
		}
	}
	return nil
}

// accept waits for the invitation, accepts it and waits until the channel is there.
func (d *demo) accept(ctx context.Context, guest visitor) error {
	var invitation struct{ ID, Channel, State, Error string }
	find := func() (bool, error) {
		var all listed[struct{ ID, Channel, State, Error string }]
		err := guest.call(ctx, http.MethodGet, "/invitations", nil, &all)
		for _, i := range all.Items {
			if i.Channel == d.channel {
				invitation = i
				return true, err
			}
		}
		return false, err
	}
	if err := until(ctx, "has the invitation", find); err != nil {
		return err
	}
	if err := guest.call(ctx, http.MethodPost, "/invitations/"+invitation.ID+"/accept", nil, nil); err != nil {
		return err
	}
	return until(ctx, "has joined", func() (bool, error) {
		if guest.call(ctx, http.MethodGet, "/channels/"+d.channel, nil, nil) == nil {
			return true, nil
		}
		_, err := find()
		if invitation.State == "failed" {
			err = errors.New("joining failed: " + invitation.Error)
		}
		return false, err
	})
}

// tell posts the story line by line, in the order of its clock, each line after
// the one it answers has reached its author's server.
func (d *demo) tell(ctx context.Context) error {
	plot := story()
	d.told = make([]toldThread, len(plot))
	next := make([]int, len(plot))
	for {
		t := -1
		for i := range plot {
			if next[i] == len(plot[i].lines) {
				continue
			}
			if t < 0 || plot[i].lines[next[i]].at < plot[t].lines[next[t]].at {
				t = i
			}
		}
		if t < 0 {
			return nil
		}
		l := plot[t].lines[next[t]]
		next[t]++
		d.clock.at(l.at)
		if err := d.say(ctx, t, l); err != nil {
			return err
		}
	}
}

// say posts one line, as the first of its thread or into it, and waits until
// both servers have it.
func (d *demo) say(ctx context.Context, thread int, l line) error {
	author, _ := d.person(l.who)
	told := &d.told[thread]
	if l.reply < 0 {
		plot := story()[thread]
		told.title = plot.title
		var made struct{ ID string }
		in := map[string]any{"title": plot.title, "objective": plot.objective, "body": l.text}
		if err := author.call(ctx, http.MethodPost, "/channels/"+d.channel+"/threads", in, &made); err != nil {
			return err
		}
		told.id = made.ID
		var first listed[struct{ ID string }]
		if err := author.call(ctx, http.MethodGet, "/threads/"+told.id+"/messages", nil, &first); err != nil {
			return err
		}
		told.lines = []string{first.Items[0].ID}
	} else {
		var made struct{ ID string }
		in := map[string]any{"body": l.text, "reply_to": told.lines[l.reply]}
		if err := author.call(ctx, http.MethodPost, "/threads/"+told.id+"/messages", in, &made); err != nil {
			return err
		}
		told.lines = append(told.lines, made.ID)
	}
	newest := told.lines[len(told.lines)-1]
	return until(ctx, "is read on both sides", func() (bool, error) {
		for _, h := range d.houses {
			if h.visitor(h.signedIn[0].Token).call(ctx, http.MethodGet, "/messages/"+newest, nil, nil) != nil {
				return false, nil
			}
		}
		return true, nil
	})
}
