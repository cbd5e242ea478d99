package sim_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// A vandal makes contents that are canonical and otherwise whatever comes up.
type vandal struct {
	rng     *rand.Rand
	objects []string // ids, and things that are none
	people  []string
}

var members = map[string][]string{
	threads.TypeThreadCreated: {"assignee", "blocked_by", "due", "labels", "objective", "start", "state", "title", "type"},
	threads.TypeThreadChanged: {"assignee", "blocked_by", "due", "labels", "object", "objective", "start", "state", "title"},
	threads.TypeMessagePosted: {"ask", "attributed_to", "content", "context", "inReplyTo", "in_reply_to", "mediaType", "mentions", "original_id", "published", "type"},
	threads.TypeMessageEdited: {"content", "mediaType", "object"},
	threads.TypeMessageErased: {"context", "inReplyTo", "type"},
	threads.TypeReactionSet:   {"emoji", "object", "on"},
	threads.TypeAskDeclined:   {"object"},
	threads.TypeAskWithdrawn:  {"object"},
	"poem.recited":            {"object", "content", "context"},
	threads.TypeMemberRemoved: {"person", "cuts"}, // control types stand in data logs for nothing
	threads.TypeServerRemoved: {"server", "cuts"},
}

func (v *vandal) pick(all ...string) string { return all[v.rng.IntN(len(all))] }

func (v *vandal) text() string { return v.pick(texts...) }

var texts = []string{
	"", "x", "It leaks.", "open", "done", "text/markdown", "Note", strings.Repeat("long", 12_000), strings.Repeat("many words ", 4_000),
	strings.Repeat("é", 20_000), "\u202eright to left", "'; drop table event; --", "%_\\", "\"\\\"", "\u0001\u0002\t\n\r", "<script>alert(1)</script>",
	"👍", "e\u0301", "\ufffd\uffff\ufeff", "2026-02-30", "9999-12-31T23:59:59Z", "ana@nowhere.example", "http://127.0.0.1/", "\U0010ffff",
}

// hash is the id of something, or of nothing.
func (v *vandal) hash() string {
	for {
		if id := v.pick(v.objects...); threads.IsHash(id) {
			return id
		}
	}
}

// value is a JSON value that a member may be expected to have, or any other.
func (v *vandal) value(member string) string {
	if v.rng.IntN(6) == 0 {
		return v.pick("null", "true", "false", "0", "-1", "9007199254740991", "-9007199254740991", "[]", "{}", `[[[[]]]]`, `{"a":{"b":null}}`)
	}
	switch member {
	case "object", "context", "inReplyTo":
		return asJSON(v.objects[v.rng.IntN(len(v.objects))])
	case "labels", "blocked_by":
		flags := map[string]bool{}
		for range v.rng.IntN(5) * v.rng.IntN(100) {
			flags[v.pick(texts[1+v.rng.IntN(6)], texts[10+v.rng.IntN(12)], fmt.Sprint("label ", v.rng.IntN(1000)))] = v.rng.IntN(3) > 0
		}
		return asJSON(flags)
	case "ask":
		of := slices.Repeat([]map[string]any{{"person": v.pick(v.people...), "due": 1 << 41, "basis": v.pick("named", "zone", "x"), "zone": v.text()}}, v.rng.IntN(3))
		return asJSON(map[string]any{"of": of, "urgency": v.pick("standard", "urgent", "never"), "reason": v.text()})
	case "mentions":
		return asJSON(slices.Repeat(v.people, v.rng.IntN(100)))
	case "published":
		return v.pick("0", "1", "-1", "4102444800000", fmt.Sprint(int64(threads.MaxTime)), fmt.Sprint(-int64(threads.MaxTime)), "9007199254740991")
	case "on":
		return v.pick("true", "false")
	case "emoji":
		return asJSON(v.pick("👍", "👎", "a b", strings.Repeat("é", 32), "'", fmt.Sprint(v.rng.IntN(1000)), v.text()))
	}
	return asJSON(v.text())
}

// content is one of the type, with most of its members, in canonical form.
func (v *vandal) content(kind string) []byte {
	for {
		var all []string
		for _, m := range members[kind] {
			if v.rng.IntN(8) > 0 {
				all = append(all, fmt.Sprintf("%q:%s", m, v.value(m)))
			}
		}
		all = append(all, `"salt":"`+v.pick(salt(), salt(), salt(), "short")+`"`)
		raw, err := threads.Canonicalize([]byte("{"+strings.Join(all, ",")+"}"), threads.MaxContent)
		if err == nil {
			return raw
		}
	}
}

// Whatever a member writes, as long as its form is right: everybody takes it on either database,
// what people read goes on answering, and made anew it is the same.
func TestNoContentDisturbsThoseWhoReadIt(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		seed := rand.Uint64()
		rounds := 12
		if testing.Short() {
			rounds = 4
		}
		v := &vandal{
			rng: rand.New(rand.NewPCG(seed, 1)), people: []string{s.anaID, s.mal.person, "https://nowhere.example/people/AAAAAAAAAAAAAAAAAAAAAA"},
			objects: []string{s.thread, s.thread, s.thread, s.message, s.message, s.channel, threads.HashOf(nil), "", "x"},
		}
		kinds := slices.Sorted(maps.Keys(members))
		for range rounds {
			var batch []*threads.Event
			for size := 0; len(batch) < 60 && size < 2<<20; {
				d := threads.Draft{Type: kinds[v.rng.IntN(len(kinds))]}
				if d.Content = v.content(d.Type); d.Type == threads.TypeMessageErased {
					d.Erases = v.hash()
				}
				e := s.mal.write(d)
				size += len(e.Content)
				batch, v.objects = append(batch, e), append(v.objects[:min(len(v.objects), 200)], e.ID)
			}
			if got := s.mal.push(s.victim, batch...); got.status != http.StatusOK || len(got.Refusals) > 0 {
				t.Fatalf("seed %d: %d %.1000s", seed, got.status, got.body)
			}
		}
		s.readAll(t, seed)
		before := s.stateHash(s.ana, s.channel)
		s.operate("rebuild", struct{}{}, nil)
		if s.stateHash(s.ana, s.channel) != before {
			t.Errorf("seed %d: made anew, the state is another", seed)
		}
		s.readAll(t, seed)
		s.others(t)
	})
}

