package api

import (
	"context"
	"net/http"

	"meridian/threads"
)

// ServerInfo is what everybody may know of this server.
type ServerInfo struct {
	Name     string       `json:"name" doc:"As it stands after the @ of addresses."`
	Version  string       `json:"version" doc:"Of the program."`
	Limits   ServerLimits `json:"limits"`
	Features []string     `json:"features" nullable:"false"`
}

// ServerLimits are the limits that clients meet.
type ServerLimits struct {
	BodyBytes         int `json:"body_bytes" doc:"Largest request body."`
	FileBytes         int `json:"file_bytes" doc:"Largest file."`
	MessageBytes      int `json:"message_bytes" doc:"Longest message, in bytes of UTF-8."`
	PageItems         int `json:"page_items" doc:"Largest limit of a list."`
	RequestsPerSecond int `json:"requests_per_second" doc:"For each person, in the long run; bursts of ten times as many pass."`
	SocketsPerPerson  int `json:"sockets_per_person"`
}

func (a *API) serverRoutes() {
	type out struct{ Body ServerInfo }
	register(a, operation{
		method: http.MethodGet, path: "/server", id: "server", tag: "server", open: true,
		summary: "Name, version, limits and features of this server",
	}, func(context.Context, *caller, *struct{}) (*out, error) {
		return &out{ServerInfo{
			Name: a.server, Version: a.version, Features: append([]string{}, a.features...),
			Limits: ServerLimits{
				BodyBytes: a.limits.BodyBytes, FileBytes: a.limits.FileBytes, MessageBytes: threads.MaxBody, PageItems: maxPage,
				RequestsPerSecond: a.limits.PersonRate, SocketsPerPerson: a.limits.SocketsPerPerson,
			},
		}}, nil
	})
}
