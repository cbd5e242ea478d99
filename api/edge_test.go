package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"meridian/api"
)

func TestMalformedBodiesAreRefusedAndTheNextGoodOneWorks(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		``:                            {400, "malformed"},
		`{`:                           {400, "malformed"},
		`[]`:                          {400, "malformed"},
		`"x"`:                         {400, "malformed"},
		`{"name":"a"}{}`:              {400, "malformed"},
		`{"name":"a","name":"b"}`:     {400, "malformed"},
		`{"name":"a","NAME":"b"}`:     {400, "malformed"},
		`{"name":"` + "\xff" + `"}`:   {400, "malformed"},
		`{"name":"\ud800"}`:           {400, "malformed"},
		`{"name":"\u0000"}`:           {400, "malformed"},
		"\ufeff" + `{"name":"a"}`:     {400, "malformed"},
		`{"Name":"a"}`:                {422, "invalid"},
		`{"name":"a","colour":"red"}`: {422, "invalid"},
		`{"name":"a","kınd":"work"}`:  {422, "invalid"},
		`{"name":"a","purpoſe":"x"}`:  {422, "invalid"},
		`{"name":7}`:                  {422, "invalid"},
		`{"name":null}`:               {422, "invalid"},
		`{}`:                          {422, "invalid"},
		strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20): {400, "malformed"},
	} {
		a := w.must(want.status, ana, "POST", "/channels", body)
		if a.text("code") != want.code || a.text("detail") == "" || a.text("request_id") == "" {
			t.Errorf("%q: %s", body, a.raw)
		}
	}
	w.must(415, ana, "POST", "/channels", `{"name":"a"}`, "Content-Type", "application/x-www-form-urlencoded")
	w.channel(ana, "Harbour")
}

func TestProblemsNameTheFieldAndTheRemedy(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	for _, c := range []struct {
		path    string
		body    object
		pointer string
	}{
		{"/channels", object{"name": ""}, "/name"},
		{"/channels", object{"name": "a", "colour": 1}, "/colour"},
		{"/channels/" + channel + "/threads", object{"title": "a", "due": "soon"}, "/due"},
		{"/channels/" + channel + "/threads", object{"title": "a", "due": "2026-02-30"}, "/due"},
		{"/channels/" + channel + "/threads", object{"title": "a", "labels": []string{" x"}}, "/labels"},
		{"/channels/" + channel + "/threads", object{"title": "a", "labels": []any{"x", 7}}, "/labels/1"},
		{"/channels/" + channel + "/threads", object{"title": "a", "assignee": "nobody@kobo.example"}, "/assignee"},
	} {
		var p api.Problem
		w.must(422, ana, "POST", c.path, c.body).into(t, &p)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer || p.Errors[0].Detail == "" {
			t.Errorf("%v: %+v", c.body, p)
		}
	}
}

func TestUnknownRoutesAndMethodsAreProblemsToo(t *testing.T) {
	w := newWorld(t, api.Limits{})
	for _, path := range []string{"/nothing", "/channels/a/b/c", "/"} {
		if a := w.must(404, nil, "GET", path, nil); a.text("code") != "not_found" {
			t.Errorf("%s", a.raw)
		}
	}
	a := w.must(405, nil, "PUT", "/server", nil)
	if a.text("code") != "method_not_allowed" || a.header.Get("Allow") != "GET" {
		t.Errorf("Allow %q: %s", a.header.Get("Allow"), a.raw)
	}
}

func TestAnswersAreKeptByNoCache(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	for _, u := range []*user{ana, nil} {
		h := w.send(u, "GET", "/me", nil).header
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Request-Id") == "" {
			t.Errorf("%v", h)
		}
	}
}

func TestABodyCutShortIsTheClientsFault(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	conn, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/channels HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", kobo, ana.secret)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(res.Body)
	if res.StatusCode != 400 || !strings.Contains(string(raw), `"malformed"`) {
		t.Errorf("%d %s", res.StatusCode, raw)
	}
}

