package sim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/threads"
)

// A disguise is a way to fill a field with somebody else's name, or with what is no name.
var disguises = []string{"own", "local", "third", "null", "number", "array"}

// fill are the values of one field in each disguise.
func fill(own, local, third string) map[string]any {
	return map[string]any{"own": own, "local": local, "third": third, "null": nil, "number": 7, "array": []any{own}}
}

// masks are all combinations of disguises for some fields, the honest one first.
func masks(fields ...string) []map[string]string {
	all := []map[string]string{{}}
	for _, field := range fields {
		var longer []map[string]string
		for _, m := range all {
			for _, d := range disguises {
				with := maps.Clone(m)
				with[field] = d
				longer = append(longer, with)
			}
		}
		all = longer
	}
	return all
}

// typed reports whether a mask holds names alone.
func typed(mask map[string]string) bool {
	for _, d := range mask {
		if d == "null" || d == "number" || d == "array" {
			return false
		}
	}
	return true
}

// kinds are contents of all types of events, as somebody writes them who may.
func (s *scene) kinds() map[string]threads.Draft {
	key := fmt.Sprintf(`{"id":%q,"public":%q}`, s.mal.keyID(), base64.RawURLEncoding.EncodeToString(s.mal.public()))
	mine := "Mine"
	drafts := map[string]threads.Draft{
		threads.TypeThreadCreated: {Content: threads.AppendThread(nil, threads.ThreadContent{Title: &mine}, salt())},
		threads.TypeThreadChanged: {Content: threads.AppendThread(nil, threads.ThreadContent{Object: s.thread, Title: &mine}, salt())},
		threads.TypeMessagePosted: {Content: threads.AppendMessage(nil, &threads.Message{Thread: s.thread, ReplyTo: s.message, Body: mine}, salt())},
		threads.TypeMessageEdited: {Content: threads.AppendEdit(nil, s.message, mine, salt())},
		threads.TypeMessageErased: {Content: threads.AppendTombstone(nil, threads.Tombstone{Thread: s.thread}, salt()), Erases: s.message},
		threads.TypeReactionSet:   {Content: threads.AppendReaction(nil, s.message, "👍", true, salt())},
		threads.TypeAskDeclined:   {Content: threads.AppendAboutAsk(nil, s.message, salt())},
		threads.TypeAskWithdrawn:  {Content: threads.AppendAboutAsk(nil, s.message, salt())},
		threads.TypePersonErased:  {Content: threads.AppendErasedPerson(nil, salt())},
	}
	for kind, content := range map[string]string{
		threads.TypeChannelCreated:  `"history":"full","key":` + key + `,"kind":"work","name":"Mine","salt":"SALT"`,
		threads.TypeChannelSettings: `"name":"Mine","salt":"SALT"`,
		threads.TypeMemberJoined:    fmt.Sprintf(`"key":%s,"person":%q,"role":"owner","salt":"SALT"`, key, s.mal.person),
		threads.TypeMemberRole:      fmt.Sprintf(`"person":%q,"role":"owner","salt":"SALT"`, s.mal.person),
		threads.TypeMemberRemoved:   fmt.Sprintf(`"cuts":[],"person":%q,"salt":"SALT"`, s.anaID),
		threads.TypeServerRemoved:   fmt.Sprintf(`"cuts":[],"salt":"SALT","server":%q`, s.carol.name),
		threads.TypeHeadsNamed:      `"heads":[],"salt":"SALT"`,
		threads.TypeChannelArchived: `"archived":true,"salt":"SALT"`,
		threads.TypeServerKey:       fmt.Sprintf(`"key":%s,"salt":"SALT","server":%q`, key, s.mal.name),
		threads.TypeLogFrozen:       fmt.Sprintf(`"cut":[%q,4294967297,0,""],"salt":"SALT"`, s.carol.name),
		threads.TypeChannelHost:     fmt.Sprintf(`"host":%q,"salt":"SALT"`, s.mal.name),
	} {
		drafts[kind] = threads.Draft{Content: []byte("{" + strings.ReplaceAll(content, "SALT", salt()) + "}")}
	}
	for _, row := range threads.Types() {
		d, ok := drafts[row.Name]
		if !ok {
			s.t.Fatalf("nobody tries to forge %s", row.Name)
		}
		d.Type = row.Name
		drafts[row.Name] = d
	}
	return drafts
}

