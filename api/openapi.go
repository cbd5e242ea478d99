package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// document is the OpenAPI document before any operation is in it.
func (a *API) document() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Meridian", Version: a.version,
			Description: "What people's clients say to a Meridian server. Bodies are JSON, instants RFC 3339 in UTC, ids opaque. " +
				"Refusals are problems (RFC 9457) with a stable `code`; unknown members of a body are refused with 422. " +
				"What you may not see answers like what does not exist.",
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "POST /api/v1/sessions gives one."},
			},
		},
	}
}

func (a *API) problemResponse() *huma.Response {
	return &huma.Response{
		Description: "A refusal (RFC 9457)",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schemaIn[Problem](a.huma.OpenAPI().Components.Schemas)}},
	}
}

// routes is everything that there is under /api/v1.
func (a *API) routes() error {
	a.huma = a.framework()
	for _, add := range []func(){
		a.serverRoutes, a.sessionRoutes, a.meRoutes, a.personRoutes, a.channelRoutes, a.memberRoutes, a.invitationRoutes,
		a.threadRoutes, a.messageRoutes, a.reactionRoutes, a.searchRoutes, a.eventRoutes, a.adminRoutes,
	} {
		add()
	}
	a.streamRoute()
	a.fileRoutes()
	return a.documentRoutes()
}

// documentRoutes serve the OpenAPI document and a page that shows it.
func (a *API) documentRoutes() error {
	doc := a.huma.OpenAPI()
	describeDocuments(doc)
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // the framework's own, which no answer has
		delete(doc.Components.Schemas.Map(), unused)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write OpenAPI document: %w", err)
	}
	page, err := docsPage(doc)
	if err != nil {
		return fmt.Errorf("write page of the OpenAPI document: %w", err)
	}
	a.mux.HandleFunc("GET "+documentPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw) // a client that went away needs no answer
	})
	a.mux.HandleFunc("GET "+docsPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		_, _ = w.Write(page)
	})
	a.mux.Handle("/", http.HandlerFunc(a.unmatched))
	return nil
}

const (
	documentPath = prefix + "/openapi.json"
	docsPath     = prefix + "/docs"
)

// describeDocuments puts the document and its page into the document.
func describeDocuments(doc *huma.OpenAPI) {
	for path, of := range map[string][3]string{
		documentPath: {"openapi", "This document", "application/json"},
		docsPath:     {"docs", "A page that shows this document", "text/html"},
	} {
		doc.AddOperation(&huma.Operation{
			OperationID: of[0], Method: http.MethodGet, Path: path, Tags: []string{"server"}, Summary: of[1],
			Responses: map[string]*huma.Response{"200": {
				Description: of[1], Content: map[string]*huma.MediaType{of[2]: {}},
			}},
		})
	}
}

// schemaIn is a reference to the schema of T.
func schemaIn[T any](r huma.Registry) *huma.Schema {
	t := reflect.TypeFor[T]()
	return r.Schema(t, true, t.Name())
}