// T37: every bounded field takes its longest value, and refuses one more.
func TestEveryFieldTakesItsLimitAndNotMore(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	message := w.post(ana, thread, "x")
	ids := map[string]string{"channels": channel, "threads": thread, "messages": message}
	// Values that a limit of length does not make right.
	needs := map[string]object{
		"POST /channels": {"name": "a"}, "POST /channels/{id}/threads": {"title": "a"}, "POST /threads/{id}/messages": {"body": "a"},
		"POST /me/tokens": {"label": "a"}, "PATCH /me": {}, "PATCH /channels/{id}": {}, "PATCH /threads/{id}": {}, "PATCH /messages/{id}": {},
	}
	tried := 0
	for route, minimal := range needs {
		method, path, _ := strings.Cut(route, " ")
		concrete := path
		if kind := strings.Split(path, "/")[1]; strings.Contains(path, "{id}") {
			concrete = strings.Replace(path, "{id}", ids[kind], 1)
		}
		op := w.operation(method, concrete)
		schema := w.api.Document().Components.Schemas.SchemaFromRef(op.RequestBody.Content["application/json"].Schema.Ref)
		for field, s := range schema.Properties {
			if s.MaxLength != nil || s.MaxItems != nil {
				tried++
				w.tryLimit(ana, method+" "+concrete, field, s, minimal)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d fields were tried", tried)
	}
}

// anything names the fields whose limit of length is all that a value has to keep.
var anything = []string{"name", "purpose", "title", "objective", "body", "label", "labels"}

// tryLimit sends a field at its limit and beyond it, with what the route needs besides.
func (w *world) tryLimit(u *user, route, field string, s *huma.Schema, minimal object) {
	w.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	limit := s.MaxLength
	if limit == nil {
		limit = s.MaxItems
	}
	try := func(n int) answer {
		body := maps.Clone(minimal)
		body[field] = longest(s, n)
		return w.send(u, method, path, body)
	}
	if slices.Contains(anything, field) {
		if a := try(*limit); a.status >= 300 {
			w.t.Errorf("%s %s at %d: %s", route, field, *limit, a.raw)
		}
	}
	for _, n := range []int{*limit + 1, *limit * 100} {
		if n > 500_000 {
			continue // a body that long is refused as a whole
		}
		if a := try(n); a.status != 422 && a.status != 413 {
			w.t.Errorf("%s %s at %d answers %d", route, field, n, a.status)
		}
	}
}

func longest(s *huma.Schema, n int) any {
	if s.Items == nil {
		return strings.Repeat("a", n)
	}
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("label-%d", i)
	}
	return list
}

// T37: a body beyond the limit is refused without being kept.
func TestABodyBeyondTheLimitIsNotBuffered(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	w.channel(ana, "Harbour")
	for name, head := range map[string]string{
		"honest length":   "Content-Length: 1073741824",
		"without length":  "Transfer-Encoding: chunked",
		"chunked forever": "Transfer-Encoding: chunked",
	} {
		before := heap()
		conn, err := net.Dial("tcp", w.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /api/v1/channels HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", kobo, ana.secret, head)
		go func() {
			chunk := bytes.Repeat([]byte(" "), 64<<10)
			for {
				if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
					return
				}
			}
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		raw, _ := io.ReadAll(res.Body)
		conn.Close()
		if res.StatusCode != 413 || !strings.Contains(string(raw), `"too_large"`) {
			t.Errorf("%s: %d %s", name, res.StatusCode, raw)
		}
		if grown := int64(heap()) - int64(before); grown > 4<<20 {
			t.Errorf("%s: %d bytes were kept", name, grown)
		}
	}
	padded := `{"name":"a"` + strings.Repeat(" ", 1<<20-12) + `}`
	w.must(201, ana, "POST", "/channels", padded)
	w.must(413, ana, "POST", "/channels", padded+" ")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestClientsBehindATrustedProxyAreToldApart(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.7:99", "203.0.113.1", "192.0.2.7"},
		{"127.0.0.1:99", "203.0.113.1", "203.0.113.1"},
		{"127.0.0.1:99", "198.51.100.9, 203.0.113.1", "203.0.113.1"},
		{"127.0.0.1:99", "203.0.113.1, 10.1.2.3", "203.0.113.1"},
		{"127.0.0.1:99", "nonsense", "127.0.0.1"},
		{"[2001:db8:1:2:3::4]:99", "", "2001:db8:1:2::/64"},
	} {
		r, err := http.NewRequest("GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := api.ClientAddress(r, trusted); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}
