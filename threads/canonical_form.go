package threads

import (
	"slices"
	"unicode/utf8"
)

// Canonicalize returns the canonical form of b, a JSON object of at most max bytes in any order,
// spacing and escaping. It refuses what no event may hold, as [ParseCanonical] does; numbers must
// be plain integers already. It never returns more bytes than it was given, and never repairs.
// Errors are of type [*DecodeError], with offsets into b.
func Canonicalize(b []byte, max int) ([]byte, error) {
	c, err := newJSONCursor(b, max)
	if err != nil {
		return nil, err
	}
	f := jsonFormer{jsonCursor: c, out: make([]byte, 0, len(b))}
	f.space()
	if f.at() != '{' {
		f.unexpected("an object")
		return nil, f.err
	}
	if !f.object() {
		return nil, f.err
	}
	if f.space(); !f.end() {
		return nil, f.err
	}
	return f.out, nil
}

// jsonFormer reads a text and writes its canonical form.
type jsonFormer struct {
	jsonCursor
	out     []byte
	escaped bool // the string just written holds an escape
}

func (f *jsonFormer) space() {
	for {
		switch f.at() {
		case ' ', '\t', '\r', '\n':
			f.i++
		default:
			return
		}
	}
}

func (f *jsonFormer) value() bool {
	start := f.i
	ok := false
	switch ch := f.at(); {
	case ch == '"':
		return f.text()
	case ch == '{':
		return f.object()
	case ch == '[':
		return f.array()
	case ch >= '0' && ch <= '9' || ch == '-':
		ok = f.integer()
	default:
		ok = f.literal()
	}
	f.out = append(f.out, f.b[start:f.i]...)
	return ok
}

func (f *jsonFormer) object() bool {
	if !f.open() {
		return false
	}
	start := len(f.out)
	f.out = append(f.out, '{')
	var members []jsonMember // where they stand in out
	seen := map[string]bool{}
	for f.space(); f.at() != '}'; f.space() {
		if len(members) > 0 && !f.comma() {
			return false
		}
		m := jsonMember{key: int32(len(f.out))}
		if !f.key(&m, seen) || !f.value() {
			return false
		}
		m.end = int32(len(f.out))
		members = append(members, m)
	}
	f.sort(start, members)
	f.out = append(f.out, '}')
	return f.close()
}

// comma reads a comma and the space after it.
func (f *jsonFormer) comma() bool {
	if f.at() != ',' {
		return f.unexpected("a comma or the end")
	}
	f.i++
	f.space()
	f.out = append(f.out, ',')
	return true
}

// key reads a key and its colon; no other in seen may equal it but for case.
func (f *jsonFormer) key(m *jsonMember, seen map[string]bool) bool {
	if f.at() != '"' {
		return f.unexpected("a key")
	}
	if !f.text() {
		return false
	}
	m.colon, m.escaped = int32(len(f.out)), f.escaped
	folded := foldKey(keyOf(f.out, *m))
	if seen[folded] {
		return f.fail(DecodeDuplicateKey, "stands twice in its object, or differs only by case from another key")
	}
	seen[folded] = true
	if f.space(); f.at() != ':' {
		return f.unexpected("a colon")
	}
	f.i++
	f.space()
	f.out = append(f.out, ':')
	return true
}

// sort brings the members written since start into canonical order.
func (f *jsonFormer) sort(start int, members []jsonMember) {
	written := f.out
	byKey := func(a, b jsonMember) int { return compareMembers(written, a, b) }
	if slices.IsSortedFunc(members, byKey) {
		return
	}
	slices.SortFunc(members, byKey)
	written = slices.Clone(written[start:])
	f.out = f.out[:start]
	for i, m := range members {
		f.out = append(f.out, "{,"[min(i, 1)])
		f.out = append(f.out, written[int(m.key)-start:int(m.end)-start]...)
	}
}

func (f *jsonFormer) array() bool {
	if !f.open() {
		return false
	}
	f.out = append(f.out, '[')
	first := true
	for f.space(); f.at() != ']'; f.space() {
		if !first && !f.comma() {
			return false
		}
		if !f.value() {
			return false
		}
		first = false
	}
	f.out = append(f.out, ']')
	return f.close()
}

// text reads the string here and writes it the canonical way.
func (f *jsonFormer) text() bool {
	f.escaped = false
	f.out = append(f.out, '"')
	f.i++
	for f.i < len(f.b) {
		r, size := rune(f.b[f.i]), 1
		switch {
		case r == '"':
			f.i++
			f.out = append(f.out, '"')
			return true
		case r < 0x20:
			return f.fail(DecodeSyntax, "must escape control characters in strings")
		case r == '\\':
			if r, size = unescape(f.b[f.i:]); size == 0 {
				return f.fail(DecodeSyntax, "must have an escape of JSON after \\")
			}
		case r >= utf8.RuneSelf:
			r, size = utf8.DecodeRune(f.b[f.i:])
		}
		if reason := badRune(r, size); reason != "" {
			return f.fail(DecodeText, reason)
		}
		f.write(r)
		f.i += size
	}
	return f.unexpected("the end of a string")
}

func (f *jsonFormer) write(r rune) {
	if r < 0x20 || r == '"' || r == '\\' {
		f.escaped = true
		f.out = appendEscape(f.out, byte(r))
		return
	}
	f.out = utf8.AppendRune(f.out, r)
}
