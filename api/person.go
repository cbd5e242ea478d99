package api

import (
	"context"
	"net/http"
	"strings"

	"meridian/threads"
)

// Person is a person as others see them.
type Person struct {
	Address string `json:"address" doc:"name@server; the bare id where only that is known."`
	Name    string `json:"name" doc:"As they call themselves."`
	Zone    string `json:"zone" doc:"IANA time zone; empty where it is not known."`
	Server  string `json:"server" doc:"Of their organisation."`
	Bot     bool   `json:"bot"`
}

func personOf(p threads.PersonRecord) Person {
	address := p.Address
	if address == "" {
		address = p.ID
	}
	return Person{Address: address, Name: p.Name, Zone: p.Zone, Server: p.Server, Bot: p.Bot}
}

func (a *API) personRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/people/{address}", id: "person", tag: "people",
		summary: "The profile of a person, of this server or a partner's",
	}, func(ctx context.Context, c *caller, in *struct {
		Address string `path:"address" maxLength:"320" doc:"name@server"`
	},
	) (*versioned[Person], error) {
		p, err := a.person(ctx, in.Address)
		if err != nil {
			return nil, err
		}
		return &versioned[Person]{ETag: etag(p.Version), Body: personOf(p)}, nil
	})
}

// person is whom an address, or the id of a person without one, names.
func (a *API) person(ctx context.Context, address string) (threads.PersonRecord, error) {
	if threads.ServerOf(address) != "" {
		p, err := a.People.Person(ctx, address)
		return p, unseen(err)
	}
	p, err := a.People.PersonByAddress(ctx, strings.ToLower(address))
	return p, unseen(err)
}
