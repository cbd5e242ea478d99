package threads

import (
	"slices"
	"strings"
	"time"
)

// Ask is what a message wants of people: an answer by each, by an instant of
// their own.
type Ask struct {
	Urgency Urgency
	Reason  string // why it cannot wait; what is urgent needs one
	Of      []Asked
}

// Asked is one whom a message asks. The asker's server writes down when their
// answer is due and how that was reckoned; replicas compute nothing.
type Asked struct {
	Person string
	Due    time.Time // to the millisecond
	Basis  Basis
	Zone   string // IANA name of the zone of the hours; "" where the asker named the instant
}

// BasisNamed is that of an instant which the asker named.
const BasisNamed Basis = "named"

// Limits of asks; texts in bytes of UTF-8.
const (
	MaxAsked  = 50
	MaxReason = 500
	maxZone   = 64
)

// Fields of a message that answers to its ask stand in: the refusal of a person
// in the register FieldDeclined + person.
const (
	FieldWithdrawn = "ask withdrawn"
	FieldDeclined  = "ask declined "
)

// FieldsOfAsk is how the names of all registers of an ask begin.
const FieldsOfAsk = "ask "

// AskState is what became of an ask of one person.
type AskState string

// States of an ask of one person. An answer counts whatever else was said; a
// withdrawal ends what is not answered.
const (
	AskOpen      AskState = "open"
	AskAnswered  AskState = "answered"
	AskWithdrawn AskState = "withdrawn"
	AskDeclined  AskState = "declined"
)

// People are those whom it asks; nil for no ask.
func (a *Ask) People() []string {
	if a == nil {
		return nil
	}
	people := make([]string, len(a.Of))
	for i := range a.Of {
		people[i] = a.Of[i].Person
	}
	return people
}

// fault says what is wrong with an ask, and where; "" when nothing is.
func (a *Ask) fault() (field, text string) {
	if len(a.Of) == 0 || len(a.Of) > MaxAsked {
		return "/ask/of", "must name 1 to " + itoa(MaxAsked) + " people"
	}
	if a.Urgency.Span() == 0 {
		return "/ask/urgency", "must be standard, low or urgent"
	}
	if len(a.Reason) > MaxReason || CheckText(a.Reason) != nil {
		return "/ask/reason", "must be valid UTF-8 without the character U+0000, of at most " + itoa(MaxReason) + " bytes"
	}
	if a.Urgency == Urgent && strings.TrimSpace(a.Reason) == "" {
		return "/ask/reason", "is required for what is urgent: say why it cannot wait"
	}
	for i := range a.Of {
		at := "/ask/of/" + itoa(i)
		if field, text := a.Of[i].fault(); text != "" {
			return at + field, text
		}
		if slices.ContainsFunc(a.Of[:i], func(before Asked) bool { return before.Person == a.Of[i].Person }) {
			return at, "is asked twice"
		}
	}
	return "", ""
}

func (a *Asked) fault() (field, text string) {
	switch {
	case ServerOf(a.Person) == "":
		return "/person", "must be the id of a person"
	case TimeOf(a.Due) <= 0 || TimeOf(a.Due) > MaxTime:
		return "/due", "is out of range"
	case len(a.Zone) > maxZone || a.Zone != "" && CheckIdentifier(a.Zone) != nil:
		return "/zone", "must be the name of a time zone"
	}
	switch a.Basis {
	case BasisProfile, BasisZone, BasisDefault, BasisElapsed, BasisNamed:
		return "", ""
	}
	return "/basis", "must be profile, zone, default, elapsed or named"
}

// ask reads the ask of a message; nil when it has none.
func (r *reader) ask() *Ask {
	o, ok, err := r.o.Object("ask")
	if err != nil {
		r.fail(err)
	}
	if err != nil || !ok {
		return nil
	}
	in := reader{o: o}
	a := &Ask{Urgency: Urgency(in.text("urgency")), Reason: in.optionalText("reason"), Of: in.asked()}
	if field, text := a.fault(); in.err == nil && text != "" {
		in.fail(refuse("shape", field, text))
	}
	if in.err != nil {
		r.fail(in.err)
		return nil
	}
	return a
}

func (r *reader) asked() []Asked {
	of, _, err := r.o.Array("of")
	if err != nil {
		r.fail(err)
		return nil
	}
	all := make([]Asked, of.Len())
	for i := range all {
		o, err := of.Object(i)
		if err != nil {
			r.fail(err)
			return nil
		}
		one := reader{o: o}
		all[i] = Asked{
			Person: one.text("person"), Due: time.UnixMilli(one.integer("due")).UTC(),
			Basis: Basis(one.text("basis")), Zone: one.optionalText("zone"),
		}
		if one.err != nil {
			r.fail(one.err)
		}
	}
	return all
}

func (w *writer) ask(a *Ask) {
	if a == nil {
		return
	}
	w.key("ask")
	in := writer{dst: append(w.dst, '{')}
	in.key("of")
	in.dst = append(in.dst, '[')
	for i, one := range a.Of {
		if i > 0 {
			in.dst = append(in.dst, ',')
		}
		of := writer{dst: append(in.dst, '{')}
		of.text("basis", string(one.Basis))
		of.integer("due", one.Due.UnixMilli())
		of.text("person", one.Person)
		of.nonEmpty("zone", one.Zone)
		in.dst = append(of.dst, '}')
	}
	in.dst = append(in.dst, ']')
	in.nonEmpty("reason", a.Reason)
	in.text("urgency", string(a.Urgency))
	w.dst = append(in.dst, '}')
}

func askDeclined(e *Event, o Object, out *Effects) error {
	object, err := objectOf(o)
	if err != nil {
		return err
	}
	out.Writes = []Write{{Object: object, Field: FieldDeclined + e.Header.Actor, Value: "true"}}
	return nil
}

func askWithdrawn(e *Event, o Object, out *Effects) error {
	object, err := objectOf(o)
	if err != nil {
		return err
	}
	out.Writes = []Write{{Object: object, Field: FieldWithdrawn, Value: "true", SameActor: true}}
	return nil
}

// AppendAboutAsk appends the canonical content of ask.declined and of
// ask.withdrawn with its salt. Neither holds a text, which would have to be erasable.
func AppendAboutAsk(dst []byte, target Hash, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.text("object", target)
	w.text("salt", salt)
	return append(w.dst, '}')
}
