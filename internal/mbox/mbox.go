// Package mbox reads a mailing-list archive (RFC 4155, with the ">From "
// quoting of mboxrd) and says how its mails hang together. Archives are
// decades of other programs' mistakes, so it takes what can be read from each
// mail, reports what was odd about it, and goes on.
//
// It never writes, never touches the network, never runs or renders what a mail
// carries, never verifies a signature, and knows nothing of channels or events:
// what becomes of a mail is its caller's decision.
package mbox

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// BodyLimit is the most that a Body takes, in bytes as a JSON string between
// its quotes. It leaves room for the other fields of a content of 64 KiB.
const BodyLimit = 60_000

const (
	mailLimit    = 25 << 20 // bytes of one mail as the archive has it
	headerLimit  = 1 << 20  // bytes of the header of a mail or a part
	subjectLimit = 1_000    // bytes
	idLimit      = 256      // bytes of a Message-ID, a name or an address
	idsLimit     = 100      // ids kept of one References field
)

// ErrNotArchive is returned by Read for text in which no mail begins.
var ErrNotArchive = errors.New(`no mail found: in an mbox archive each mail begins with a line like "From name Tue Nov 17 21:28:37 2009"`)

// Mail is one mail of an archive. Its strings are valid UTF-8 without control
// characters; only Body has line ends (\n), tabs and form feeds.
type Mail struct {
	Line       int       // of its From_ line in the archive, counted from 1
	MessageID  string    // without brackets; empty if missing or over 256 bytes
	InReplyTo  []string  // ids as written, without brackets; at most 100
	References []string  // ids, oldest first, without brackets; the last 100
	From       Address   // the author; empty if unreadable
	Date       time.Time // as the author's clock and zone had it; zero if unreadable
	Subject    string    // decoded, on one line, at most 1,000 bytes
	Body       string    // text, with a note for each attachment; at most BodyLimit
	Digest     string    // SHA-256 in hex over author, date, subject and body
}

// Address is a person as a mail names them.
type Address struct {
	Name string // as displayed; may be empty; at most 256 bytes
	Addr string // name@domain; may be empty; at most 256 bytes
}

// Key tells mails apart: two mails with equal keys are the same mail, whatever
// else differs. It is the Message-ID, or "sha256:" and the Digest without one.
func (m Mail) Key() string {
	if m.MessageID != "" {
		return m.MessageID
	}
	return "sha256:" + m.Digest
}

// Oddity is something in an archive that was not as it should be. The mail on
// that line was mended, or left out if What says so.
type Oddity struct {
	Line int    // the From_ line of the mail concerned, counted from 1
	What string // one line for people
}

func (o Oddity) String() string { return fmt.Sprintf("line %d: %s", o.Line, o.What) }

// Read calls each for every mail of the archive in its order, and odd for every
// oddity, once a mail, before the mail it concerns. It holds one mail at a time; a mail over
// 25 MiB is left out and is an oddity. Read stops at the first error of each,
// which it returns as it is, or of r; text that is no archive gives
// ErrNotArchive, an empty one nothing. Neither function may be nil.
func Read(r io.Reader, each func(Mail) error, odd func(Oddity)) error {
	return split(r, func(line int, data []byte) error {
		said := map[string]bool{}
		p := parser{odd: func(what string) {
			if !said[what] {
				said[what] = true
				odd(Oddity{Line: line, What: what})
			}
		}}
		mail, ok := p.mail(data)
		if !ok {
			return nil
		}
		mail.Line = line
		return each(mail)
	}, odd)
}