// readAll has ana read everything that there is.
func (s *scene) readAll(t *testing.T, seed uint64) {
	t.Helper()
	paths := []string{
		"/channels", "/channels/" + s.channel, "/channels/" + s.channel + "/members", "/channels/" + s.channel + "/threads?limit=200",
		"/threads/" + s.thread, "/threads/" + s.thread + "/messages?limit=200", "/messages/" + s.message, "/messages/" + s.message + "/history",
		"/search?q=leaks", "/search?q=words+many", "/events?after=&wait=0", "/me",
	}
	var all list
	s.must(s.ana, http.MethodGet, "/channels/"+s.channel+"/threads?limit=200", nil, &all)
	for _, thread := range all.Items {
		paths = append(paths, "/threads/"+thread.ID, "/threads/"+thread.ID+"/messages?limit=200")
	}
	for _, m := range s.messages(s.ana, s.thread) {
		paths = append(paths, "/messages/"+m.ID)
	}
	for _, path := range paths {
		begun := time.Now()
		status, body := s.call(s.ana, http.MethodGet, path, nil)
		if status >= 500 || time.Since(begun) > time.Minute {
			t.Errorf("seed %d: %s answers %d after %s: %.300s", seed, path, status, time.Since(begun), body)
		}
	}
}

// Whatever a host writes into its control log, as long as its form is right: its own channel may
// suffer, the server and its other channels do not.
func TestNoControlLogDisturbsTheServer(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 2))
		h := s.mal.hosts("Traps")
		status := s.lure(h.state.ID, func(string) []*threads.Event { return h.events })
		key := keyJSON(s.mal.keyID(), s.mal.public())
		pick := func(all ...string) string { return all[rng.IntN(len(all))] }
		heads := func(more string) string {
			return pick("[]", "null", "{}", "[[]]", `["x"]`, fmt.Sprintf("[[%q,%d,%s,%q%s]]", pick(s.mal.name, s.name, s.carol.name, "x.example"),
				rng.Int64N(20)<<32+rng.Int64N(3), pick("0", "1", "2", "-1", "9007199254740991"), pick(threads.HashOf(nil), "x"), more))
		}
		people := []string{s.mal.person, s.anaID, s.carol.person, "https://x.example/people/AAAAAAAAAAAAAAAAAAAAAA", "nobody"}
		kinds := []string{
			threads.TypeChannelCreated, threads.TypeChannelSettings, threads.TypeMemberJoined, threads.TypeMemberRole, threads.TypeMemberRemoved,
			threads.TypeServerRemoved, threads.TypeHeadsNamed, threads.TypeChannelArchived, "member.promoted", threads.TypeMessagePosted,
		}
		for range 400 {
			content := fmt.Sprintf(`{"acceptance":%s,"archived":%s,"cuts":%s,"heads":%s,"history":%s,"key":%s,"kind":%s,"name":%s,"person":%q,"request":%s,"role":%s,"salt":%q,"server":%q}`,
				pick(`""`, "7", asJSON(base64.RawURLEncoding.EncodeToString(make([]byte, 64)))), pick("true", "false", "7"), heads(""), heads(pick("", ",1,1", ",9007199254740991,9")),
				pick(`"full"`, `"joined"`, `"none"`), pick(key, "{}", "null"), pick(`"work"`, `"social"`, "7"), pick(`"x"`, `""`, asJSON(strings.Repeat("x", 30_000))),
				pick(people...), pick(`"r"`, `""`, asJSON(strings.Repeat("r", 20_000))), pick(`"owner"`, `"reader"`, `"king"`), salt(), pick(s.mal.name, s.name, s.carol.name, "x.example"))
			e := threads.Seal(threads.Header{
				Channel: h.state.ID, Log: threads.LogControl, Origin: s.mal.name, Seq: h.state.Control.Seq + 1, Prev: h.state.Control.Hash,
				Time: h.state.Control.Time + 1, Actor: pick(s.mal.person, s.anaID), Type: pick(kinds...), Key: s.mal.keyID(),
			}, []byte(content), s.mal.sign)
			got := s.mal.push(s.victim, e)
			if got.status != http.StatusOK {
				t.Fatalf("seed %d: %s %.2000s: %+v", seed, e.Header.Type, content, got)
			}
			if len(got.Refusals) == 0 {
				if err := h.state.ApplyControl(e); err != nil {
					t.Fatalf("seed %d: taken there, not here: %v", seed, err)
				}
				h.events = append(h.events, e)
			}
		}
		t.Logf("lured: %d; %d control events were taken", status, len(h.events))
		s.readAll(t, seed)
		for _, path := range []string{"", "/members", "/threads", "/state"} {
			if status, body := s.call(s.ana, http.MethodGet, "/channels/"+h.state.ID+path, nil); status >= 500 {
				t.Errorf("seed %d: %s answers %d %s", seed, path, status, body)
			}
		}
		s.operate("rebuild", struct{}{}, nil)
		s.others(t)
	})
}
