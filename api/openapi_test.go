package api_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"meridian/api"
)

// operation is what the document says of a request, nil when it knows no such route.
func (w *world) operation(method, path string) *huma.Operation {
	path, _, _ = strings.Cut("/api/v1"+path, "?")
	parts := strings.Split(path, "/")
	var found *huma.Operation
	for template, item := range w.api.Document().Paths {
		known := strings.Split(template, "/")
		if len(known) != len(parts) {
			continue
		}
		exact := true
		for i := range known {
			if strings.HasPrefix(known[i], "{") {
				exact = false
			} else if known[i] != parts[i] {
				known = nil
				break
			}
		}
		if op := byMethod(item, method); known != nil && op != nil && (found == nil || exact) {
			found = op
		}
	}
	return found
}

func byMethod(item *huma.PathItem, method string) *huma.Operation {
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[method]
}

// conforms holds an answer against the document: every answer of every test is.
func (w *world) conforms(method, path string, a answer) {
	w.t.Helper()
	op := w.operation(method, path)
	if op == nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			w.t.Fatalf("%s %s is not in the document and answers %d", method, path, a.status)
		}
		return
	}
	response := op.Responses[strconv.Itoa(a.status)]
	if response == nil {
		response = op.Responses["default"]
	}
	if response == nil {
		w.t.Fatalf("%s %s: the document does not know the status %d", method, path, a.status)
	}
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	media := response.Content[kind]
	switch {
	case len(response.Content) == 0 && len(a.raw) == 0:
	case media == nil:
		w.t.Fatalf("%s %s answers %d with %q, which is not in the document: %.200s", method, path, a.status, kind, a.raw)
	case media.Schema != nil:
		w.valid(method+" "+path, media.Schema, a.raw)
	}
}

func (w *world) valid(what string, schema *huma.Schema, raw []byte) {
	w.t.Helper()
	var parsed any
	if err := json.Unmarshal(raw, &parsed); err != nil {
		w.t.Fatalf("%s: %v in %.200s", what, err, raw)
	}
	var result huma.ValidateResult
	huma.Validate(w.api.Document().Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, parsed, &result)
	for _, err := range result.Errors {
		w.t.Errorf("%s is not as the document says: %v", what, err)
	}
}

func TestEveryRouteIsInTheDocument(t *testing.T) {
	w := newWorld(t, api.Limits{})
	documented := map[string]bool{}
	for path, item := range w.api.Document().Paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if byMethod(item, method) != nil {
				documented[method+" "+path] = true
			}
		}
	}
	for _, pattern := range w.api.Patterns() {
		if !documented[pattern] {
			t.Errorf("%s is served and not in the document", pattern)
		}
		delete(documented, pattern)
	}
	for route := range documented {
		t.Errorf("%s is in the document and not served", route)
	}
}

func TestTheDocumentIsServedAndShownWithoutAnythingFromElsewhere(t *testing.T) {
	w := newWorld(t, api.Limits{})
	raw := w.must(200, nil, "GET", "/openapi.json", nil).raw
	var doc struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil || doc.OpenAPI != "3.1.0" || len(doc.Paths) < 20 {
		t.Errorf("openapi.json: %v, version %q, %d paths", err, doc.OpenAPI, len(doc.Paths))
	}
	page := w.must(200, nil, "GET", "/docs", nil)
	for _, foreign := range []string{"<script", "src=", "http://", "https://", "@import", "url("} {
		if strings.Contains(string(page.raw), foreign) {
			t.Errorf("the page holds %q", foreign)
		}
	}
	for path := range doc.Paths {
		if !strings.Contains(string(page.raw), "<code>"+path+"</code>") {
			t.Errorf("the page does not show %s", path)
		}
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
}

func TestReferencesInTheDocumentLeadSomewhere(t *testing.T) {
	w := newWorld(t, api.Limits{})
	raw := string(w.must(200, nil, "GET", "/openapi.json", nil).raw)
	const prefix = `"$ref":"#/components/schemas/`
	known := w.api.Document().Components.Schemas.Map()
	for rest := raw; strings.Contains(rest, prefix); {
		_, rest, _ = strings.Cut(rest, prefix)
		name, _, _ := strings.Cut(rest, `"`)
		if known[name] == nil {
			t.Errorf("nothing is at %s", name)
		}
	}
}
