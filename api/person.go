package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"meridian/threads"
	"meridian/threads/worktime"
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

// Profile is a person with their working time.
type Profile struct {
	Person
	Hours   worktime.Hours `json:"hours,omitempty" doc:"Working ranges by weekday, mon to sun, in the person's zone, like 09:00-12:30; one that ends at or before its beginning ends on the next date. Left out where the person said nothing: then Monday to Friday, 09:00-17:00."`
	Opening *time.Time     `json:"opening,omitempty" doc:"The first instant from now on at which it is working time for them, by these hours: it does not say whether they are there."`
}

func profileOf(p threads.PersonRecord, now time.Time) (Profile, error) {
	hours, err := threads.ParseHours(p.Hours)
	return Profile{Person: personOf(p), Hours: hours, Opening: unlessZero(p.Opening(now))}, err
}

func (a *API) personRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/people/{address}", id: "person", tag: "people",
		summary: "The profile of a person, of this server or a partner's, with their working time",
	}, func(ctx context.Context, c *caller, in *struct {
		Address string `path:"address" maxLength:"320" doc:"name@server"`
	},
	) (*versioned[Profile], error) {
		p, err := a.person(ctx, in.Address)
		if err != nil {
			return nil, err
		}
		shown, err := profileOf(p, exchangeOf(ctx).now)
		return &versioned[Profile]{ETag: etag(p.Version), Body: shown}, err
	})
	a.expectationRoute()
	a.overlapRoute()
}

// person is whom an address, or the id of a person without one, names.
func (a *API) person(ctx context.Context, address string) (threads.PersonRecord, error) {
	p, err := a.addressed(ctx, address)
	return p, unseen(err)
}

// addressed is the person of an address, or of an id.
func (a *API) addressed(ctx context.Context, address string) (threads.PersonRecord, error) {
	if threads.ServerOf(address) != "" {
		return a.People.Person(ctx, address)
	}
	return a.People.PersonByAddress(ctx, strings.ToLower(address))
}
