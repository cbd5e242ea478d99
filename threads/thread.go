package threads

import (
	"maps"
	"slices"
	"strings"
)

// Fields of a thread, each a register of its own.
const (
	FieldTitle     = "title"
	FieldObjective = "objective"
	FieldState     = "state"
	FieldAssignee  = "assignee"
	FieldStart     = "start"
	FieldDue       = "due"
)

// Limits of texts in a thread, in bytes of UTF-8.
const (
	MaxTitle     = 500
	MaxObjective = 4000
	MaxLabel     = 100
	MaxLabels    = 50
)

// States that a thread is set to by hand.
var threadStates = [...]string{"open", "waiting", "decided", "done"}

// IsThreadState reports whether s is a state that a thread can be set to.
func IsThreadState(s string) bool {
	for _, known := range threadStates {
		if s == known {
			return true
		}
	}
	return false
}

func threadCreated(e *Event, o Object, out *Effects) error {
	if title, ok, err := o.String(FieldTitle); err != nil || !ok || title == "" {
		return refuse("shape", "/title", "is required")
	}
	out.Thread = e.ID
	return threadWrites(e.ID, o, out)
}

func threadChanged(e *Event, o Object, out *Effects) error {
	object, err := objectOf(o)
	if err != nil {
		return err
	}
	return threadWrites(object, o, out)
}

func threadWrites(id Hash, o Object, out *Effects) error {
	for _, field := range []string{FieldTitle, FieldObjective, FieldState, FieldAssignee, FieldStart, FieldDue} {
		value, ok := o.Raw(field)
		if !ok {
			continue
		}
		text, _, err := o.String(field)
		if err != nil {
			return err
		}
		if field == FieldState && !IsThreadState(text) || field == FieldTitle && text == "" {
			return refuse("shape", "/"+field, "is not a value that a thread can have")
		}
		out.Writes = append(out.Writes, Write{Object: id, Field: field, Value: string(value)})
	}
	if err := flagWrites(id, o, "labels", FieldLabel, out); err != nil {
		return err
	}
	return flagWrites(id, o, "blocked_by", FieldBlocked, out)
}

// flagWrites reads {"x":true,"y":false}: each member a register of its own.
func flagWrites(id Hash, o Object, key, prefix string, out *Effects) error {
	flags, ok, err := o.Object(key)
	if err != nil || !ok {
		return err
	}
	for i := range flags.Len() {
		name := flags.Key(i)
		if err := CheckIdentifier(name); err != nil {
			return err
		}
		if _, _, err := flags.Bool(name); err != nil {
			return err
		}
		value, _ := flags.Raw(name)
		out.Writes = append(out.Writes, Write{Object: id, Field: prefix + name, Value: string(value)})
	}
	return nil
}

func objectOf(o Object) (Hash, error) {
	object, ok, err := o.String("object")
	if err != nil || !ok || !IsHash(object) {
		return "", refuse("shape", "/object", "must be the id of an event")
	}
	return object, nil
}

// ThreadContent is what thread.created and thread.changed carry; nil fields are
// left as they are.
type ThreadContent struct {
	Object    Hash // the thread that is changed; "" in thread.created
	Title     *string
	Objective *string
	State     *string
	Assignee  *string // id of a person, "" for nobody
	Start     *string // RFC 3339 date, "" for none
	Due       *string
	Labels    map[string]bool
	BlockedBy map[Hash]bool
}

// AppendThread appends the canonical content with its salt.
func AppendThread(dst []byte, t ThreadContent, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.optional(FieldAssignee, t.Assignee)
	w.flags("blocked_by", t.BlockedBy)
	w.optional(FieldDue, t.Due)
	w.flags("labels", t.Labels)
	if t.Object != "" {
		w.text("object", t.Object)
	}
	w.optional(FieldObjective, t.Objective)
	w.text("salt", salt)
	w.optional(FieldStart, t.Start)
	w.optional(FieldState, t.State)
	w.optional(FieldTitle, t.Title)
	return append(w.dst, '}')
}

// writer writes the members of one object; callers write them in order.
type writer struct {
	dst   []byte
	wrote bool
}

func (w *writer) key(key string) {
	if w.wrote {
		w.dst = append(w.dst, ',')
	}
	w.wrote = true
	w.dst = append(AppendString(w.dst, key), ':')
}

func (w *writer) text(key, value string) {
	w.key(key)
	w.dst = AppendString(w.dst, value)
}

func (w *writer) optional(key string, value *string) {
	if value != nil {
		w.text(key, *value)
	}
}

func (w *writer) nonEmpty(key, value string) {
	if value != "" {
		w.text(key, value)
	}
}

func (w *writer) integer(key string, n int64) {
	w.key(key)
	w.dst = AppendInt(w.dst, n)
}

func (w *writer) boolean(key string, on bool) {
	w.key(key)
	if on {
		w.dst = append(w.dst, "true"...)
	} else {
		w.dst = append(w.dst, "false"...)
	}
}

func (w *writer) flags(key string, flags map[string]bool) {
	if len(flags) == 0 {
		return
	}
	w.key(key)
	w.dst = append(w.dst, '{')
	inner := writer{dst: w.dst}
	for _, name := range sortedUTF16(flags) {
		inner.boolean(name, flags[name])
	}
	w.dst = append(inner.dst, '}')
}

// labelOK says whether a label can stand in a thread: short, no spaces at its
// ends, and nothing that would hide it.
func labelOK(s string) bool {
	return s != "" && len(s) <= MaxLabel && strings.TrimSpace(s) == s && CheckIdentifier(s) == nil
}

func sortedUTF16(flags map[string]bool) []string {
	return slices.SortedFunc(maps.Keys(flags), compareKeys[string, string])
}
