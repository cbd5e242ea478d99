package sim

import (
	"bytes"
	"encoding/json"
	"strings"

	"meridian/federation"
	"meridian/threads"
)

// overhear looks at everything that honest servers say: nothing of a channel goes
// to a server that is not in it, or no longer, or came later; of people only those
// are told of who share a channel with the asker, and nothing but their profile.
func (w *world) overhear(from, to *node, path string, asked, said []byte) {
	if from.liar != nil {
		return
	}
	if strings.HasSuffix(path, "/file") {
		if bytes.HasPrefix(said, []byte(`{"size":`)) {
			w.overhearFile(from, to, asked)
		}
		return
	}
	for _, line := range bytes.SplitAfter(said, []byte("\n")) {
		switch {
		case bytes.HasPrefix(line, []byte(`{"header":`)):
			w.overhearFrame(from, to, line)
		case bytes.HasPrefix(line, []byte(`{"profiles":`)) && strings.HasSuffix(path, "/profiles"):
			w.overhearProfiles(from, to, line)
		case bytes.HasPrefix(line, []byte(`{"events":{`)) && strings.HasSuffix(path, "/erased"):
			w.overhearErased(from, to, line)
		case bytes.HasPrefix(line, []byte(`{"channels":[`)) && strings.HasSuffix(path, "/pull"):
			w.overhearStanding(from, to, line)
		}
	}
}

func (w *world) overhearFrame(from, to *node, line []byte) {
	frames, err := federation.ReadFrames(line)
	w.must(err)
	for _, e := range frames.Events {
		c := from.channel(e.Channel())
		if c == nil || !c.WasMember(to.name) {
			w.fail("%s sent %v to %s, which is not in the channel", from.name, e.Header.Ref(), to.name)
		}
		if !c.IsMember(to.name) && (e.Header.Log != threads.LogControl || e.Header.Seq > c.RemovedAt(to.name)) {
			w.fail("%s sent %v to %s, which was removed by %d", from.name, e.Header.Ref(), to.name, c.RemovedAt(to.name))
		}
		start := c.Start(to.name)[e.Header.LogID()].Seq
		if c.Settings.History == "joined" && !c.SeesHistory(to.name) && c.IsMember(to.name) && e.Header.Origin != to.name && e.Header.Log == threads.LogData && e.Header.Seq <= start {
			w.fail("%s sent %v to %s, which sees only what follows %d", from.name, e.Header.Ref(), to.name, start)
		}
	}
}

// overhearProfiles: product.md's fields alone, of people in a channel with the asker.
func (w *world) overhearProfiles(from, to *node, line []byte) {
	var answer struct {
		Profiles []struct{ Profile map[string]any }
	}
	w.must(json.Unmarshal(line, &answer))
	for _, one := range answer.Profiles {
		person, _ := one.Profile["person"].(string)
		shared := false
		for _, ch := range w.channels {
			c := from.channel(ch.id)
			shared = shared || c != nil && c.IsMember(to.name) && c.IsMember(from.name) && c.Role(person) != threads.RoleNone
		}
		if !shared {
			w.fail("%s told %s of %s, who is in no channel with it", from.name, to.name, person)
		}
		for field := range one.Profile {
			switch field {
			case "person", "version", "name", "address", "zone", "hours":
			default:
				w.fail("%s told %s the %s of %s", from.name, to.name, field, person)
			}
		}
		w.counts.add("profile told")
	}
}

func (w *world) overhearErased(from, to *node, line []byte) {
	var answer struct{ Events map[threads.Hash]string }
	w.must(json.Unmarshal(line, &answer))
	for _, p := range w.posts {
		if said := answer.Events[p.id]; said != "" && said != threads.AnswerUnknown {
			if c := from.channel(p.channel.id); c == nil || !c.WasMember(to.name) {
				w.fail("%s told %s that %s is %s, of a channel that it never was in", from.name, to.name, p.id, said)
			}
		}
	}
}

// overhearStanding: how far a channel has come is for its members to know.
func (w *world) overhearStanding(from, to *node, line []byte) {
	var answer struct {
		Channels []struct {
			Channel  threads.Hash
			Frontier []any
		}
	}
	w.must(json.Unmarshal(line, &answer))
	for _, one := range answer.Channels {
		if c := from.channel(one.Channel); len(one.Frontier) > 0 && (c == nil || !c.IsMember(to.name)) {
			// What was asked for is said by the asker itself, which may not know that it was removed.
			w.fail("%s told %s how far a channel has come that it is not in", from.name, to.name)
		}
	}
}
