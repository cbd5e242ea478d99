package sim_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"meridian/threads"
)

// problem is what every refusal has to be.
type problem struct {
	Status                int
	Code, Detail, Field   string
	Title                 string
	Errors                []struct{ Pointer, Parameter, Detail string }
	header                http.Header
	status                int
	contentType, complete string
}

func (h *victim) refusal(r *http.Request) problem {
	h.t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	p := problem{status: answer.StatusCode, contentType: answer.Header.Get("Content-Type"), complete: string(body), header: answer.Header}
	_ = json.Unmarshal(body, &p)
	return p
}

// isWhole reports whether a refusal is a 4xx problem with a stable code, words and a title.
func (p problem) isWhole() bool {
	stable := strings.Trim(p.Code, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
	return p.status >= 400 && p.status < 500 && p.status == p.Status && p.Code != "" && stable && p.Detail != "" && p.Title != "" &&
		strings.HasPrefix(p.contentType, "application/problem+json")
}

// names reports whether a refusal says which field it is about.
func (p problem) names(field string) bool {
	if p.Field == field {
		return true
	}
	for _, e := range p.Errors {
		if e.Pointer == field || e.Parameter == field {
			return e.Detail != ""
		}
	}
	return false
}

// What bad input gets from the client interface: a 4xx problem with a stable code, the field and the
// remedy; nothing of it is stored; the next good request works.
func TestBadInputOfPeopleIsRefusedWithCodeFieldAndRemedy(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		post := "/threads/" + s.thread + "/messages"
		big := strings.Repeat("x", 2<<20)
		before := s.rows()
		for name, try := range map[string]struct {
			method, path, body, field string
			status                    int
			with                      func(r *http.Request)
		}{
			"no JSON":              {method: "POST", path: post, body: "what", status: 400},
			"cut short":            {method: "POST", path: post, body: `{"body":"x`, status: 400},
			"an array":             {method: "POST", path: post, body: `[]`, status: 400},
			"two values":           {method: "POST", path: post, body: `{"body":"x"}{}`, status: 400},
			"a member twice":       {method: "POST", path: post, body: `{"body":"x","body":"y"}`, status: 400},
			"a folded member":      {method: "POST", path: post, body: `{"Body":"x"}`, status: 422},
			"an unknown member":    {method: "POST", path: post, body: `{"body":"x","colour":"red"}`, field: "/colour", status: 422},
			"a wrong type":         {method: "POST", path: post, body: `{"body":7}`, field: "/body", status: 422},
			"null":                 {method: "POST", path: post, body: `{"body":null}`, field: "/body", status: 422},
			"a missing field":      {method: "POST", path: post, body: `{}`, field: "/body", status: 422},
			"an empty text":        {method: "POST", path: post, body: `{"body":""}`, field: "/body", status: 422},
			"a NUL":                {method: "POST", path: post, body: `{"body":"a\u0000b"}`, field: "/body", status: 400},
			"not UTF-8":            {method: "POST", path: post, body: "{\"body\":\"\xff\"}", status: 400},
			"a lone surrogate":     {method: "POST", path: post, body: `{"body":"\ud800"}`, status: 400},
			"too deep":             {method: "POST", path: post, body: strings.Repeat("[", 10_001), status: 400},
			"a body too large":     {method: "POST", path: post, body: `{"body":"` + big + `"}`, status: 413},
			"a text too large":     {method: "POST", path: post, body: `{"body":"` + big[:70<<10] + `"}`, field: "/body", status: 422},
			"a text far too large": {method: "POST", path: post, body: `{"body":"` + big[:900<<10] + `"}`, field: "/body", status: 422},
			"no such parent":       {method: "POST", path: post, body: `{"body":"x","reply_to":"nothing"}`, field: "/reply_to", status: 422},
			"no such thread":       {method: "POST", path: "/threads/" + threads.HashOf(nil) + "/messages", body: `{"body":"x"}`, status: 404},
			"no id":                {method: "POST", path: "/threads/%00/messages", body: `{"body":"x"}`, status: 404},
			"not text":             {method: "POST", path: post, body: `{"body":"x"}`, status: 415, with: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
			"compressed":           {method: "POST", path: post, body: `{"body":"x"}`, status: 415, with: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
			"a key too long":       {method: "POST", path: post, body: `{"body":"x"}`, status: 422, with: func(r *http.Request) { r.Header.Set("Idempotency-Key", big[:500]) }},
			"no token":             {method: "POST", path: post, body: `{"body":"x"}`, status: 401, with: func(r *http.Request) { r.Header.Del("Authorization") }},
			"a made-up token":      {method: "POST", path: post, body: `{"body":"x"}`, status: 401, with: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+big[:64]) }},
			"a bad title":          {method: "POST", path: "/channels/" + s.channel + "/threads", body: `{"title":"","body":"x"}`, field: "/title", status: 422},
			"a bad kind":           {method: "POST", path: "/channels", body: `{"name":"x","kind":"secret"}`, field: "/kind", status: 422},
			"a bad role":           {method: "POST", path: "/channels/" + s.channel + "/members", body: `{"address":"x@y.example","role":"king"}`, field: "/role", status: 422},
			"a bad address":        {method: "POST", path: "/channels/" + s.channel + "/members", body: `{"address":"nobody"}`, field: "/address", status: 422},
			"a bad cursor":         {method: "GET", path: post + "?cursor=%00", status: 422},
			"a bad limit":          {method: "GET", path: post + "?limit=0", field: "limit", status: 422},
			"an unknown parameter": {method: "GET", path: post + "?colour=red", field: "colour", status: 422},
			"no such path":         {method: "GET", path: "/nothing", status: 404},
			"no such method":       {method: "PUT", path: post, body: `{}`, status: 405},
			"a bad version":        {method: "PATCH", path: "/threads/" + s.thread, body: `{"title":"x"}`, status: 412, with: func(r *http.Request) { r.Header.Set("If-Match", `"no such"`) }},
		} {
			r, err := http.NewRequest(try.method, s.url+"/api/v1"+try.path, strings.NewReader(try.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+s.ana)
			if try.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			if try.with != nil {
				try.with(r)
			}
			got := s.refusal(r)
			if !got.isWhole() || got.status != try.status || try.field != "" && !got.names(try.field) {
				t.Errorf("%s: want %d about %q, got %d %.300s", name, try.status, try.field, got.status, got.complete)
			}
			if strings.Contains(got.complete, "\xff") || len(got.complete) > 2000 {
				t.Errorf("%s: the answer says back what was sent: %.100s", name, got.complete)
			}
		}
		s.unchanged("bad input", before)
		s.must(s.ana, http.MethodPost, post, map[string]string{"body": "Good."}, nil)
		if !s.shows("Good.") {
			t.Error("the next good request has no effect")
		}
	})
}

