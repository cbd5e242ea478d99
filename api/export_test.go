package api

import "github.com/danielgtaylor/huma/v2"

// Document is the OpenAPI document, for the tests that hold answers against it.
func (a *API) Document() *huma.OpenAPI { return a.huma.OpenAPI() }

// Patterns are those of all routes.
func (a *API) Patterns() []string { return a.mux.patterns }

// ClientAddress is whom a request without a token is counted for.
var ClientAddress = clientAddress

// ReadOp is what a message of a WebSocket's client says.
func ReadOp(raw []byte) (kind, token, after string, err error) {
	o, err := readOp(raw)
	return o.Op, o.Token, o.After, err
}
