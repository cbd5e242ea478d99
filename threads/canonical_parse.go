package threads

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// ParseCanonical reads b, which must be a JSON object in exactly the form of RFC 8785, in I-JSON
// (RFC 7493), with integers for its only numbers, of at most max bytes and MaxDepth levels. It
// checks everything in one pass and keeps b. Errors are of type [*DecodeError].
func ParseCanonical(b []byte, max int) (Object, error) {
	c, err := newJSONCursor(b, max)
	if err != nil {
		return Object{}, err
	}
	members := make([]jsonMember, 0, 16) // a header has no more
	check := jsonChecker{jsonCursor: c}
	if !check.object(&members) || !check.end() {
		return Object{}, check.err
	}
	return Object{doc: b, members: members}, nil
}

// jsonCursor is a place in a text that is being checked.
type jsonCursor struct {
	b     []byte
	i     int
	depth int
	err   *DecodeError // set when a method has returned false
}

func newJSONCursor(b []byte, max int) (jsonCursor, error) {
	if len(b) > max || len(b) > math.MaxInt32 {
		return jsonCursor{}, &DecodeError{
			Code: DecodeTooLarge, Offset: max,
			Detail: fmt.Sprintf("must be at most %d bytes, has %d", max, len(b)),
		}
	}
	c := jsonCursor{b: b}
	if bytes.HasPrefix(b, []byte("\uFEFF")) {
		c.fail(DecodeSyntax, "must not start with a byte order mark")
		return c, c.err
	}
	return c, nil
}

// at returns the byte here, 0 at the end: no token starts with 0.
func (c *jsonCursor) at() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

func (c *jsonCursor) fail(code, detail string) bool {
	c.err = &DecodeError{Code: code, Path: pointerTo(c.b, c.i), Offset: c.i, Detail: detail}
	return false
}

// unexpected refuses what stands here in place of what was wanted.
func (c *jsonCursor) unexpected(want string) bool {
	switch c.at() {
	case ' ', '\t', '\r', '\n':
		return c.fail(DecodeSpacing, "canonical JSON has no white space between tokens")
	}
	if c.i >= len(c.b) {
		return c.fail(DecodeSyntax, "ends where "+want+" should stand")
	}
	return c.fail(DecodeSyntax, "must have "+want+" here")
}

func (c *jsonCursor) open() bool {
	if c.depth == MaxDepth {
		return c.fail(DecodeTooDeep, fmt.Sprintf("must have at most %d objects and arrays within each other", MaxDepth))
	}
	c.depth++
	c.i++
	return true
}

func (c *jsonCursor) close() bool {
	c.depth--
	c.i++
	return true
}

// end makes sure that nothing follows.
func (c *jsonCursor) end() bool {
	if c.i < len(c.b) {
		return c.fail(DecodeTrailing, "must end after the object")
	}
	return true
}

// literal reads true, false or null.
func (c *jsonCursor) literal() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(c.b)-c.i >= len(word) && string(c.b[c.i:c.i+len(word)]) == word {
			c.i += len(word)
			return true
		}
	}
	return c.unexpected("a value")
}

// integer reads a whole number within ±(2^53−1) in its shortest form.
func (c *jsonCursor) integer() bool {
	i := c.i
	if c.b[i] == '-' {
		i++
	}
	first := i
	var n int64
	for ; i < len(c.b) && c.b[i] >= '0' && c.b[i] <= '9'; i++ {
		if i-first < 17 {
			n = n*10 + int64(c.b[i]-'0')
		}
	}
	switch {
	case i == first:
		return c.fail(DecodeNumber, "must have a digit after -")
	case i < len(c.b) && (c.b[i] == '.' || c.b[i] == 'e' || c.b[i] == 'E'):
		return c.fail(DecodeNumber, "must be an integer without fraction or exponent; other numbers go into strings")
	case c.b[first] == '0' && i-c.i > 1:
		return c.fail(DecodeNumber, "must have no leading zero and no -0")
	case n > 1<<53-1:
		return c.fail(DecodeNumber, "must be within ±(2^53−1); greater numbers go into strings")
	}
	c.i = i
	return true
}

// jsonChecker accepts a text only if it is canonical.
type jsonChecker struct {
	jsonCursor
	escaped bool // the string just read holds an escape
}

func (c *jsonChecker) value() bool {
	switch ch := c.at(); {
	case ch == '"':
		return c.text()
	case ch >= '0' && ch <= '9' || ch == '-':
		return c.integer()
	case ch == '{':
		return c.object(nil)
	case ch == '[':
		return c.array()
	}
	return c.literal()
}

