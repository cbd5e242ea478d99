package threads

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// AppendString appends s to dst as a canonical JSON string with its quotes (RFC 8785 §3.2.2.2).
// s must have passed [CheckText].
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			start = i + 1
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// AppendInt appends n to dst in canonical form; n must be within ±(2^53−1).
func AppendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// CheckText refuses what no string of an event may hold: invalid UTF-8, U+0000 and the
// noncharacters of Unicode (RFC 7493 §2.1). What it passes, every server accepts and can store.
func CheckText(s string) error {
	for i := 0; i < len(s); {
		if c := s[i]; c != 0 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if reason := badRune(r, size); reason != "" {
			return &DecodeError{Code: DecodeText, Offset: i, Detail: reason}
		}
		i += size
	}
	return nil
}

// CheckIdentifier refuses what [CheckText] refuses, the empty string, more than MaxIdentifier
// bytes and text that is not in Unicode form NFC.
func CheckIdentifier(s string) error {
	if s == "" {
		return &DecodeError{Code: DecodeIdentifier, Detail: "must not be empty"}
	}
	if len(s) > MaxIdentifier {
		return &DecodeError{
			Code: DecodeIdentifier, Offset: MaxIdentifier,
			Detail: "must be at most " + strconv.Itoa(MaxIdentifier) + " bytes, has " + strconv.Itoa(len(s)),
		}
	}
	if err := CheckText(s); err != nil {
		return err
	}
	if !norm.NFC.IsNormalString(s) {
		return &DecodeError{Code: DecodeIdentifier, Detail: "must be in Unicode form NFC"}
	}
	return nil
}

// badRune says why a decoded character is refused, "" if it is not.
func badRune(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size <= 1:
		return "must be valid UTF-8"
	case r == 0:
		return "must not hold U+0000"
	case utf16.IsSurrogate(r):
		return "must not hold half of a surrogate pair"
	case r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF:
		return "must not hold a noncharacter of Unicode, such as U+FFFE"
	}
	return ""
}

// appendEscape appends the one canonical escape of a character that may not stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	const letters = "btn\x00fr" // for U+0008 to U+000D
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c >= '\b' && c <= '\r' && c != '\v':
		return append(dst, '\\', letters[c-'\b'])
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// unescape reads the escape at the start of b, two halves of a surrogate pair as one; half a
// pair is returned as such. A size of 0 says that no escape of JSON stands there.
func unescape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return utf8.RuneError, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'u':
		return unescapeUnits(b)
	}
	const letters, meant = "bfnrt", "\b\f\n\r\t"
	if i := strings.IndexByte(letters, b[1]); i >= 0 {
		return rune(meant[i]), 2
	}
	return utf8.RuneError, 0
}

func unescapeUnits(b []byte) (r rune, size int) {
	first, ok := hexUnit(b)
	if !ok {
		return utf8.RuneError, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if second, ok := hexUnit(b[6:]); ok {
		if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return first, 6
}

// hexUnit reads \uXXXX.
func hexUnit(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// foldsToItself says, without decoding, that no other key which it says the same of can differ
// from this one by case alone.
func foldsToItself(raw []byte) bool {
	for _, c := range raw {
		if c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// foldKey maps keys that are equal under simple case folding to one.
func foldKey(key string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, key)
}
