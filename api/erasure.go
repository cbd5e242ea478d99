package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"meridian/threads"
)

// Erasure is what became of something that people of this server erased.
type Erasure struct {
	ID       string    `json:"id" doc:"Of the erasing event."`
	Kind     string    `json:"kind" enum:"message.erased,person.erased"`
	Channel  string    `json:"channel"`
	Message  string    `json:"message,omitempty" doc:"Absent where all that a person wrote was erased."`
	By       string    `json:"by" doc:"Address of who erased; an opaque id once they are erased themselves."`
	At       time.Time `json:"at"`
	Receipts []Receipt `json:"receipts" nullable:"false" doc:"One for each other server that is or was in the channel."`
}

// Receipt is what another server said of an erasure.
type Receipt struct {
	Partner  string     `json:"partner"`
	State    string     `json:"state" enum:"confirmed,refused,unreachable,pending" doc:"confirmed: it holds nothing of it. refused: it says that it still does. unreachable: it cannot be asked now. pending: the erasure is on its way."`
	Answered *time.Time `json:"answered" doc:"When it last answered; null when it never did."`
	Error    string     `json:"error" doc:"In plain words; empty when there is none."`
	Remedy   string     `json:"remedy"`
}

func erasureOf(addresses map[string]string, e threads.Erasure) Erasure {
	shown := Erasure{
		ID: e.ID, Kind: e.Kind, Channel: e.Channel, Message: e.Target, By: addresses[e.Actor], At: e.At.UTC(),
		Receipts: make([]Receipt, len(e.Receipts)),
	}
	for i, r := range e.Receipts {
		shown.Receipts[i] = Receipt{r.Partner, r.State, unlessZero(r.Answered), r.Error, r.Remedy}
	}
	return shown
}

func (a *API) erasureRoutes() {
	type out struct{ Body Erasure }
	register(a, operation{
		method: http.MethodGet, path: "/messages/{id}/erasure", id: "erasure", tag: "messages",
		summary: "What each partner said of a message that you erased; of any message, to administrators",
	}, func(ctx context.Context, c *caller, in *MessagePath) (*out, error) {
		by := c.person.ID
		if c.person.Admin {
			by = ""
		}
		e, err := a.Erasures.ErasureOf(ctx, by, in.ID)
		if err != nil {
			return nil, unseen(err)
		}
		addresses, err := a.names.addresses(ctx, e.Actor)
		return &out{erasureOf(addresses, e)}, err
	})
	register(a, operation{
		method: http.MethodGet, path: "/admin/erasures", id: "erasures", tag: "admin",
		summary: "What people of this server erased, and what each partner said of it, the newest first",
	}, a.erasures)
	register(a, operation{
		method: http.MethodDelete, path: "/admin/people/{address}", id: "erase-person", tag: "admin",
		summary: "Erase a person of this server with all that they wrote, at every partner and for good; the address is never given again",
	}, a.erasePerson)
}

func (a *API) erasures(ctx context.Context, c *caller, in *Paged) (*listed[Erasure], error) {
	if err := needAdmin(c); err != nil {
		return nil, err
	}
	found, next, err := a.Erasures.Erasures(ctx, in.page())
	if err != nil {
		return nil, err
	}
	var people []string
	for _, e := range found {
		people = append(people, e.Actor)
	}
	addresses, err := a.names.addresses(ctx, people...)
	if err != nil {
		return nil, err
	}
	return listOf(ctx, found, next, func(e threads.Erasure) Erasure { return erasureOf(addresses, e) }), nil
}

type personPath struct {
	Address string `path:"address" maxLength:"320" doc:"name@server"`
}

func (a *API) erasePerson(ctx context.Context, c *caller, in *personPath) (*struct{}, error) {
	if err := needAdmin(c); err != nil {
		return nil, err
	}
	p, err := a.People.PersonByAddress(ctx, strings.ToLower(in.Address))
	if err == nil && !p.Local {
		err = notFound()
	}
	if err != nil {
		return nil, unseen(err)
	}
	if p.ID == c.person.ID {
		return nil, refusal(http.StatusConflict, "yourself", "another administrator has to do this to you")
	}
	return nil, a.Eraser.ErasePerson(ctx, p.ID, threads.Act{Who: c.person.ID, At: exchangeOf(ctx).now})
}
