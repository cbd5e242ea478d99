package sim

import (
	"bytes"
	"encoding/json"
	"strings"

	"meridian/federation"
	"meridian/threads"
)

// What a liar asks for that is none of its business. Whoever answers is held to
// what it may say by overhear.

// pryIntoChannel asks for a channel as if nothing of it were held, with all its
// contents, whether or not its server is in it.
func (l *liar) pryIntoChannel() bool {
	to := l.victim()
	if to == nil || len(l.world.channels) == 0 {
		return false
	}
	ch := l.world.anyChannel()
	var ids []threads.Hash
	for _, p := range l.world.posts[:min(len(l.world.posts), 50)] {
		ids = append(ids, p.id)
	}
	l.ask(to, "pull", map[string]any{"channels": []any{map[string]any{
		"channel": ch.id, "control": []any{0, ""}, "contents": ids, "waiting": l.world.rng.IntN(2) == 0,
	}}})
	return true
}

// pryIntoPeople asks who everybody is.
func (l *liar) pryIntoPeople() bool {
	to := l.victim()
	if to == nil {
		return false
	}
	var people []string
	for _, n := range l.world.nodes {
		people = append(people, n.people...)
	}
	l.ask(to, "profiles", map[string]any{"people": people})
	return true
}

// pryIntoErased asks what became of messages in all channels.
func (l *liar) pryIntoErased() bool {
	to := l.victim()
	if to == nil || len(l.world.posts) == 0 {
		return false
	}
	var ids []threads.Hash
	for range 20 {
		ids = append(ids, l.world.posts[l.world.rng.IntN(len(l.world.posts))].id)
	}
	l.ask(to, "erased", map[string]any{"events": ids})
	return true
}

func (l *liar) ask(to *node, exchange string, question any) {
	body, err := json.Marshal(question)
	l.world.must(err)
	l.post(to, "/federation/v1/"+exchange, "application/json", body)
}

// manyLogs begins a log after the other, more than count.
func (l *liar) manyLogs() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil || l.world.rng.IntN(3) > 0 {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	var all []*threads.Event
	first := c.OpenLog(l.name, l.now()).Epoch
	for i := range int64(threads.MaxLogs + 4) {
		all = append(all, l.change(e, func(h *threads.Header) { h.Epoch, h.Seq, h.Prev = first+1+i, 1, "" }))
	}
	l.push(to, all...)
	return true
}

// flood sends more frames at once than an exchange may carry.
func (l *liar) flood() bool {
	_, c := l.stage()
	to := l.victim()
	if c == nil || to == nil || l.world.rng.IntN(3) > 0 {
		return false
	}
	e := l.draft(c)
	if e == nil {
		return false
	}
	all := make([]*threads.Event, federation.MaxFrames+1)
	for i := range all {
		all[i] = e
	}
	l.push(to, all...)
	return true
}

// tamperOther changes what the liar answers to anything but a pull.
func (l *liar) tamperOther(path string, body []byte) []byte {
	if l.dice(4) > 0 {
		return body
	}
	switch {
	case strings.HasSuffix(path, "/push"):
		return l.claim(body)
	case strings.HasSuffix(path, "/digest"):
		l.world.counts.add("lie: false digest")
		return []byte(`{"buckets":{}}` + "\n")
	case strings.HasSuffix(path, "/erased"):
		l.world.counts.add("lie: false receipt")
		return bytes.ReplaceAll(body, []byte(`"held"`), []byte(`"erased"`))
	case strings.HasSuffix(path, "/profiles"):
		return l.falseProfiles(body)
	case strings.HasSuffix(path, "/file"):
		return l.falseFile(body)
	}
	return body
}

// falseProfiles gives people another name, or tells of people of others.
func (l *liar) falseProfiles(body []byte) []byte {
	var answer struct {
		Profiles []struct {
			Profile json.RawMessage `json:"profile"`
			Sig     string          `json:"sig"`
		} `json:"profiles"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Profiles) == 0 {
		return body
	}
	other := l.world.pick()
	for i := range answer.Profiles {
		changed := bytes.ReplaceAll(answer.Profiles[i].Profile, []byte("p0"), []byte("liar"))
		if other != l.node && l.dice(2) == 0 {
			changed = bytes.ReplaceAll(changed, []byte(l.name), []byte(other.name))
		}
		answer.Profiles[i].Profile = changed
	}
	out, err := json.Marshal(answer)
	l.world.must(err)
	l.world.counts.add("lie: false profile")
	return append(out, '\n')
}
