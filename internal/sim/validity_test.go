package sim

import (
	"encoding/json"

	"meridian/threads"
)

// What the control log of a channel says of one person, read apart from the
// rules that are tried here: a list of roles and removals, by number.
type turn struct {
	number int64
	role   threads.Role // "" for a removal
	cuts   map[threads.LogID]int64
}

// controlContent is what the model reads of a control event.
type controlContent struct {
	Person, Server, Role string
	Cuts                 [][]any
}

func (c controlContent) cuts() map[threads.LogID]int64 {
	cuts := map[threads.LogID]int64{}
	for _, cut := range c.Cuts {
		id := threads.LogID{Origin: cut[0].(string), Epoch: int64(cut[1].(float64))}
		cuts[id] = int64(cut[2].(float64))
	}
	return cuts
}

// turns reads a control log, in order.
func (w *world) turns(control []*threads.Event) map[string][]turn {
	turns := map[string][]turn{}
	for _, e := range control {
		var c controlContent
		w.must(json.Unmarshal(e.Content, &c))
		n := e.Header.Seq
		switch e.Header.Type {
		case threads.TypeChannelCreated:
			turns[e.Header.Actor] = []turn{{number: n, role: threads.RoleOwner}}
		case threads.TypeMemberJoined, threads.TypeMemberRole:
			turns[c.Person] = append(turns[c.Person], turn{number: n, role: threads.Role(c.Role)})
		case threads.TypeMemberRemoved:
			turns[c.Person] = append(turns[c.Person], turn{number: n, cuts: c.cuts()})
		case threads.TypeServerRemoved:
			for person, all := range turns {
				if threads.ServerOf(person) == c.Server && all[len(all)-1].role != "" {
					turns[person] = append(all, turn{number: n, cuts: c.cuts()})
				}
			}
		}
	}
	return turns
}

// counted is the model of validity: the actor had the right when the event was
// written, and it lies within the cut of the first removal after that.
func counted(h *threads.Header, turns []turn) bool {
	role := threads.RoleNone
	for _, t := range turns {
		if t.number <= h.Control.Number {
			role = t.role
			if role != "" && h.Type == threads.TypePersonErased {
				return true // who was ever let in can have all that they wrote erased
			}
			continue
		}
		if t.role == "" {
			return role.Gives(need(h.Type)) && h.Seq <= t.cuts[h.LogID()]
		}
	}
	return role.Gives(need(h.Type))
}

func need(eventType string) threads.Right {
	switch eventType {
	case threads.TypeThreadCreated, threads.TypeThreadChanged:
		return threads.RightWork
	case threads.TypeMessagePosted, threads.TypeMessageEdited:
		return threads.RightPost
	}
	return threads.RightReact
}

// checkValidity holds what a server takes to count against the model.
func (w *world) checkValidity(n *node, ch *channel, entries []threads.Entry) {
	var control []*threads.Event
	for _, e := range entries {
		if e.Event.Channel() == ch.id && e.Event.Header.Log == threads.LogControl {
			control = append(control, e.Event)
		}
	}
	turns, keys := w.turns(control), w.keyTurns(control)
	for _, e := range entries {
		h := &e.Event.Header
		if e.Event.Channel() != ch.id || h.Log != threads.LogData {
			continue
		}
		if why := unfit(h, keys[h.Origin]); why != "" {
			w.fail("%s holds %v, written under control event %d, %s", n.name, h.Ref(), h.Control.Number, why)
		}
		if e.Void == counted(h, turns[h.Actor]) {
			w.fail("%s has %v, written under control event %d, as void: %v", n.name, h.Ref(), h.Control.Number, e.Void)
		}
		w.counts.add(map[bool]string{true: "void event", false: "valid event"}[e.Void])
	}
}
