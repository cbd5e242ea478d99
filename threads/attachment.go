package threads

import (
	"strings"
	"unicode"
)

// Bounds of what a message says of its files.
const (
	MaxAttachments = 20   // of one message
	MaxFileName    = 255  // bytes
	MaxMediaType   = 127  // bytes
	MaxSummary     = 2000 // bytes of a text alternative
)

const documentType = "Document" // ActivityStreams 2.0 object type

// Attachment is a file that a message has, an ActivityStreams 2.0 Document: what
// its author's server says of it. The bytes travel apart and are known by their
// digest alone.
type Attachment struct {
	Digest  Hash   // SHA-256 of the bytes
	Size    int64  // in bytes
	Type    string // media type without parameters
	Name    string
	Summary string // text alternative, "" for none
}

// Arrival says that a file named in a channel is held now.
type Arrival struct {
	Channel Hash
	Digest  Hash
	Size    int64 // in bytes
}

// FileName refuses what may not be the name of a file, with the reason: a name
// stands for the same file on every system that people save it to, and shows what
// it is.
func FileName(name string) error {
	if fault := nameFault(name); fault != "" {
		return Refuse(Invalid, "file_name", "/name", fault)
	}
	return nil
}

func nameFault(name string) string {
	switch {
	case name == "" || len(name) > MaxFileName:
		return "must have 1 to 255 bytes"
	case CheckText(name) != nil:
		return "must be valid UTF-8 without the character U+0000"
	case strings.ContainsAny(name, `/\`):
		return "must be a name and no path: leave out / and \\"
	case strings.Trim(name, ". ") == "" || strings.TrimSpace(name) != name || strings.HasSuffix(name, "."):
		return "must not begin or end with a space, nor end with a dot"
	case strings.ContainsFunc(name, misleading):
		return "must not hold control characters, line ends, or marks that turn the direction of writing"
	case isDevice(name):
		return "is the name of a device on some systems; choose another"
	}
	return ""
}

// misleading are characters that no screen shows, or that make a name read as
// another.
func misleading(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u061c', r == '\u200e', r == '\u200f', r == '\u2028', r == '\u2029', r == '\ufeff':
		return true
	}
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// isDevice reports whether Windows takes the name for a device, whatever its
// extension.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	digit, port := strings.CutPrefix(base, "COM")
	if !port {
		digit, port = strings.CutPrefix(base, "LPT")
	}
	return port && len([]rune(digit)) == 1 && strings.Contains("0123456789¹²³", digit)
}

// IsMediaType reports whether s is a media type without parameters in lower
// case (RFC 6838 §4.2).
func IsMediaType(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	return ok && len(s) <= MaxMediaType && isTypeName(kind) && isTypeName(sub)
}

func isTypeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
		case i == 0 || strings.IndexByte("!#$&-^_.+", c) < 0:
			return false
		}
	}
	return s != ""
}

// fault says what is wrong with an attachment, "" when nothing is.
func (a *Attachment) fault() string {
	switch {
	case !IsHash(a.Digest):
		return "names no file: its digest must have 43 characters"
	case a.Size < 0:
		return "has a size below 0"
	case !IsMediaType(a.Type):
		return "has no media type like application/pdf"
	case len(a.Summary) > MaxSummary || CheckText(a.Summary) != nil:
		return "has a summary over 2000 bytes, or with the character U+0000"
	}
	return nameFault(a.Name)
}

// checkAttachments refuses what no message may have.
func checkAttachments(list []Attachment) error {
	if len(list) > MaxAttachments {
		return Refuse(TooLarge, "too_large", "/attachments", "at most "+itoa(MaxAttachments)+" files can be attached")
	}
	for i := range list {
		if fault := list[i].fault(); fault != "" {
			return Refuse(Invalid, "invalid", "/attachments/"+itoa(i), fault)
		}
	}
	return nil
}

// attachments reads the files of a message; nil when it has none.
func (r *reader) attachments() []Attachment {
	a, ok, err := r.o.Array("attachment")
	if err != nil {
		r.fail(err)
	}
	if err != nil || !ok {
		return nil
	}
	if a.Len() == 0 || a.Len() > MaxAttachments {
		r.fail(refuse("shape", "/attachment", "has 1 to "+itoa(MaxAttachments)+" elements, or is left out"))
		return nil
	}
	list := make([]Attachment, a.Len())
	for i := range list {
		o, err := a.Object(i)
		if err != nil {
			r.fail(err)
			return nil
		}
		one := reader{o: o}
		list[i] = Attachment{
			Digest: one.text("digest"), Size: one.integer("size"), Type: one.text("mediaType"),
			Name: one.text("name"), Summary: one.optionalText("summary"),
		}
		if kind := one.text("type"); one.err == nil && kind != documentType {
			one.fail(refuse("shape", "/attachment/"+itoa(i)+"/type", "must be "+documentType))
		}
		if fault := list[i].fault(); one.err == nil && fault != "" {
			one.fail(refuse("shape", "/attachment/"+itoa(i), fault))
		}
		if one.err != nil {
			r.fail(one.err)
			return nil
		}
	}
	return list
}

func (w *writer) attachments(list []Attachment) {
	if len(list) == 0 {
		return
	}
	w.key("attachment")
	w.dst = append(w.dst, '[')
	for i := range list {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = list[i].append(w.dst)
	}
	w.dst = append(w.dst, ']')
}

// append appends the canonical Document.
func (a *Attachment) append(dst []byte) []byte {
	w := writer{dst: append(dst, '{')}
	w.text("digest", a.Digest)
	w.text("mediaType", a.Type)
	w.text("name", a.Name)
	w.integer("size", a.Size)
	w.nonEmpty("summary", a.Summary)
	w.text("type", documentType)
	return append(w.dst, '}')
}
