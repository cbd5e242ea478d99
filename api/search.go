package api

import (
	"context"
	"net/http"

	"meridian/threads"
)

// Hit is one thing that a search found.
type Hit struct {
	Thread  Thread   `json:"thread"`
	Message *Message `json:"message,omitempty" doc:"Absent where the thread's own title or objective was found."`
}

type searchFor struct {
	Paged
	Q string `query:"q" required:"true" minLength:"1" maxLength:"1000" doc:"Words, \"phrases\", from: in: org: label: is: before: after:"`
}

func (a *API) searchRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/search", id: "search", tag: "search", summary: "Search everything that you may read",
	}, func(ctx context.Context, c *caller, in *searchFor) (*listed[Hit], error) {
		hits, next, err := a.Search.Search(ctx, c.person.ID, in.Q, in.page())
		if err != nil {
			return nil, err
		}
		var people []string
		for _, h := range hits {
			people = append(people, h.Thread.Author, h.Thread.Assignee)
			if h.Message != nil {
				people = append(people, peopleOf(h.Message)...)
			}
		}
		addresses, err := a.names.addresses(ctx, people...)
		if err != nil {
			return nil, err
		}
		return listOf(ctx, hits, next, func(h threads.Hit) Hit {
			shown := Hit{Thread: threadOf(addresses, h.Thread)}
			if h.Message != nil {
				m := messageOf(addresses, h.Message)
				shown.Message = &m
			}
			return shown
		}), nil
	})
}
