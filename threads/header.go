package threads

import "fmt"

// DecodeHeader reads a header from its exact bytes, refusing with a
// *DecodeError everything that is not the canonical form of a well-shaped
// header.
func DecodeHeader(b []byte) (*Header, error) {
	o, err := ParseCanonical(b, MaxHeader)
	if err != nil {
		return nil, err
	}
	r := reader{o: o}
	h := &Header{
		V:       r.integer("v"),
		Channel: r.text("channel"),
		Log:     r.text("log"),
		Origin:  r.text("origin"),
		Epoch:   r.integer("epoch"),
		Seq:     r.integer("seq"),
		Prev:    r.text("prev"),
		Erases:  r.optionalText("erases"),
		Time:    Time(r.integer("time")),
		Actor:   r.text("actor"),
		Type:    r.text("type"),
		Content: r.text("content"),
		Key:     r.text("key"),
	}
	r.refs(h)
	r.control(h)
	if r.err == nil {
		r.err = checkHeader(h, o)
	}
	if r.err != nil {
		return nil, r.err
	}
	return h, nil
}

func checkHeader(h *Header, o Object) error {
	created := h.Log == LogControl && h.Seq == 1
	switch {
	case h.V != 1:
		return refuse("version", "/v", "only version 1 is understood")
	case h.Log != LogControl && h.Log != LogData:
		return refuse("shape", "/log", "must be control or data")
	case created != (h.Channel == ""):
		return refuse("shape", "/channel", "is empty in control event 1 and there alone")
	case h.Channel != "" && !IsHash(h.Channel):
		return refuse("shape", "/channel", "must be a hash")
	case !isServerName(h.Origin):
		return refuse("shape", "/origin", "must be a server name")
	case h.Seq < 1:
		return refuse("shape", "/seq", "counts from 1")
	case (h.Seq == 1) != (h.Prev == "") || h.Prev != "" && !IsHash(h.Prev):
		return refuse("shape", "/prev", "must be the hash of the header before, empty at 1")
	case h.Time < MinTime || h.Time > MaxTime:
		return refuse("time", "/time", "must lie in the years 2000 to 2100")
	case ServerOf(h.Actor) == "":
		return refuse("shape", "/actor", "must be the id of a person")
	case !IsHash(h.Content):
		return refuse("shape", "/content", "must be a hash")
	case h.Erases != "" && !IsHash(h.Erases):
		return refuse("shape", "/erases", "must be the id of an event")
	case CheckIdentifier(h.Type) != nil:
		return refuse("shape", "/type", "must be an identifier")
	case CheckIdentifier(h.Key) != nil:
		return refuse("shape", "/key", "must be the id of a key")
	}
	return checkLogShape(h, o)
}

func checkLogShape(h *Header, o Object) error {
	if h.Log == LogControl {
		if h.Epoch != 0 || o.Has("control") || o.Has("after") || o.Has("erases") {
			return refuse("shape", "/log", "a control event has epoch 0 and neither control, after nor erases")
		}
		return nil
	}
	switch {
	case h.Epoch < 1<<32:
		return refuse("shape", "/epoch", "must name the admission and the second of opening")
	case h.Control.Number < 1 || !IsHash(h.Control.Hash):
		return refuse("shape", "/control", "must be [number, hash] of a control event")
	case ServerOf(h.Actor) != h.Origin:
		return refuse("origin", "/actor", "must be a person of the event's origin")
	case TypeOf(h.Type).erases != (h.Erases != "") && TypeOf(h.Type).known():
		return refuse("shape", "/erases", "stands in erasing events and there alone")
	}
	return nil
}

// reader collects members of an object and keeps the first error.
type reader struct {
	o   Object
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(key string) string {
	s, ok, err := r.o.String(key)
	if err != nil {
		r.fail(err)
	} else if !ok {
		r.fail(refuse("missing", "/"+key, "is required"))
	}
	return s
}

func (r *reader) optionalText(key string) string {
	s, ok, err := r.o.String(key)
	if err != nil {
		r.fail(err)
	} else if ok && s == "" {
		r.fail(refuse("shape", "/"+key, "is left out rather than empty"))
	}
	return s
}

func (r *reader) integer(key string) int64 {
	n, ok, err := r.o.Int(key)
	if err != nil {
		r.fail(err)
	} else if !ok {
		r.fail(refuse("missing", "/"+key, "is required"))
	}
	return n
}

func (r *reader) control(h *Header) {
	a, ok, err := r.o.Array("control")
	if err != nil {
		r.fail(err)
	}
	if err != nil || !ok {
		return
	}
	if a.Len() != 2 {
		r.fail(refuse("shape", "/control", "must be [number, hash]"))
		return
	}
	if h.Control.Number, err = a.Int(0); err != nil {
		r.fail(refuse("shape", "/control/0", "must be a number"))
	}
	if h.Control.Hash, err = a.String(1); err != nil {
		r.fail(refuse("shape", "/control/1", "must be a hash"))
	}
}

func (r *reader) refs(h *Header) {
	a, ok, err := r.o.Array("after")
	if err != nil {
		r.fail(err)
	}
	if err != nil || !ok {
		return
	}
	if a.Len() == 0 || a.Len() > MaxAfter {
		r.fail(refuse("shape", "/after", fmt.Sprintf("names 1 to %d events, or is left out", MaxAfter)))
		return
	}
	h.After = make([]Ref, a.Len())
	for i := range h.After {
		if h.After[i], err = decodeRef(a, i); err != nil {
			r.fail(err)
			return
		}
	}
}

func decodeRef(a Array, i int) (Ref, error) {
	shape := refuse("shape", fmt.Sprintf("/after/%d", i), "must be [origin, epoch, seq]")
	t, err := a.Array(i)
	if err != nil || t.Len() != 3 {
		return Ref{}, shape
	}
	var ref Ref
	var errs [3]error
	ref.Origin, errs[0] = t.String(0)
	ref.Epoch, errs[1] = t.Int(1)
	ref.Seq, errs[2] = t.Int(2)
	if errs != [3]error{} || !isServerName(ref.Origin) || ref.Epoch < 1<<32 || ref.Seq < 1 {
		return Ref{}, shape
	}
	return ref, nil
}

func refuse(code, path, detail string) error {
	return &DecodeError{Code: code, Path: path, Detail: detail}
}