// next is the event that would follow in the log that its type stands in, if the enemy were who it
// says it is.
func (s *scene) next(d threads.Draft) *threads.Event {
	e := s.mal.draft(d)
	if threads.TypeOf(d.Type).Log == threads.LogControl {
		e = s.mal.changed(e, func(h *threads.Header) {
			h.Log, h.Epoch, h.Control, h.After = threads.LogControl, 0, threads.ControlRef{}, nil
			h.Seq, h.Prev = s.mal.state.Control.Seq+1, s.mal.state.Control.Hash
		})
	}
	return e
}

// refilled is the frame of an event whose header has other values, signed by the enemy.
func (s *scene) refilled(e *threads.Event, values map[string]any) string {
	s.t.Helper()
	fields := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(e.HeaderBytes))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(fields, values)
	header, err := json.Marshal(fields)
	if err != nil {
		s.t.Fatal(err)
	}
	forged := *e
	forged.HeaderBytes, forged.Sig = header, s.mal.sign(threads.SigningBytes(header))
	return frames(&forged)
}

// T05: whoever an event says it is by, of and in, it counts only as its own server wrote it. The
// rows of federation's TestAnEventIsTakenOnlyAsItsOwnServerWroteIt are lies one at a time; these
// are all combinations.
func TestNoCombinationOfOthersNamesMakesAnEventCount(t *testing.T) {
	s := newScene(t, "")
	secret, _, _ := s.found("Secret", "Nobody else's.")
	key := fill(s.mal.keyID(), strings.Replace(s.mal.keyID(), s.mal.name, s.name, 1), s.carol.keyID())
	values := map[string]map[string]any{
		"origin":  fill(s.mal.name, s.name, s.carol.name),
		"actor":   fill(s.mal.person, s.anaID, s.carol.person),
		"channel": fill(s.channel, secret, threads.HashOf([]byte("elsewhere"))),
		"key":     key,
	}
	drafts := s.kinds()
	before, codes, counted := s.rows(), map[string]float64{}, s.scrape()
	all := masks("origin", "actor", "channel", "key")
	tried, n := 0, 0
	for kind, d := range drafts {
		for i, mask := range all {
			if i == 0 && threads.TypeOf(kind).Log == threads.LogData {
				continue // the truth
			}
			if n++; !typed(mask) && i%len(drafts) != n%len(drafts) || testing.Short() && n%7 != 0 {
				continue
			}
			with := map[string]any{}
			for field, d := range mask {
				with[field] = values[field][d]
			}
			got := s.mal.pushRaw(s.victim, s.refilled(s.next(d), with))
			if got.status != http.StatusOK || len(got.Refusals) != 1 || got.Refusals[0].Code == "" || got.Refusals[0].Detail == "" {
				t.Fatalf("%s as %v: %+v", kind, mask, got)
			}
			codes[got.Refusals[0].Code]++
			tried++
		}
	}
	s.unchanged("forged events", before)
	after := s.scrape()
	for code, n := range codes {
		series := fmt.Sprintf("meridian_federation_frames_refused_total{code=%q}", code)
		if got := after[series] - counted[series]; got != n {
			t.Errorf("%s: counted %v, refused %v", series, got, n)
		}
	}
	t.Logf("%d forged events refused: %v", tried, codes)
	if got := s.mal.push(s.victim, s.mal.write(drafts[threads.TypeMessagePosted])); got.status != http.StatusOK || len(got.Refusals) > 0 || !s.shows("Mine") {
		t.Errorf("the true event: %+v", got)
	}
}

