package threads

import (
	"fmt"
)

// The limits of everything that crosses between servers, the same on every backend
// (docs/protocol.md, "the same limits on every backend").
const (
	MaxHeader     = 8 << 10  // bytes of an event header
	MaxContent    = 64 << 10 // bytes of an event content
	MaxDepth      = 16       // objects and arrays within each other, the outermost counted
	MaxIdentifier = 256      // bytes of an identifier
)

// The codes of a [DecodeError]. They are stable: partners and clients may act on them.
const (
	DecodeTooLarge     = "too_large"     // more bytes than allowed
	DecodeTooDeep      = "too_deep"      // more than MaxDepth objects and arrays within each other
	DecodeSyntax       = "syntax"        // not JSON, not an object, or a byte order mark before it
	DecodeTrailing     = "trailing"      // something after the object
	DecodeSpacing      = "spacing"       // white space between tokens of a canonical text
	DecodeOrder        = "order"         // members not in ascending order of UTF-16 code units
	DecodeEscape       = "escape"        // a character not written the one canonical way
	DecodeNumber       = "number"        // not an integer within ±(2^53−1), or not its shortest form
	DecodeText         = "text"          // invalid UTF-8, U+0000, a surrogate or a noncharacter
	DecodeDuplicateKey = "duplicate_key" // two keys equal, or equal but for case
	DecodeType         = "type"          // a value of another type than asked for
	DecodeMissing      = "missing"       // an array without the element asked for
	DecodeIdentifier   = "identifier"    // empty, longer than MaxIdentifier, or not in form NFC
)

// DecodeError says what is wrong with a text and where.
type DecodeError struct {
	Code   string // one of the Decode codes
	Path   string // JSON pointer (RFC 6901) to the value, as far as it was read; "" is the whole text
	Offset int    // byte at which reading stopped
	Detail string // for people: what is wrong and what to write instead
}

// Error names the place and the remedy.
func (e *DecodeError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("byte %d: %s", e.Offset, e.Detail)
	}
	return fmt.Sprintf("%q, byte %d: %s", e.Path, e.Offset, e.Detail)
}

// Object is a checked canonical JSON object. It keeps the bytes it was read from, which must not
// change while it is in use, and finds values in them when asked. The zero Object has no members.
type Object struct {
	doc     []byte
	members []jsonMember // in canonical order
}

// jsonMember is where one member of an object stands in its text.
type jsonMember struct {
	key, colon int32 // the key with its quotes
	value, end int32
	escaped    bool // the key holds an escape
}

// Len returns the number of members.
func (o Object) Len() int { return len(o.members) }

// Key returns the i-th key in canonical order; i must be at least 0 and less than Len.
func (o Object) Key(i int) string { return keyOf(o.doc, o.members[i]) }

// Has says whether there is a member named key.
func (o Object) Has(key string) bool {
	_, ok := o.find(key)
	return ok
}

// Raw returns the canonical bytes of a member, a part of those the Object was read from.
func (o Object) Raw(key string) ([]byte, bool) {
	m, ok := o.find(key)
	if !ok {
		return nil, false
	}
	return o.doc[m.value:m.end:m.end], true
}

// String returns a string member and whether it is there; an error if it is of another type.
func (o Object) String(key string) (string, bool, error) {
	m, ok := o.find(key)
	if !ok {
		return "", false, nil
	}
	s, err := stringAt(o.doc, m.value, m.end)
	return s, true, err
}

// Int returns an integer member and whether it is there; an error if it is of another type.
func (o Object) Int(key string) (int64, bool, error) {
	m, ok := o.find(key)
	if !ok {
		return 0, false, nil
	}
	n, err := intAt(o.doc, m.value, m.end)
	return n, true, err
}

// Bool returns a boolean member and whether it is there; an error if it is of another type.
func (o Object) Bool(key string) (bool, bool, error) {
	m, ok := o.find(key)
	if !ok {
		return false, false, nil
	}
	if c := o.doc[m.value]; c != 't' && c != 'f' {
		return false, true, wrongType(o.doc, m.value, "true or false")
	}
	return o.doc[m.value] == 't', true, nil
}

// Object returns an object member and whether it is there; an error if it is of another type.
func (o Object) Object(key string) (Object, bool, error) {
	m, ok := o.find(key)
	if !ok {
		return Object{}, false, nil
	}
	inner, err := objectAt(o.doc, m.value)
	return inner, true, err
}

// Array returns an array member and whether it is there; an error if it is of another type.
func (o Object) Array(key string) (Array, bool, error) {
	m, ok := o.find(key)
	if !ok {
		return Array{}, false, nil
	}
	inner, err := arrayAt(o.doc, m.value)
	return inner, true, err
}

// find searches by halves, so that an object of many members cannot make a reader slow.
func (o Object) find(key string) (jsonMember, bool) {
	low, high := 0, len(o.members)
	for low < high {
		middle := (low + high) / 2
		m := o.members[middle]
		var order int
		if m.escaped {
			order = compareKeys(keyOf(o.doc, m), key)
		} else {
			order = compareKeys(o.doc[m.key+1:m.colon-1], key)
		}
		switch {
		case order == 0:
			return m, true
		case order < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return jsonMember{}, false
}

// Array is a checked canonical JSON array. The zero Array is empty.
type Array struct {
	doc   []byte
	start int32
	items []jsonSpan
}

// jsonSpan is where one element of an array stands in its text.
type jsonSpan struct{ start, end int32 }

// Len returns the number of elements.
func (a Array) Len() int { return len(a.items) }

// Raw returns the canonical bytes of element i, nil if there is none.
func (a Array) Raw(i int) []byte {
	item, err := a.item(i)
	if err != nil {
		return nil
	}
	return a.doc[item.start:item.end:item.end]
}

// String returns element i; an error if it is missing or not a string.
func (a Array) String(i int) (string, error) {
	item, err := a.item(i)
	if err != nil {
		return "", err
	}
	return stringAt(a.doc, item.start, item.end)
}

// Int returns element i; an error if it is missing or not an integer.
func (a Array) Int(i int) (int64, error) {
	item, err := a.item(i)
	if err != nil {
		return 0, err
	}
	return intAt(a.doc, item.start, item.end)
}

// Object returns element i; an error if it is missing or not an object.
func (a Array) Object(i int) (Object, error) {
	item, err := a.item(i)
	if err != nil {
		return Object{}, err
	}
	return objectAt(a.doc, item.start)
}

// Array returns element i; an error if it is missing or not an array.
func (a Array) Array(i int) (Array, error) {
	item, err := a.item(i)
	if err != nil {
		return Array{}, err
	}
	return arrayAt(a.doc, item.start)
}

// item answers an index beyond the end with an error: how long an array is, a stranger decides.
func (a Array) item(i int) (jsonSpan, error) {
	if i >= 0 && i < len(a.items) {
		return a.items[i], nil
	}
	return jsonSpan{}, &DecodeError{
		Code:   DecodeMissing,
		Path:   fmt.Sprintf("%s/%d", pointerTo(a.doc, int(a.start)), i),
		Offset: int(a.start),
		Detail: fmt.Sprintf("is missing: the array has %d elements", len(a.items)),
	}
}
