package mbox

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
)

// decodeTransfer undoes a Content-Transfer-Encoding (RFC 2045 §6), keeping what
// cannot be decoded as it stands; odd says what that was, empty if nothing.
func decodeTransfer(raw []byte, name string) (data []byte, odd string) {
	switch name = strings.ToLower(strings.Trim(name, `" `)); name {
	case "quoted-printable":
		return decodeQuoted(raw)
	case "base64":
		return decodeBase64(raw)
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "none":
		return raw, ""
	default:
		return raw, fmt.Sprintf("unknown transfer encoding %q, text kept as it stands", cutText(oneLine(name), 40))
	}
}

func decodeQuoted(raw []byte) (data []byte, odd string) {
	data = make([]byte, 0, len(raw))
	for line := range bytes.Lines(raw) {
		text := bytes.TrimRight(line, " \t\r\n")
		soft := bytes.HasSuffix(text, []byte("="))
		text = bytes.TrimSuffix(text, []byte("="))
		for i := 0; i < len(text); i++ {
			var octet [1]byte
			if text[i] != '=' {
				octet[0] = text[i]
			} else if _, err := hex.Decode(octet[:], text[i+1:min(i+3, len(text))]); err == nil && i+3 <= len(text) {
				i += 2
			} else {
				octet[0], odd = '=', "broken quoted-printable kept as it stands"
			}
			data = append(data, octet[0])
		}
		if !soft && bytes.HasSuffix(line, []byte("\n")) {
			data = append(data, '\n')
		}
	}
	return data, odd
}

// decodeBase64 stops at the first line that is none: lists append their footers
// to encoded mails in plain text.
func decodeBase64(raw []byte) (data []byte, odd string) {
	var digits, rest []byte
	at := 0
	for line := range bytes.Lines(raw) {
		text := bytes.TrimSpace(line)
		if bytes.HasSuffix(digits, []byte("=")) && len(text) > 0 || !isBase64(text) {
			rest = raw[at:]
			break
		}
		digits = append(digits, text...)
		at += len(line)
	}
	digits = bytes.TrimRight(digits, "=")
	if len(digits)%4 == 1 {
		digits, odd = digits[:len(digits)-1], "base64 broken off"
	}
	data = make([]byte, base64.RawStdEncoding.DecodedLen(len(digits)))
	// Every digit was looked at and their number is right: it cannot fail.
	n, _ := base64.RawStdEncoding.Decode(data, digits)
	data = data[:n]
	if len(bytes.TrimSpace(rest)) > 0 {
		data, odd = append(append(data, '\n'), rest...), "other text within base64 kept as it stands"
	}
	return data, odd
}

func isBase64(line []byte) bool {
	for _, c := range bytes.TrimRight(line, "=") {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// decodeText converts text labelled with a charset, or unlabelled, to UTF-8. A
// label that cannot be right is overruled: valid UTF-8 hardly ever comes about
// by accident in one-byte charsets. odd is empty if the label held.
func decodeText(raw []byte, label string) (text, odd string) {
	label = strings.ToLower(strings.TrimSpace(label))
	valid := utf8.Valid(raw)
	if oneByte(label) && valid {
		if hasHigh(raw) && label != "" && !strings.HasPrefix(label, "utf") {
			odd = fmt.Sprintf("charset %q is in truth utf-8", label)
		}
		return string(raw), odd
	}
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "unknown-8bit", "x-unknown":
		return guessText(raw), fmt.Sprintf("text that is not %q read as windows-1252", cmp.Or(label, "utf-8"))
	case "iso-8859-1", "latin1": // said by programs that write windows-1252
		return windows1252(raw), ""
	}
	if r, err := charset.Reader(label, bytes.NewReader(raw)); err == nil {
		converted, err := io.ReadAll(r)
		wrong := strings.ContainsRune(string(converted), utf8.RuneError) || isWide(label) && bytes.IndexByte(raw, 0) < 0
		if err == nil && !(wrong && valid) {
			return string(converted), ""
		}
	}
	if !hasHigh(raw) {
		return string(raw), "" // a wrong name for ASCII does no harm
	}
	return guessText(raw), fmt.Sprintf("charset %q is unknown or wrong, text read as utf-8 or windows-1252", cutText(oneLine(label), 40))
}

// oneByte is true of charsets in which ASCII is ASCII and one byte one letter,
// and of UTF-8.
func oneByte(label string) bool {
	for _, prefix := range []string{"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-", "iso8859", "latin", "windows-125", "cp125", "koi8", "unknown", "x-unknown"} {
		if strings.HasPrefix(label, prefix) {
			return true
		}
	}
	return label == ""
}

func isWide(label string) bool {
	return strings.HasPrefix(label, "utf-16") || strings.HasPrefix(label, "utf-32")
}

func hasHigh(raw []byte) bool {
	return bytes.IndexFunc(raw, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0
}

// guessText reads text of unknown charset line by line, for a footer or a quote
// is often in another one than the rest.
func guessText(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	var b strings.Builder
	for line := range bytes.Lines(raw) {
		if utf8.Valid(line) {
			b.Write(line)
		} else {
			b.WriteString(windows1252(line))
		}
	}
	return b.String()
}

func windows1252(raw []byte) string {
	// A table of 256 letters has one for every byte.
	text, _ := charmap.Windows1252.NewDecoder().Bytes(raw)
	return string(text)
}

// decodeWords undoes the encoded words of RFC 2047; what is broken stays.
func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(label string, r io.Reader) (io.Reader, error) {
		raw, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		text, _ := decodeText(raw, label)
		return strings.NewReader(text), nil
	}}
	if decoded, err := d.DecodeHeader(s); err == nil {
		return decoded
	}
	return s
}

// clean makes text storable: valid UTF-8, lines ended by \n, no other control
// character but tab and form feed, no noncharacter (RFC 7493 §2.1).
func clean(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r == '\t', r == '\n', r == '\f':
			return r
		case r < ' ', r == 0x7f:
			return -1
		case r&0xfffe == 0xfffe, 0xfdd0 <= r && r <= 0xfdef:
			return utf8.RuneError
		}
		return r // an invalid byte comes as RuneError
	}, s)
}

// oneLine cleans text and puts it on one line, without space around it.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }
