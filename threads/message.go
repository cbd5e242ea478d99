package threads

// MaxBody is how long a message's text may be, in bytes of UTF-8; as canonical
// JSON it must fit a content as well.
const MaxBody = 60_000

// MaxMentions is how many people one message may mention.
const MaxMentions = 50

const noteType = "Note" // ActivityStreams 2.0 object type

func messagePosted(e *Event, o Object, out *Effects) error {
	m := &Message{}
	r := reader{o: o}
	m.Thread = r.text("context")
	m.Body = r.text("content")
	m.ReplyTo = r.optionalText("inReplyTo")
	m.AttributedTo = r.optionalText("attributed_to")
	m.OriginalID = r.optionalText("message_id")
	m.InReplyTo = r.optionalText("in_reply_to")
	if published, ok, err := o.Int("published"); err != nil {
		r.fail(err)
	} else if ok {
		m.Published = Time(published)
	}
	m.Mentions = r.texts("mentions")
	m.Attachments = r.attachments()
	m.Ask = r.ask()
	switch {
	case r.err != nil:
		return r.err
	case !IsHash(m.Thread):
		return refuse("shape", "/context", "must be the id of a thread")
	case m.ReplyTo != "" && !IsHash(m.ReplyTo):
		return refuse("shape", "/inReplyTo", "must be the id of a message")
	case m.Published != 0 && (m.Published < -MaxTime || m.Published > MaxTime):
		return refuse("time", "/published", "is out of range")
	}
	out.Message = m
	return nil
}

func messageEdited(e *Event, o Object, out *Effects) error {
	object, err := objectOf(o)
	if err != nil {
		return err
	}
	value, ok := o.Raw("content")
	if _, _, err := o.String("content"); err != nil || !ok {
		return refuse("shape", "/content", "must be the new text")
	}
	out.Writes = []Write{{Object: object, Field: FieldBody, Value: string(value), SameActor: true}}
	return nil
}

func messageErased(e *Event, o Object, out *Effects) error {
	r := reader{o: o}
	t := Tombstone{Target: e.Header.Erases, Thread: r.text("context"), ReplyTo: r.optionalText("inReplyTo")}
	if r.err != nil {
		return r.err
	}
	if !IsHash(t.Thread) || t.ReplyTo != "" && !IsHash(t.ReplyTo) {
		return refuse("shape", "/context", "must be the id of a thread")
	}
	out.Erases = &t
	return nil
}

func (r *reader) texts(key string) []string {
	a, ok, err := r.o.Array(key)
	if err != nil {
		r.fail(err)
	}
	if err != nil || !ok {
		return nil
	}
	texts := make([]string, a.Len())
	for i := range texts {
		if texts[i], err = a.String(i); err != nil {
			r.fail(err)
			return nil
		}
	}
	return texts
}

// AppendMessage appends the canonical content of message.posted with its salt:
// an ActivityStreams 2.0 Note in Markdown.
func AppendMessage(dst []byte, m *Message, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.ask(m.Ask)
	w.attachments(m.Attachments)
	w.nonEmpty("attributed_to", m.AttributedTo)
	w.text("content", m.Body)
	w.text("context", m.Thread)
	w.nonEmpty("inReplyTo", m.ReplyTo)
	w.nonEmpty("in_reply_to", m.InReplyTo)
	w.text("mediaType", "text/markdown")
	if len(m.Mentions) > 0 {
		w.key("mentions")
		w.dst = append(w.dst, '[')
		for i, id := range m.Mentions {
			if i > 0 {
				w.dst = append(w.dst, ',')
			}
			w.dst = AppendString(w.dst, id)
		}
		w.dst = append(w.dst, ']')
	}
	w.nonEmpty("message_id", m.OriginalID)
	if m.Published != 0 {
		w.integer("published", int64(m.Published))
	}
	w.text("salt", salt)
	w.text("type", noteType)
	return append(w.dst, '}')
}

// AppendEdit appends the canonical content of message.edited with its salt.
func AppendEdit(dst []byte, target Hash, body, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.text("content", body)
	w.text("mediaType", "text/markdown")
	w.text("object", target)
	w.text("salt", salt)
	return append(w.dst, '}')
}

// AppendTombstone appends the canonical content of message.erased with its salt.
func AppendTombstone(dst []byte, t Tombstone, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.text("context", t.Thread)
	w.nonEmpty("inReplyTo", t.ReplyTo)
	w.text("salt", salt)
	w.text("type", "Tombstone")
	return append(w.dst, '}')
}