func zip(body string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return b.String()
}

// What bad input gets from the exchange with other servers: the same. Bodies and signatures are
// tried one by one in package federation; these are whole requests to a whole server.
func TestBadInputOfServersIsRefusedWithCodeFieldAndRemedy(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		before := s.rows()
		request := func(more string) string {
			return fmt.Sprintf(`{"id":"1","kind":"command","channel":%q,"command":{%s}}`, s.channel, more)
		}
		command := func(more string) string { return request(fmt.Sprintf(`"actor":%q,%s`, s.mal.person, more)) }
		for name, try := range map[string]struct {
			path, body, field string
			status            int
			with              func(r *http.Request)
		}{
			"no JSON":                  {path: toPull, body: "what", status: 400},
			"nothing":                  {path: toPull, body: "", status: 400},
			"an array":                 {path: toPull, body: "[]", status: 400},
			"a member twice":           {path: toPull, body: `{"channels":[],"channels":[]}`, status: 400},
			"a float":                  {path: toPull, body: `{"channels":[],"limit":1.5}`, status: 400},
			"a wrong type":             {path: toPull, body: `{"channels":7}`, status: 400},
			"a tuple of one":           {path: toPull, body: `{"channels":[{"channel":"x","control":[1]}]}`, status: 400},
			"too many channels":        {path: toPull, body: `{"channels":[` + strings.Repeat(`{"channel":"x","control":[0,""]},`, 99) + `{"channel":"x","control":[0,""]}]}`, status: 413},
			"too large":                {path: toPush, body: strings.Repeat("x", 5<<20), status: 413},
			"too large when inflated":  {path: toPush, body: zip(strings.Repeat(" ", 64<<20)), status: 413, with: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
			"an unknown encoding":      {path: toPush, body: "{}\n", status: 415, with: func(r *http.Request) { r.Header.Set("Content-Encoding", "br") }},
			"too many frames":          {path: toPush, body: "{\"channels\":[]}\n" + strings.Repeat("{}\n", 501), status: 413},
			"no first line":            {path: toPush, body: "", status: 400},
			"a bad first line":         {path: toPush, body: "what\n", status: 400},
			"a request of no kind":     {path: toRequest, body: fmt.Sprintf(`{"id":"1","kind":"wish","channel":%q}`, s.channel), field: "/kind", status: 422},
			"a request without an id":  {path: toRequest, body: fmt.Sprintf(`{"kind":"decline","channel":%q}`, s.channel), field: "/id", status: 422},
			"an id too long":           {path: toRequest, body: fmt.Sprintf(`{"id":%q,"kind":"decline","channel":%q}`, strings.Repeat("x", 99), s.channel), field: "/id", status: 422},
			"no channel":               {path: toRequest, body: `{"id":"1","kind":"decline","channel":"x"}`, field: "/channel", status: 422},
			"no actor":                 {path: toRequest, body: request(`"kind":"settings"`), status: 403},
			"an unknown command":       {path: toRequest, body: command(`"kind":"sing"`), field: "/command/kind", status: 422},
			"more than one may":        {path: toRequest, body: command(`"kind":"role","person":"x","role":"owner"`), status: 403},
			"an offer to nobody":       {path: toRequest, body: fmt.Sprintf(`{"id":"1","kind":"invite","channel":%q,"invite":{"address":"nobody@%s","inviter":%q,"name":"x","purpose":"","role":"member"}}`, s.channel, s.name, s.mal.person), field: "/address", status: 404},
			"an offer as king":         {path: toRequest, body: fmt.Sprintf(`{"id":"1","kind":"invite","channel":%q,"invite":{"address":"ana@%s","inviter":%q,"name":"x","purpose":"","role":"king"}}`, s.channel, s.name, s.mal.person), field: "/invite/role", status: 422},
			"an acceptance of nothing": {path: toRequest, body: s.mal.acceptance(s.victim, s.channel, "no such offer", ""), status: 404},
			"too many people":          {path: toProfiles, body: fmt.Sprintf(`{"people":%s}`, asJSON(make([]string, 201))), status: 413},
			"a GET":                    {path: toPull, body: "", status: 405, with: func(r *http.Request) { r.Method = http.MethodGet }},
			"no such exchange":         {path: "/federation/v1/nothing", body: "{}", status: 404},
			"late":                     {path: toPull, body: "{}", status: 401, with: func(r *http.Request) { r.Header.Set("Date", "Mon, 23 Nov 2020 05:00:00 GMT") }},
			"forged":                   {path: toPull, body: `{"channels":[]}`, status: 401, with: func(r *http.Request) { r.Header.Set("Digest", "SHA-256=AAAA") }},
		} {
			r := s.mal.request(s.victim, try.path, try.body, s.mal.keyID(), s.now())
			if try.with != nil {
				try.with(r)
			}
			got := s.refusal(r)
			if !got.isWhole() || got.status != try.status || try.field != "" && !got.names(try.field) {
				t.Errorf("%s: want %d about %q, got %d %.300s", name, try.status, try.field, got.status, got.complete)
			}
		}
		s.unchanged("bad input", before)
		if got := s.mal.push(s.victim, s.mal.post(s.thread, "Good.")); got.status != http.StatusOK || !s.shows("Good.") {
			t.Errorf("the next good request: %+v", got)
		}
	})
}
