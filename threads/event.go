package threads

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Logs of a channel: one control log, written by the host alone, and data logs,
// one for each member server and epoch.
const (
	LogControl = "control"
	LogData    = "data"
)

// MaxAfter is how many causal dependencies one event may name.
const MaxAfter = 32

// signaturePrefix keeps a signature over an event from meaning anything else.
const signaturePrefix = "meridian-event-v1\x00"

// Hash is a SHA-256 digest in base64url without padding, 43 characters; "" is
// the hash that stands before the first event of a log.
type Hash = string

// HashOf is the hash of b.
func HashOf(b []byte) Hash {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// IsHash reports whether s has the one spelling of a hash.
func IsHash(s string) bool {
	if len(s) != 43 || !isBase64URL(s) {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil
}

// LogID names one log of a channel. The control log has no origin and epoch 0:
// it runs on when the host changes.
type LogID struct {
	Origin string
	Epoch  int64
}

// ControlLog names the control log.
var ControlLog = LogID{}

// Head is the newest applied event of a log.
type Head struct {
	LogID
	Seq  int64
	Hash Hash
	Time Time
}

// Ref names an event by its place.
type Ref struct {
	LogID
	Seq int64
}

// ControlRef names a control event by number and hash.
type ControlRef struct {
	Number int64
	Hash   Hash
}

// Header is the signed part of an event: protocol.md §2 says what each field
// means. Unknown fields stay in the event's bytes.
type Header struct {
	V       int64
	Channel string
	Log     string
	Origin  string
	Epoch   int64
	Seq     int64
	Prev    Hash
	Control ControlRef // zero in control events
	After   []Ref
	Erases  Hash
	Time    Time
	Actor   string
	Type    string
	Content Hash
	Key     string
}

// LogID is the log that the event stands in.
func (h *Header) LogID() LogID {
	if h.Log == LogControl {
		return ControlLog
	}
	return LogID{Origin: h.Origin, Epoch: h.Epoch}
}

// Erasing reports whether the event takes contents: of what it names, or of all
// that its actor wrote in the channel.
func (h *Header) Erasing() bool { return h.Erases != "" || h.Type == TypePersonErased }

// Texts reports whether the event's content can be erased: that of a message or
// of an edit.
func (h *Header) Texts() bool { return h.Type == TypeMessagePosted || h.Type == TypeMessageEdited }

// Ref is the place of the event.
func (h *Header) Ref() Ref { return Ref{LogID: h.LogID(), Seq: h.Seq} }

// Event is one entry of a log in its exact bytes. Content is nil where it is
// not held.
type Event struct {
	ID          Hash
	Header      Header
	HeaderBytes []byte
	Sig         []byte
	Content     []byte
}

// Channel is the id of the channel that the event belongs to: that of the
// event itself when it creates one.
func (e *Event) Channel() string {
	if e.Header.Channel == "" {
		return e.ID
	}
	return e.Header.Channel
}

// SigningBytes is what a server signs for a header.
func SigningBytes(header []byte) []byte {
	return append([]byte(signaturePrefix), header...)
}

// AppendHeader appends the canonical bytes of h (RFC 8785) to dst.
func AppendHeader(dst []byte, h *Header) []byte {
	dst = append(dst, `{"actor":`...)
	dst = AppendString(dst, h.Actor)
	if len(h.After) > 0 {
		dst = append(dst, `,"after":`...)
		dst = appendRefs(dst, h.After)
	}
	dst = appendField(dst, "channel", h.Channel)
	dst = appendField(dst, "content", h.Content)
	if h.Log == LogData {
		dst = append(dst, `,"control":[`...)
		dst = AppendInt(dst, h.Control.Number)
		dst = append(dst, ',')
		dst = AppendString(dst, h.Control.Hash)
		dst = append(dst, ']')
	}
	dst = appendIntField(dst, "epoch", h.Epoch)
	if h.Erases != "" {
		dst = appendField(dst, "erases", h.Erases)
	}
	dst = appendField(dst, "key", h.Key)
	dst = appendField(dst, "log", h.Log)
	dst = appendField(dst, "origin", h.Origin)
	dst = appendField(dst, "prev", h.Prev)
	dst = appendIntField(dst, "seq", h.Seq)
	dst = appendIntField(dst, "time", int64(h.Time))
	dst = appendField(dst, "type", h.Type)
	dst = appendIntField(dst, "v", h.V)
	return append(dst, '}')
}

func appendRefs(dst []byte, refs []Ref) []byte {
	dst = append(dst, '[')
	for i, r := range refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = AppendString(dst, r.Origin)
		dst = append(dst, ',')
		dst = AppendInt(dst, r.Epoch)
		dst = append(dst, ',')
		dst = AppendInt(dst, r.Seq)
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func appendField(dst []byte, key, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	dst = append(dst, '"', ':')
	return AppendString(dst, value)
}

func appendIntField(dst []byte, key string, n int64) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	dst = append(dst, '"', ':')
	return AppendInt(dst, n)
}

// Seal makes an event of a filled header and its content: it hashes the
// content, writes the header's bytes and has them signed. sign returns the
// Ed25519 signature of its argument.
func Seal(h Header, content []byte, sign func([]byte) []byte) *Event {
	h.V = 1
	h.Content = HashOf(content)
	raw := AppendHeader(make([]byte, 0, 512), &h)
	return &Event{
		ID:          HashOf(raw),
		Header:      h,
		HeaderBytes: raw,
		Sig:         sign(SigningBytes(raw)),
		Content:     content,
	}
}

// Decode reads an event from its parts, checking everything that can be
// checked without the channel: canonical bytes, shapes, limits and the
// content's digest. A nil content is one not held. The signature is not
// verified here: which key counts is the channel's to say.
func Decode(header, sig, content []byte) (*Event, error) {
	h, err := DecodeHeader(header)
	if err != nil {
		return nil, err
	}
	if len(sig) != 64 {
		return nil, &DecodeError{Code: "signature", Path: "/sig", Detail: "an Ed25519 signature has 64 bytes"}
	}
	if content != nil {
		if len(content) > MaxContent {
			return nil, &DecodeError{Code: "too_large", Path: "/content", Detail: fmt.Sprintf("a content has at most %d bytes", MaxContent)}
		}
		if HashOf(content) != h.Content {
			return nil, &DecodeError{Code: "digest", Path: "/content", Detail: "the content does not have the digest that the header names"}
		}
	}
	return &Event{ID: HashOf(header), Header: *h, HeaderBytes: header, Sig: sig, Content: content}, nil
}
