package sim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"meridian/internal/cost"
)

// route is one that the OpenAPI document names.
type route struct {
	method, path, id string
	parameters       []string // in the query
}

// routes are all of the client interface, by path.
func (h *victim) routes() []route {
	h.t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In string }
		}
	}
	answer, err := client.Get(h.url + "/api/v1/openapi.json")
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		h.t.Fatal(err)
	}
	var all []route
	for path, methods := range document.Paths {
		for method, op := range methods {
			r := route{method: strings.ToUpper(method), path: path, id: op.OperationID}
			for _, p := range op.Parameters {
				if p.In == "query" {
					r.parameters = append(r.parameters, p.Name)
				}
			}
			all = append(all, r)
		}
	}
	if len(all) < 50 {
		h.t.Fatalf("only %d routes", len(all))
	}
	slices.SortFunc(all, func(a, b route) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// fill puts ids in the places of a path by what stands before them, or one text in all.
func (r route) fill(ids map[string]string, text string) string {
	parts := strings.Split(r.path, "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, "{") {
			continue
		}
		id := ids[parts[i-1]]
		if id == "" || text != "" {
			id = text
		}
		parts[i] = url.PathEscape(id)
	}
	return strings.Join(parts, "/")
}

// ids are those of a scene, by what stands before them in paths.
func (s *scene) ids() map[string]string {
	address := "ana@" + s.name
	return map[string]string{
		"channels": s.channel, "threads": s.thread, "messages": s.message, "people": address, "members": address,
		"reactions": "👍", "partners": s.mal.name, "files": s.message,
	}
}

// T75: requests to every route of the client interface, with anything in path, query and body. The answer is
// never a fault of the server's. Left out are those that wait, and those that end the session.
func FuzzRequests(f *testing.F) {
	s := newScene(f, "")
	ids := s.ids()
	routes := slices.DeleteFunc(s.routes(), func(r route) bool {
		return slices.Contains([]string{"stream", "events", "sign-in", "sign-out", "change-password"}, r.id)
	})
	for i, r := range routes {
		body := ""
		if r.method != http.MethodGet {
			body = `{"name":"x","title":"y","body":"z","address":"a@b.example","role":"member","state":"open"}`
		}
		f.Add(uint(i), "", "limit=1", body)
	}
	f.Add(uint(0), "' OR 1=1", "cursor=AA&q=%00", `{"body":1e9}`)
	f.Add(uint(1), "\xff/..", "cursor=%ff", `{"body":"\ud800"}`)
	f.Fuzz(func(t *testing.T, n uint, path, query, body string) {
		r := routes[n%uint(len(routes))]
		request, err := http.NewRequest(r.method, s.url+r.fill(ids, path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		odd := func(r rune) bool { return r <= ' ' || r == 0x7f }
		if request.URL.RawQuery = query; request.URL.Path == "" || strings.ContainsFunc(query, odd) {
			return // is no request
		}
		request.Header.Set("Authorization", "Bearer "+s.ana)
		request.Header.Set("Content-Type", "application/json")
		cost.Hold(t, func() {
			again := request.Clone(t.Context())
			again.Body = io.NopCloser(strings.NewReader(body))
			answer, err := client.Do(again)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if raw, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s %s %q is answered with %s: %s (%v)", r.method, request.URL, body, answer.Status, raw, err)
			}
		})
	})
}
