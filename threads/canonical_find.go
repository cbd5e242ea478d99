package threads

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The functions here read texts that were checked before; they find, they do not judge.

func stringAt(doc []byte, start, end int32) (string, error) {
	if doc[start] != '"' {
		return "", wrongType(doc, start, "a string")
	}
	return decodeString(doc[start+1 : end-1]), nil
}

func intAt(doc []byte, start, end int32) (int64, error) {
	digits := doc[start:end]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if digits[0] < '0' || digits[0] > '9' {
		return 0, wrongType(doc, start, "an integer")
	}
	var n int64
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, nil
}

func objectAt(doc []byte, start int32) (Object, error) {
	if doc[start] != '{' {
		return Object{}, wrongType(doc, start, "an object")
	}
	return Object{doc: doc, members: membersAt(doc, int(start))}, nil
}

func membersAt(doc []byte, start int) []jsonMember {
	var room [16]jsonMember
	members := room[:0]
	for i := start + 1; doc[i] != '}'; {
		if doc[i] == ',' {
			i++
		}
		colon := skipString(doc, i)
		end := skipValue(doc, colon+1)
		members = append(members, jsonMember{
			key: int32(i), colon: int32(colon), value: int32(colon + 1), end: int32(end),
			escaped: bytes.IndexByte(doc[i:colon], '\\') >= 0,
		})
		i = end
	}
	return append([]jsonMember(nil), members...)
}

func arrayAt(doc []byte, start int32) (Array, error) {
	if doc[start] != '[' {
		return Array{}, wrongType(doc, start, "an array")
	}
	var room [16]jsonSpan
	items := room[:0]
	for i := int(start) + 1; doc[i] != ']'; {
		if doc[i] == ',' {
			i++
		}
		end := skipValue(doc, i)
		items = append(items, jsonSpan{int32(i), int32(end)})
		i = end
	}
	return Array{doc: doc, start: start, items: append([]jsonSpan(nil), items...)}, nil
}

func wrongType(doc []byte, at int32, want string) *DecodeError {
	return &DecodeError{
		Code: DecodeType, Path: pointerTo(doc, int(at)), Offset: int(at),
		Detail: "must be " + want + ", is " + jsonType(doc[at]),
	}
}

func jsonType(first byte) string {
	switch first {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// skipString returns the index after the string that starts at i, one beyond the end of doc if
// the string has no end.
func skipString(doc []byte, i int) int {
	for i++; i < len(doc); i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(doc) + 1
}

// skipValue returns the index after the value that starts at i.
func skipValue(doc []byte, i int) int {
	for depth := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			i = skipString(doc, i) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// keyOf returns the key of m as text.
func keyOf(doc []byte, m jsonMember) string {
	raw := doc[m.key+1 : m.colon-1]
	if !m.escaped {
		return string(raw)
	}
	return decodeString(raw)
}

// decodeString undoes the escapes of what stood between quotes.
func decodeString(raw []byte) string {
	next := bytes.IndexByte(raw, '\\')
	if next < 0 {
		return string(raw)
	}
	out := make([]byte, 0, len(raw))
	for next >= 0 {
		out = append(out, raw[:next]...)
		r, size := unescape(raw[next:])
		out = utf8.AppendRune(out, r)
		raw = raw[next+max(size, 1):]
		next = bytes.IndexByte(raw, '\\')
	}
	return string(append(out, raw...))
}

// compareKeys orders keys by their UTF-16 code units (RFC 8785 §3.2.3). UTF-8 gives the same
// order but for U+E000–U+FFFF, which come after the characters written with surrogates.
func compareKeys[A, B string | []byte](a A, b B) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int(unitRank(a[i])) - int(unitRank(b[i]))
		}
	}
	return len(a) - len(b)
}

func unitRank(c byte) byte {
	if c == 0xEE || c == 0xEF {
		return c + 0x10
	}
	return c
}

// jsonLevel is an object or array that pointerTo is inside of.
type jsonLevel struct {
	array bool
	index int
	key   string
	named bool // key has been read
}

// pointerTo returns the JSON pointer to the value at offset of a text that was found good up to
// there. It walks the text anew: only errors need pointers, so good texts pay nothing for them.
func pointerTo(doc []byte, offset int) string {
	var path []jsonLevel
	for i := 0; i < min(offset, len(doc)); i++ {
		last := len(path) - 1
		switch c := doc[i]; {
		case c == '{' || c == '[':
			path = append(path, jsonLevel{array: c == '['})
		case last < 0:
		case c == '}' || c == ']':
			path = path[:last]
		case c == ',':
			path[last].index++
			path[last].named = false
		case c == '"':
			end := skipString(doc, i)
			if in := &path[last]; !in.array && !in.named && end <= offset {
				in.key, in.named = decodeString(doc[i+1:end-1]), true
			}
			i = end - 1
		}
	}
	return joinPointer(path)
}

func joinPointer(path []jsonLevel) string {
	var out strings.Builder
	for _, in := range path {
		switch {
		case in.array:
			out.WriteString("/" + strconv.Itoa(in.index))
		case in.named:
			out.WriteByte('/')
			out.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(shortenKey(in.key)))
		}
	}
	return out.String()
}

// shortenKey keeps a stranger's key from filling a log.
func shortenKey(key string) string {
	const most = 64
	if len(key) <= most {
		return key
	}
	end := most
	for !utf8.RuneStart(key[end]) {
		end--
	}
	return key[:end] + "…"
}
