package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"meridian/threads"
)

// NewAsk is what a message asks of people.
type NewAsk struct {
	Of      []string   `json:"of" minItems:"1" maxItems:"50" nullable:"false" doc:"Addresses of members of the channel."`
	Urgency string     `json:"urgency,omitempty" enum:"standard,low,urgent" default:"standard"`
	Due     *time.Time `json:"due,omitempty" doc:"When their answers are due; without it, what their working time and the urgency come to, for each of them (see /expectation)."`
	Reason  string     `json:"reason,omitempty" maxLength:"500" doc:"Why it cannot wait; required for what is urgent."`
}

// Ask is what a message asks of people, and what became of it.
type Ask struct {
	Urgency string  `json:"urgency" enum:"standard,low,urgent"`
	Reason  string  `json:"reason,omitempty"`
	Of      []Asked `json:"of" nullable:"false"`
}

// Asked is one whom a message asks.
type Asked struct {
	Person string    `json:"person" doc:"Address."`
	Due    time.Time `json:"due" doc:"When the answer is due, as the asker's server wrote it down: the same at every partner."`
	Basis  string    `json:"basis" enum:"profile,zone,default,elapsed,named" doc:"How that was reckoned, as /expectation says it; named: the asker named the instant."`
	Zone   string    `json:"zone,omitempty" doc:"In which the hours were reckoned."`
	State  string    `json:"state" enum:"open,answered,withdrawn,declined" doc:"The first direct reply of theirs is the answer."`
	Answer string    `json:"answer,omitempty" doc:"Id of that reply."`
}

// Waiting is an open ask of one person.
type Waiting struct {
	Message     string    `json:"message" doc:"Id of the message that asks."`
	Channel     string    `json:"channel"`
	Thread      string    `json:"thread"`
	ThreadTitle string    `json:"thread_title"`
	Time        time.Time `json:"time" doc:"Of the message."`
	Author      string    `json:"author" doc:"Address of who asks."`
	Urgency     string    `json:"urgency" enum:"standard,low,urgent"`
	Asked
}

func askedOf(addresses map[string]string, r *threads.AskRecord) Asked {
	return Asked{
		Person: addresses[r.Person], Due: r.Due, Basis: string(r.Basis), Zone: r.Zone, State: string(r.State), Answer: r.Answer,
	}
}

func askOf(addresses map[string]string, m *threads.MessageRecord) *Ask {
	if m.Ask == nil {
		return nil
	}
	shown := &Ask{Urgency: string(m.Ask.Urgency), Reason: m.Ask.Reason, Of: []Asked{}}
	for i := range m.Asks {
		shown.Of = append(shown.Of, askedOf(addresses, &m.Asks[i]))
	}
	return shown
}

type inbox struct {
	View string `query:"view" required:"true" enum:"asked,waiting" doc:"asked: what is asked of you. waiting: what you asked of others."`
	Paged
}

func (a *API) askRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/inbox", id: "inbox", tag: "work",
		summary: "Open asks, what is due first foremost: of you, or by you of others",
	}, a.inbox)
	register(a, operation{
		method: http.MethodPost, path: "/messages/{id}/decline", id: "decline-ask", tag: "work",
		summary: "Say that you will not answer what a message asks of you",
	}, func(ctx context.Context, c *caller, in *MessagePath) (*versioned[Message], error) {
		return a.settleAsk(ctx, c, in.ID, func(m *threads.MessageRecord) threads.Command {
			return threads.DeclineAsk{Channel: m.Channel, Target: m.ID}
		})
	})
	register(a, operation{
		method: http.MethodPost, path: "/messages/{id}/withdraw", id: "withdraw-ask", tag: "work",
		summary: "Take back what a message of yours asks, of everybody who has not answered",
	}, func(ctx context.Context, c *caller, in *MessagePath) (*versioned[Message], error) {
		return a.settleAsk(ctx, c, in.ID, func(m *threads.MessageRecord) threads.Command {
			return threads.WithdrawAsk{Channel: m.Channel, Target: m.ID}
		})
	})
}

// settleAsk says something about an ask; the message shows what that came to.
func (a *API) settleAsk(ctx context.Context, c *caller, id threads.Hash, command func(*threads.MessageRecord) threads.Command) (*versioned[Message], error) {
	m, err := a.messageRecord(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if _, err := a.do(ctx, c, command(&m)); err != nil {
		return nil, err
	}
	return a.message(ctx, c, id)
}

func (a *API) inbox(ctx context.Context, c *caller, in *inbox) (*listed[Waiting], error) {
	view := threads.AsksOfMe
	if in.View == "waiting" {
		view = threads.AsksOfOthers
	}
	found, next, err := a.Messages.Asks(ctx, c.person.ID, view, in.page())
	if err != nil {
		return nil, err
	}
	var people []string
	for i := range found {
		people = append(people, found[i].Author, found[i].Person)
	}
	addresses, err := a.names.addresses(ctx, people...)
	if err != nil {
		return nil, err
	}
	return listOf(ctx, found, next, func(r threads.AskRecord) Waiting {
		return Waiting{
			Message: r.Message, Channel: r.Channel, Thread: r.Thread, ThreadTitle: r.ThreadTitle, Time: r.Time.UTC(),
			Author: addresses[r.Author], Urgency: string(r.Urgency), Asked: askedOf(addresses, &r),
		}
	}), nil
}

// ask is what a message asks, with the instants by which answers are due, reckoned now.
func (a *API) ask(ctx context.Context, c *caller, in *NewAsk) (*threads.Ask, error) {
	if in == nil {
		return nil, nil
	}
	asker, err := a.People.Person(ctx, c.person.ID)
	if err != nil {
		return nil, err
	}
	ask := &threads.Ask{Urgency: threads.Urgency(in.Urgency), Reason: in.Reason}
	for i, address := range in.Of {
		one, err := a.asked(ctx, &asker, address, in)
		var refused *threads.Error
		if errors.As(err, &refused) {
			at := *refused
			at.Field = "/ask/of/" + strconv.Itoa(i)
			err = &at
		}
		if err != nil {
			return nil, err
		}
		ask.Of = append(ask.Of, one)
	}
	return ask, nil
}

func (a *API) asked(ctx context.Context, asker *threads.PersonRecord, address string, in *NewAsk) (threads.Asked, error) {
	p, err := a.addressed(ctx, address)
	if isKind(err, threads.NotFound) {
		err = threads.Refuse(threads.Invalid, "invalid", "", "nobody of that address is known here")
	}
	if err != nil {
		return threads.Asked{}, err
	}
	if in.Due != nil {
		return threads.Asked{Person: p.ID, Due: in.Due.UTC().Truncate(time.Millisecond), Basis: threads.BasisNamed}, nil
	}
	e, err := threads.Expect(&p, asker, threads.Urgency(in.Urgency), exchangeOf(ctx).now)
	return threads.Asked{Person: p.ID, Due: e.Due.UTC().Truncate(time.Millisecond), Basis: e.Basis, Zone: zoneOf(e)}, err
}

func zoneOf(e threads.Expectation) string {
	if e.Zone == nil {
		return ""
	}
	return e.Zone.String()
}
