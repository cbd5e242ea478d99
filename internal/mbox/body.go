package mbox

import (
	"bytes"
	"fmt"
	"mime"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/textproto"
)

const (
	partsLimit = 1_000 // parts read of one mail
	depthLimit = 16    // multiparts within multiparts
	namesLimit = 20    // attachments named in the text
	nameLimit  = 200   // bytes of an attachment's name
)

var looseParam = regexp.MustCompile(`(?i);\s*(boundary|charset|name)\s*=\s*(?:"([^"]*)"|([^\s;]+))`)

// part is what one MIME part comes to: text to read and names of what is not.
type part struct {
	text  string
	plain bool     // the text was written as plain text
	files []string // a note for each attachment
}

// body is the text of a mail with its attachments named below, within BodyLimit.
func (p *parser) body(h textproto.Header, raw []byte) string {
	whole := p.part(h, raw, 0)
	files := whole.files
	if more := len(files) - namesLimit; more > 0 {
		files = append(files[:namesLimit:namesLimit], fmt.Sprintf("[and %d more attachments]", more))
	}
	below := strings.Join(files, "\n")
	text := strings.TrimRight(strings.TrimLeft(clean(whole.text), "\n"), " \t\n\f")
	text, left := fit(text, BodyLimit-escaped(below)-len("\\n\\n"))
	if left > 0 {
		p.odd(fmt.Sprintf("a long text was cut: %d bytes left out", left))
	}
	if text != "" && below != "" {
		text += "\n\n"
	}
	return text + below
}

// part reads one part. Text is what is plain or HTML and not meant as a file,
// text of other kinds where it is the mail itself or asks to be shown.
func (p *parser) part(h textproto.Header, raw []byte, depth int) part {
	kind, params := mediaType(h.Get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") {
		if params["boundary"] != "" && depth < depthLimit {
			return p.multipart(kind, params["boundary"], raw, depth)
		}
		p.odd("a multipart without a boundary, or too deep, was read as plain text")
		kind = "text/plain"
	}
	data, odd := decodeTransfer(raw, h.Get("Content-Transfer-Encoding"))
	if odd != "" {
		p.odd(odd)
	}
	shown, name := disposition(h, params)
	readable := kind == "text/plain" || kind == "text/html"
	isText := shown == "inline" || readable && name == ""
	if strings.HasPrefix(kind, "text/") && (depth == 0 || isText && shown != "attachment") {
		text, odd := decodeText(data, params["charset"])
		if odd != "" {
			p.odd(odd)
		}
		if kind == "text/html" {
			return part{text: htmlText(text)}
		}
		return part{text: text, plain: true}
	}
	if name == "" {
		name = "unnamed"
	}
	note := fmt.Sprintf("[attachment: %s, %s, %d bytes]", name, cutText(oneLine(kind), 80), len(data))
	return part{files: []string{note}}
}

// multipart joins the texts of its parts; of alternatives it takes the plain
// one, else the first that has text. Attachments of all of them are named.
func (p *parser) multipart(kind, boundary string, raw []byte, depth int) part {
	pieces, closed := cutParts(raw, boundary, partsLimit-p.parts)
	p.parts += len(pieces)
	if len(pieces) == 0 {
		p.odd("a multipart without parts was read as plain text")
		text, _ := decodeText(raw, "")
		return part{text: text, plain: true}
	}
	if !closed {
		p.odd("a multipart was broken off, or has too many parts")
	}
	var whole part
	var texts []string
	for _, piece := range pieces {
		head, body := p.split(piece)
		one := p.part(head, body, depth+1)
		whole.files = append(whole.files, one.files...)
		switch text := clean(one.text); {
		case strings.TrimSpace(text) == "":
		case kind != "multipart/alternative":
			texts = append(texts, strings.Trim(text, "\n"))
			whole.plain = whole.plain || one.plain
		case texts == nil || one.plain && !whole.plain:
			texts, whole.plain = []string{text}, one.plain
		}
	}
	whole.text = strings.Join(texts, "\n\n")
	return whole
}

// cutParts cuts a multipart body at its boundary lines (RFC 2046 §5.1.1) into at
// most limit parts; closed says whether it came to the closing one.
func cutParts(raw []byte, boundary string, limit int) (pieces [][]byte, closed bool) {
	delimiter := []byte("--" + boundary)
	begin, at := -1, 0
	for line := range bytes.Lines(raw) {
		end := at
		at += len(line)
		if !bytes.HasPrefix(line, delimiter) {
			continue
		}
		tail := string(bytes.TrimRight(line[len(delimiter):], " \t\r\n"))
		if tail != "" && tail != "--" {
			continue
		}
		if begin >= 0 {
			// The line end before a boundary belongs to the boundary.
			pieces = append(pieces, bytes.TrimSuffix(bytes.TrimSuffix(raw[begin:end], []byte("\n")), []byte("\r")))
		}
		if tail == "--" || len(pieces) >= limit {
			return pieces, tail == "--"
		}
		begin = at
	}
	if begin >= 0 {
		pieces = append(pieces, raw[begin:])
	}
	return pieces, false
}

// mediaType reads a Content-Type, also one that breaks the grammar.
func mediaType(value string) (kind string, params map[string]string) {
	kind, params, err := mime.ParseMediaType(value)
	if err != nil {
		params = map[string]string{}
		for _, m := range looseParam.FindAllStringSubmatch(value, -1) {
			params[strings.ToLower(m[1])] = m[2] + m[3]
		}
		kind, _, _ = strings.Cut(strings.ToLower(value), ";")
		kind = strings.TrimSpace(kind)
	}
	if !strings.Contains(kind, "/") {
		kind = "text/plain" // RFC 2045 §5.2, and "text" alone of old
	}
	return kind, params
}

// disposition says how a part wants to be shown and what its file is called.
func disposition(h textproto.Header, typeParams map[string]string) (shown, name string) {
	shown, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil && shown == "" {
		shown, _, _ = strings.Cut(strings.ToLower(h.Get("Content-Disposition")), ";")
		shown = strings.TrimSpace(shown)
	}
	if name = params["filename"]; name == "" {
		name = typeParams["name"]
	}
	name, _ = decodeText([]byte(name), "")
	return shown, cutText(oneLine(decodeWords(name)), nameLimit)
}

// fit shortens text to limit bytes of JSON by leaving out its end from a line's
// start, or within a line longer than half of it, and says in the text how many
// bytes are missing.
func fit(text string, limit int) (fitted string, left int) {
	if escaped(text) <= limit {
		return text, 0
	}
	size, end, lineEnd := 0, 0, 0
	limit -= len("\\n\\n[ bytes of this mail were left out here: it was too long]") + len("99999999")
	for i, r := range text {
		if size += escaped(string(r)); size > limit {
			break
		}
		end = i + utf8.RuneLen(r)
		if r == '\n' {
			lineEnd = end
		}
	}
	if lineEnd > end/2 {
		end = lineEnd
	}
	left = len(text) - end
	return fmt.Sprintf("%s\n\n[%d bytes of this mail were left out here: it was too long]", strings.TrimRight(text[:end], "\n"), left), left
}

// escaped is the size of clean text within a canonical JSON string (RFC 8785).
func escaped(s string) int {
	size := len(s)
	for _, c := range []byte(s) {
		switch c {
		case '"', '\\', '\n', '\t', '\f':
			size++
		}
	}
	return size
}
