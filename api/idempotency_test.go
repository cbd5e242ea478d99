package api_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"meridian/api"
)

// T68: a POST repeated under its key has one effect and one answer.
func TestAPostRepeatedUnderItsKeyHappensOnce(t *testing.T) {
	onBoth(t, aPostRepeatedUnderItsKeyHappensOnce)
}

func aPostRepeatedUnderItsKeyHappensOnce(t *testing.T, w *world) {
	root, ben := w.user("root", true), w.user("ben", false)
	channel := w.channel(root, "Harbour")
	thread := w.thread(root, channel, "Quay 4")
	message := w.post(root, thread, "x")
	for path, body := range map[string]object{
		"/channels":                         {"name": "Port"},
		"/channels/" + channel + "/members": {"address": ben.address},
		"/channels/" + channel + "/archive": {"archived": false},
		"/channels/" + channel + "/threads": {"title": "Quay 5", "body": "y"},
		"/threads/" + thread + "/messages":  {"body": "for @ben@" + kobo},
		"/threads/" + thread + "/read":      {"up_to": message},
		"/threads/" + thread + "/follow":    nil,
		"/me/tokens":                        {"label": "program"},
		"/admin/people":                     {"name": "carla", "password": "correct horse"},
	} {
		key := []string{"Idempotency-Key", "key of " + path}
		first := w.send(root, "POST", path, orNil(body), key...)
		if first.status >= 300 {
			t.Fatalf("%s answers %d: %s", path, first.status, first.raw)
		}
		w.repeat(root, path, body, first, key)
		if body == nil {
			continue
		}
		other := changed(body)
		if strings.HasSuffix(path, "/read") {
			other["up_to"] = w.post(root, thread, "z")
		}
		if a := w.must(409, root, "POST", path, other, key...); a.text("code") != "idempotency_mismatch" {
			t.Errorf("%s: %s", path, a.raw)
		}
	}
}

// repeat sends a request again, over restarts too: it must be answered as at first
// and do nothing.
func (w *world) repeat(u *user, path string, body object, first answer, key []string) {
	w.t.Helper()
	counted := w.last()
	for range 1 + rand.IntN(4) {
		if rand.IntN(3) == 0 {
			w.stop()
			w.start()
		}
		again := w.send(u, "POST", path, orNil(body), key...)
		if again.status != first.status || string(again.raw) != string(first.raw) {
			w.t.Errorf("%s answers %d %s, then %d %s", path, first.status, first.raw, again.status, again.raw)
		}
	}
	if now := w.last(); now != counted {
		w.t.Errorf("%s: repeating it made %d events", path, now-counted)
	}
}

// changed is another body for the same route.
func changed(body object) object {
	other := object{}
	for k, v := range body {
		switch v := v.(type) {
		case bool:
			other[k] = !v
		case string:
			other[k] = v
			if k == "name" || k == "title" || k == "body" || k == "label" {
				other[k] = v + "z"
			}
		}
	}
	if body["address"] != nil {
		other["role"] = "reader"
	}
	return other
}

func orNil(body object) any {
	if body == nil {
		return nil
	}
	return body
}

func (w *world) last() int64 {
	w.t.Helper()
	last, err := w.store.Last(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return last
}

func TestAKeyIsThePersonsOwn(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, ben := w.user("ana", false), w.user("ben", false)
	a := w.must(201, ana, "POST", "/channels", object{"name": "Port"}, "Idempotency-Key", "k").text("id")
	if b := w.must(201, ben, "POST", "/channels", object{"name": "Port"}, "Idempotency-Key", "k").text("id"); a == b {
		t.Error("two people's requests were taken for one")
	}
	w.must(422, ana, "POST", "/channels", object{"name": "Port"}, "Idempotency-Key", strings.Repeat("k", 201))
}