// requests are bodies of every exchange, about a channel and a person.
func (s *scene) requests(channel, person any) map[string][2]string {
	ch, p := asJSON(channel), asJSON(person)
	request := func(more string) [2]string {
		return [2]string{toRequest, fmt.Sprintf(`{"id":%q,"channel":%s,%s}`, salt(), ch, more)}
	}
	return map[string][2]string{
		"push":     {toPush, fmt.Sprintf("{\"channels\":[{\"channel\":%s,\"control\":[1,\"\"]}]}\n", ch)},
		"pull":     {toPull, fmt.Sprintf(`{"channels":[{"channel":%s,"control":[0,""]}]}`, ch)},
		"digest":   {toDigest, fmt.Sprintf(`{"buckets":{},"channel":%s}`, ch)},
		"profiles": {toProfiles, fmt.Sprintf(`{"people":[%s]}`, p)},
		"invite":   request(fmt.Sprintf(`"kind":"invite","invite":{"address":"ana@%s","inviter":%s,"name":"Mine","purpose":"","role":"owner"}`, s.name, p)),
		"accept":   request(fmt.Sprintf(`"kind":"accept","accept":{"acceptance":"","person":%s,"prev":"","role":"owner"}`, p)),
		"decline":  request(`"kind":"decline"`),
		"settings": request(fmt.Sprintf(`"kind":"command","command":{"kind":"settings","actor":%s,"settings":{"name":"Mine"}}`, p)),
		"role":     request(fmt.Sprintf(`"kind":"command","command":{"kind":"role","actor":%s,"person":%q,"role":"owner"}`, p, s.mal.person)),
		"remove":   request(fmt.Sprintf(`"kind":"command","command":{"kind":"remove_member","actor":%s,"person":%q}`, p, s.carol.person)),
		"expel":    request(fmt.Sprintf(`"kind":"command","command":{"kind":"remove_server","actor":%s,"server":%q}`, p, s.carol.name)),
		"bring in": request(fmt.Sprintf(`"kind":"command","command":{"kind":"invite","actor":%s,"address":"ana@%s","role":"owner"}`, p, s.name)),
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// T05, T25: a request counts only under the name of the server that made it.
func TestNobodyIsHeardUnderAnothersName(t *testing.T) {
	s := newScene(t, "")
	keys := map[string]string{
		"own": s.mal.keyID(), "local": strings.Replace(s.mal.keyID(), s.mal.name, s.name, 1), "third": s.carol.keyID(),
		"stranger": s.stranger.keyID(), "null": "null", "number": "7", "array": "[]",
	}
	before, counted := s.rows(), sum(s.scrape(), "meridian_federation_signature_failures_total")
	refused := 0
	for name, keyID := range keys {
		for kind, r := range s.requests(s.channel, s.mal.person) {
			sender := s.mal
			if name == "own" {
				sender = s.stranger // a stranger that claims to be a member
			}
			got := sender.send(sender.request(s.victim, r[0], r[1], keyID, time.Now()))
			want := http.StatusForbidden
			if name == "own" || name == "third" { // known keys that did not sign
				want = http.StatusUnauthorized
			}
			if got.status != want || !got.refusedWhole() {
				t.Errorf("%s under the key id of %s: %+v", kind, name, got)
			}
			refused++
		}
	}
	s.unchanged("requests under other names", before)
	if got := sum(s.scrape(), "meridian_federation_signature_failures_total") - counted; got != float64(refused) {
		t.Errorf("counted %v, refused %d", got, refused)
	}
	if got := s.mal.ask(s.victim, toDigest, `{"buckets":{}}`); got.status != http.StatusOK {
		t.Errorf("the true request: %+v", got)
	}
}

// T05: a member server commands nothing in the name of others' people, and nothing elsewhere.
func TestNobodyCommandsInAnothersName(t *testing.T) {
	s := newScene(t, "")
	secret, _, _ := s.found("Secret", "Nobody else's.")
	channels := fill(s.channel, secret, threads.HashOf([]byte("elsewhere")))
	people := fill(s.mal.person, s.anaID, s.carol.person)
	before := s.rows()
	for _, mask := range masks("channel", "person")[1:] {
		for kind, r := range s.requests(channels[mask["channel"]], people[mask["person"]]) {
			got := s.mal.ask(s.victim, r[0], r[1])
			if r[0] != toRequest {
				if got.status >= 500 || strings.Contains(got.body, secret) && !strings.Contains(got.body, `"unknown_channel"`) {
					t.Errorf("%s about %v: %+v", kind, mask, got)
				}
				continue
			}
			if kind == "invite" && typed(mask) {
				continue // whoever hosts a channel may offer it: see the floods
			}
			if !got.refusedWhole() {
				t.Errorf("%s about %v: %+v", kind, mask, got)
			}
		}
	}
	delete(before, "invitation")
	after := s.rows()
	delete(after, "invitation")
	for table, n := range after {
		if n != before[table] {
			t.Errorf("%d rows in %s, there were %d", n, table, before[table])
		}
	}
}
