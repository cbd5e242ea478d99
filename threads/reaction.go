package threads

// MaxEmoji is how long the text of a reaction may be, in bytes of UTF-8.
const MaxEmoji = 64

func reactionSet(e *Event, o Object, out *Effects) error {
	object, err := objectOf(o)
	if err != nil {
		return err
	}
	emoji, _, err := o.String("emoji")
	if err != nil || !emojiOK(emoji) {
		return refuse("shape", "/emoji", "must be a short text without spaces")
	}
	if _, ok, err := o.Bool("on"); err != nil || !ok {
		return refuse("shape", "/on", "must be true or false")
	}
	value, _ := o.Raw("on")
	field := FieldReaction + emoji + " " + e.Header.Actor
	out.Writes = []Write{{Object: object, Field: field, Value: string(value)}}
	return nil
}

func emojiOK(s string) bool {
	if s == "" || len(s) > MaxEmoji || CheckIdentifier(s) != nil {
		return false
	}
	for _, r := range s {
		if r <= ' ' {
			return false
		}
	}
	return true
}

// AppendReaction appends the canonical content of reaction.set with its salt.
func AppendReaction(dst []byte, target Hash, emoji string, on bool, salt string) []byte {
	w := writer{dst: append(dst, '{')}
	w.text("emoji", emoji)
	w.text("object", target)
	w.boolean("on", on)
	w.text("salt", salt)
	return append(w.dst, '}')
}