// object checks the object here and, if members is not nil, notes where its members stand.
func (c *jsonChecker) object(members *[]jsonMember) bool {
	if c.at() != '{' {
		return c.unexpected("an object")
	}
	start := c.i
	if !c.open() {
		return false
	}
	if c.at() == '}' {
		return c.close()
	}
	folds := true
	for last := (jsonMember{}); ; c.i++ {
		m := jsonMember{key: int32(c.i)}
		if !c.key(&m, last) || !c.value() {
			return false
		}
		m.end = int32(c.i)
		if members != nil {
			*members = append(*members, m)
		}
		folds = folds && foldsToItself(c.b[m.key:m.colon])
		last = m
		if c.at() != ',' {
			break
		}
	}
	if c.at() != '}' {
		return c.unexpected("a comma or }")
	}
	c.close()
	return folds || c.casesDiffer(start)
}

// key reads a key and its colon; it must come after the key of the member before it.
func (c *jsonChecker) key(m *jsonMember, last jsonMember) bool {
	if c.at() != '"' {
		return c.unexpected("a key")
	}
	if !c.text() {
		return false
	}
	m.colon, m.value, m.escaped = int32(c.i), int32(c.i+1), c.escaped
	if last.end > 0 {
		if order := compareMembers(c.b, last, *m); order == 0 {
			return c.fail(DecodeDuplicateKey, "stands twice in its object")
		} else if order > 0 {
			return c.fail(DecodeOrder, "must stand before the key in front of it, by UTF-16 code units")
		}
	}
	if c.at() != ':' {
		return c.unexpected("a colon")
	}
	c.i++
	return true
}

func compareMembers(doc []byte, a, b jsonMember) int {
	if a.escaped || b.escaped {
		return compareKeys(keyOf(doc, a), keyOf(doc, b))
	}
	return compareKeys(doc[a.key+1:a.colon-1], doc[b.key+1:b.colon-1])
}

// casesDiffer makes sure that no two keys of the object just read differ by case alone.
func (c *jsonChecker) casesDiffer(start int) bool {
	members := membersAt(c.b, start)
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		folded := foldKey(keyOf(c.b, m))
		if seen[folded] {
			c.i = int(m.colon)
			return c.fail(DecodeDuplicateKey, "differs only by case from another key of its object")
		}
		seen[folded] = true
	}
	return true
}

func (c *jsonChecker) array() bool {
	if !c.open() {
		return false
	}
	if c.at() == ']' {
		return c.close()
	}
	for ; ; c.i++ {
		if !c.value() {
			return false
		}
		if c.at() != ',' {
			break
		}
	}
	if c.at() != ']' {
		return c.unexpected("a comma or ]")
	}
	return c.close()
}

// text checks the string here.
func (c *jsonChecker) text() bool {
	c.escaped = false
	for c.i = plainEnd(c.b, c.i+1); c.i < len(c.b); c.i = plainEnd(c.b, c.i) {
		switch ch := c.b[c.i]; {
		case ch == '"':
			c.i++
			return true
		case ch == '\\':
			if !c.escape() {
				return false
			}
		case ch < 0x20:
			return c.fail(DecodeSyntax, "must escape control characters in strings")
		default:
			r, size := utf8.DecodeRune(c.b[c.i:])
			if reason := badRune(r, size); reason != "" {
				return c.fail(DecodeText, reason)
			}
			c.i += size
		}
	}
	return c.unexpected("the end of a string")
}

// plainEnd returns the index at or after i of the first byte that is not an ASCII character
// standing for itself in a string. It looks at eight bytes at once while there are as many.
func plainEnd(b []byte, i int) int {
	const each = 0x0101010101010101
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		// The high bit of a byte is set if it is no ASCII, below 0x20, a quote or a backslash; a
		// borrow can set it for a byte too many, never for one too few.
		if (x|(x-each*0x20)|((x^each*'"')-each)|((x^each*'\\')-each))&(each*0x80) != 0 {
			break
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escape checks that an escape was needed and is the one that the writer would have used.
func (c *jsonChecker) escape() bool {
	r, size := unescape(c.b[c.i:])
	if size == 0 {
		return c.fail(DecodeSyntax, "must have an escape of JSON after \\")
	}
	if reason := badRune(r, size); reason != "" {
		return c.fail(DecodeText, reason)
	}
	var room [8]byte
	if r >= 0x20 && r != '"' && r != '\\' ||
		!bytes.Equal(appendEscape(room[:0], byte(r)), c.b[c.i:c.i+size]) {
		return c.fail(DecodeEscape, "must be written the shortest way (RFC 8785)")
	}
	c.escaped = true
	c.i += size
	return true
}
