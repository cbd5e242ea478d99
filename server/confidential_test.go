package server

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// record keeps what a server logs.
type record struct {
	mu sync.Mutex
	bytes.Buffer
}

// Write is that of the buffer.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

func (r *record) holds(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.String(), text)
}

// body is what a server answers to a GET, whatever its status.
func (at *site) body(address, token string) string {
	at.t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		at.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	return string(raw)
}

// document are the paths and methods of the server's OpenAPI document.
func (at *site) document() map[string]map[string]json.RawMessage {
	at.t.Helper()
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(at.body(at.url+"/api/v1/openapi.json", "")), &document); err != nil {
		at.t.Fatal(err)
	}
	return document.Paths
}

// readings are all paths that the server's document says can be read, with the
// ids of what is to be kept from outsiders in them.
func (at *site) readings(ids map[string]string) []string {
	at.t.Helper()
	var paths []string
	for path, methods := range at.document() {
		if methods["get"] == nil || strings.HasSuffix(path, "/stream") {
			continue
		}
		kind := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")[0]
		filled := path
		for name, value := range map[string]string{
			"id": ids[kind], "address": ids["address"], "server": ids["server"], "digest": ids["messages"],
			"name": ids["server"], "emoji": "x", "domain": ids["server"],
		} {
			filled = strings.ReplaceAll(filled, "{"+name+"}", url.PathEscape(value))
		}
		paths = append(paths, filled)
	}
	if len(paths) < 20 {
		at.t.Fatalf("only %v can be read", paths)
	}
	return append(paths, "/api/v1/search?q=canary", "/api/v1/search?q=from%3Aana+canary", "/api/v1/events?limit=200")
}

// T21: what stands in a channel is told to nobody outside of it: not to other
// people of member organisations, nor to the invited or the removed, and stands
// in no log and no metric.
func TestWhatIsSaidInAChannelIsToldToMembersAlone(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	logs := &record{}
	for _, at := range []*site{a, b} {
		at.options.Log = slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
		at.start()
	}
	ana, eve, rem, root := a.person("ana"), a.person("eve"), a.person("rem"), a.administrator("root")
	ben, zoe, ivo := b.person("ben"), b.person("zoe"), b.person("ivo")
	befriend(a, b)
	channel := share(a, ana, b, ben, "ben@"+b.name)
	a.must(ana, http.MethodPost, "/channels/"+channel+"/members", newMember{Address: "rem@" + a.name}, nil)
	a.must(ana, http.MethodPost, "/channels/"+channel+"/members", newMember{Address: "ivo@" + b.name}, nil)
	b.eventually("inviting ivo", func() bool {
		var invitations list
		b.must(ivo, http.MethodGet, "/invitations", nil, &invitations)
		return len(invitations.Items) == 1
	})
	outsiders := map[string]struct {
		at    *site
		token string
	}{
		"another person of the host": {a, eve}, "one who was removed": {a, rem}, "an administrator": {a, root}, "nobody": {a, ""},
		"another person of a member": {b, zoe}, "one who is invited": {b, ivo},
	}
	cursors := map[string]string{}
	for name, o := range outsiders {
		var now struct {
			NextCursor string `json:"next_cursor"`
		}
		if o.token != "" {
			o.at.must(o.token, http.MethodGet, "/events", nil, &now)
		}
		cursors[name] = now.NextCursor
	}
	a.must(ana, http.MethodDelete, "/channels/"+channel+"/members/rem@"+a.name, nil, nil)
	var thread item
	a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]any{
		"title": "canary title", "body": "canary body", "objective": "canary objective", "labels": []string{"canary-label"},
	}, &thread)
	message := a.tryPost(ana, thread.ID, "canary text")
	a.must(ana, http.MethodPatch, "/messages/"+message, map[string]string{"body": "canary edit"}, nil)
	a.must(ana, http.MethodPut, "/messages/"+message+"/reactions/canary", nil, nil)
	b.eventually("holding it", func() bool { return strings.Contains(b.body(b.url+"/api/v1/messages/"+message, ben), "canary edit") })

	ids := map[string]string{
		"channels": channel, "threads": thread.ID, "messages": message, "address": "ana@" + a.name, "server": b.name,
		"invitations": channel, "files": message, "me": message, "admin": message,
	}
	asked := 0
	for name, o := range outsiders {
		for _, path := range append(o.at.readings(ids), "/api/v1/events?limit=200&after="+cursors[name]) {
			asked++
			if got := o.at.body(o.at.url+path, o.token); strings.Contains(got, "canary") && !strings.Contains(path, "canary") || strings.Contains(got, "canary ") {
				t.Errorf("%s reads %s at %s: %s", name, path, o.at.name, got)
			}
		}
	}
	if n := len(a.readings(ids)); asked < 6*n {
		t.Errorf("only %d of %d readings were tried", asked, 6*n)
	}
	for _, at := range []*site{a, b} {
		if strings.Contains(metricsOf(at), "canary") {
			t.Errorf("a metric of %s tells", at.name)
		}
	}
	if logs.holds("canary") || !logs.holds("ready") {
		t.Error("a log tells, or there is none")
	}
}
