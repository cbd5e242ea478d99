package mbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-message/textproto"
	"golang.org/x/text/unicode/norm"
)

var (
	bracketed = regexp.MustCompile(`<[^<>]*>`)
	anyAddr   = regexp.MustCompile(`[^\s<>"(),;:]+@[^\s<>"(),;:]+`)
	atAddr    = regexp.MustCompile(`^\s*([^\s<>"(),;:@]+) at ([^\s<>"(),;:@]+)`) // how Pipermail hides addresses
)

// parser takes one mail apart and reports what is odd about it.
type parser struct {
	odd   func(what string)
	parts int // read so far
}

// mail reads one mail. It is false for what has no header and so is no mail.
func (p *parser) mail(data []byte) (Mail, bool) {
	h, body := p.split(data)
	if h.Len() == 0 {
		p.odd("a mail without a header was left out")
		return Mail{}, false
	}
	m := Mail{
		MessageID:  p.messageID(h),
		InReplyTo:  ids(text(h, "In-Reply-To")),
		References: ids(text(h, "References")),
		From:       address(unfolded(h, "From")), // whose words are decoded after parsing
		Subject:    cutText(text(h, "Subject"), subjectLimit),
	}
	m.InReplyTo = m.InReplyTo[:min(len(m.InReplyTo), idsLimit)]
	m.References = m.References[max(0, len(m.References)-idsLimit):]
	if m.From.Addr == "" {
		p.odd("no readable author in From")
	}
	var err error
	if m.Date, err = readDate(text(h, "Date")); err != nil {
		p.odd(err.Error())
	}
	m.Body = p.body(h, body)
	m.Digest = digest(m.From.Name, m.From.Addr, m.Date.Format(time.RFC3339), m.Subject, m.Body)
	return m, true
}

// split parts a header from what follows it, leaving out lines that are none.
func (p *parser) split(data []byte) (textproto.Header, []byte) {
	var head bytes.Buffer
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		folded := head.Len() > 0 && isFolded(line)
		switch {
		case len(line) == 0:
			return readHeader(&head), rest
		case head.Len()+len(line) > headerLimit:
			p.odd(fmt.Sprintf("a header over %d bytes, the rest of it was left out", headerLimit))
		case folded || field.Match(line):
			head.Write(line)
			head.WriteString("\r\n")
		case bytes.HasPrefix(line, []byte("From ")):
			// A From_ line that an older archive left inside this one.
		case field.Match(rest) || isFolded(rest):
			p.odd("a line of the header that is no field was left out")
		default:
			p.odd("no blank line between header and text")
			return readHeader(&head), data
		}
		data = rest
	}
	return readHeader(&head), nil
}

func isFolded(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

func readHeader(head *bytes.Buffer) textproto.Header {
	head.WriteString("\r\n")
	// Only well-formed fields were kept: there is nothing left to fail on.
	h, _ := textproto.ReadHeader(bufio.NewReader(head))
	return h
}

// text is a field on one line, decoded, empty if missing.
func text(h textproto.Header, key string) string {
	return oneLine(decodeWords(unfolded(h, key)))
}

// unfolded is a field on one line with its encoded words as they stand.
func unfolded(h textproto.Header, key string) string {
	raw, _ := decodeText([]byte(h.Get(key)), "")
	return oneLine(raw)
}

func (p *parser) messageID(h textproto.Header) string {
	value := text(h, "Message-ID")
	if found := ids(value); len(found) > 0 {
		return found[0]
	}
	switch id := identifier(strings.Trim(value, "<>")); {
	case id == "":
		p.odd("no Message-ID")
	case len(id) > idLimit:
		p.odd(fmt.Sprintf("a Message-ID of %d bytes was left out: at most %d are kept", len(id), idLimit))
	default:
		return id
	}
	return ""
}

// ids are the message ids in a field, among the dates and names that some
// programs write beside them; what is too long to be kept is left out.
func ids(value string) []string {
	words := bracketed.FindAllString(value, -1)
	if words == nil {
		words = anyAddr.FindAllString(value, -1)
	}
	var found []string
	for _, word := range words {
		id := identifier(strings.Trim(word, "<>"))
		if id != "" && len(id) <= idLimit {
			found = append(found, id)
		}
	}
	return found
}

// identifier undoes folding inside an id.
func identifier(s string) string {
	return norm.NFC.String(strings.Join(strings.Fields(s), ""))
}

// address reads the first author of a From field, however it was written.
func address(value string) Address {
	value = cutText(value, 4*idLimit)
	var name, addr string
	if list, err := mail.ParseAddressList(value); err == nil {
		name, addr = list[0].Name, list[0].Address
	} else {
		name, addr = looseAddress(value)
	}
	if addr = identifier(oneLine(addr)); len(addr) > idLimit {
		addr = ""
	}
	name = norm.NFC.String(oneLine(decodeWords(name)))
	return Address{Name: cutText(name, idLimit), Addr: addr}
}

// looseAddress finds what looks like an address and takes the rest for the name.
func looseAddress(value string) (name, addr string) {
	name = value
	if at := anyAddr.FindString(value); at != "" {
		name, addr = strings.Replace(value, at, "", 1), at
	} else if at := atAddr.FindStringSubmatch(value); at != nil {
		name, addr = value[len(at[0]):], at[1]+"@"+at[2]
	}
	return strings.Trim(name, `<>()"' `), addr
}

// cutText shortens a text of one line to at most limit bytes.
func cutText(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

func digest(fields ...string) string {
	h := sha256.New()
	for _, f := range fields {
		// The length keeps neighbours apart.
		fmt.Fprintf(h, "%d:%s", len(f), f)
	}
	return hex.EncodeToString(h.Sum(nil))
}
