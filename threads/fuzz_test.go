package threads

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/cost"
)

// history are events of most types, as servers write them.
func history(t testing.TB) []*Event {
	kobo, havel := newActor(t, "kobo.example"), newActor(t, "havel.example")
	ana, ben := kobo.person("ana"), havel.person("ben")
	c, events := created(kobo, ana)
	add := func(some []*Event) { events = append(events, some...) }
	add(kobo.must(c, ana, havel.join(c, ben, RoleMember)))
	add(kobo.must(c, ana, StartThread{Channel: c.ID, Content: title("Pump 3"), Body: "It leaks, @ben."}))
	add(kobo.must(c, ana, ChangeRole{Channel: c.ID, Person: ben, Role: RoleReader}))
	add(kobo.must(c, ana, ChangeSettings{Channel: c.ID, Settings: Settings{Name: "Harbour", Kind: "work", History: "joined"}}))
	add(kobo.must(c, ana, RemoveMember{Channel: c.ID, Person: ben}))
	return events
}

// T75: headers. One that is taken has one meaning, which written again is read alike.
func FuzzDecodeHeader(f *testing.F) {
	for _, e := range history(f) {
		f.Add(e.HeaderBytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h *Header
		var err error
		cost.Hold(t, func() { h, err = DecodeHeader(b) })
		if err != nil {
			return
		}
		again, err := DecodeHeader(AppendHeader(nil, h))
		if err != nil {
			t.Fatalf("%s is taken, and refused as this program writes it: %v", b, err)
		}
		if diff := cmp.Diff(h, again); diff != "" {
			t.Error(diff)
		}
	})
}

// T75: contents, of each type that there is. One that its type does not allow changes nothing; one that it
// does changes every replica alike.
func FuzzContents(f *testing.F) {
	events := history(f)
	types := Types()
	for _, e := range events {
		for i := range types {
			if types[i].Name == e.Header.Type {
				f.Add(byte(i), e.Content)
			}
		}
	}
	base := replica(f, events[:2])
	f.Fuzz(func(t *testing.T, kind byte, content []byte) {
		e := *events[1]
		e.Header.Type, e.Content = types[int(kind)%len(types)].Name, content
		e.Header.Content = HashOf(content)
		cost.Hold(t, func() {
			if diff := cmp.Diff(EffectsOf(&e), EffectsOf(&e)); diff != "" {
				t.Error(diff)
			}
		})
		e.Header.Seq, e.Header.Prev = 3, events[1].ID
		one, two := base.Clone(), base.Clone()
		err, other := one.ApplyControl(&e), two.ApplyControl(&e)
		if (err == nil) != (other == nil) || !reflect.DeepEqual(one.control, two.control) {
			t.Fatalf("two replicas part over %s: %v, %v", content, err, other)
		}
		if err != nil && !reflect.DeepEqual(one.control, base.control) {
			t.Errorf("%s is refused (%v) and has changed the channel", content, err)
		}
	})
}
