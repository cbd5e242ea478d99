package federation

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"meridian/threads"
)

// The bounds of one exchange (docs/protocol.md, "limits").
const (
	MaxFrames = 500
	MaxBody   = 4 << 20 // bytes, inflated
)

// maxFrame is what the longest possible frame takes: header, signature, content and the keys.
const maxFrame = threads.MaxHeader + threads.MaxContent + 256

const (
	frameHeader  = `{"header":`
	frameSig     = `,"sig":"`
	frameContent = `","content":`
	sigLength    = 86 // base64url of 64 bytes
)

// AppendFrame appends the frame of an event, a line of its own, to dst. Header and content stand in
// it as they are stored, byte for byte; a content that is not held is left out.
func AppendFrame(dst []byte, e *threads.Event) []byte {
	dst = append(dst, frameHeader...)
	dst = append(dst, e.HeaderBytes...)
	dst = append(dst, frameSig...)
	dst = base64.RawURLEncoding.AppendEncode(dst, e.Sig)
	if e.Content == nil {
		return append(dst, "\"}\n"...)
	}
	dst = append(dst, frameContent...)
	dst = append(dst, e.Content...)
	return append(dst, "}\n"...)
}

// BadFrame is a frame that was not taken, and why.
type BadFrame struct {
	Index   int          // among the frames of the exchange, from 0
	Channel threads.Hash // "" where the frame is too broken to tell
	Ref     threads.Ref  // zero where the frame is too broken to tell
	Code    string
	Detail  string
}

// Frames are what an exchange brought: the events that can be looked at further, the place of each
// among the frames, and the frames that were refused.
type Frames struct {
	Events []*threads.Event
	Index  []int
	Bad    []BadFrame
}

// place names a log among all channels.
type place struct {
	channel threads.Hash
	log     threads.LogID
}

// ReadFrames reads frames, one a line. It checks all that can be checked without the channel:
// lines, canonical bytes, shapes, limits and contents' digests. A bad frame ends its own log and
// touches nothing else: later frames of that log are left out in silence. The events do not share
// memory with body. An error means that there are more frames than one exchange may hold.
func ReadFrames(body []byte) (Frames, error) {
	var out Frames
	ended := map[place]bool{}
	for index := 0; len(body) > 0; index++ {
		if index == MaxFrames {
			return Frames{}, fmt.Errorf("there are more than %d frames: send the rest in a further exchange", MaxFrames)
		}
		line, rest, terminated := bytes.Cut(body, []byte{'\n'})
		body = rest
		e, err := decodeFrame(line, terminated)
		if err != nil {
			bad := badFrame(index, line, err)
			out.Bad = append(out.Bad, bad)
			ended[place{bad.Channel, bad.Ref.LogID}] = bad.Channel != ""
			continue
		}
		if ended[place{e.Channel(), e.Header.LogID()}] {
			continue
		}
		out.Events = append(out.Events, e)
		out.Index = append(out.Index, index)
	}
	return out, nil
}

// decodeFrame accepts the one spelling that AppendFrame has.
func decodeFrame(line []byte, terminated bool) (*threads.Event, error) {
	if !terminated || len(line) > maxFrame {
		return nil, frameError("a frame is a line of at most %d bytes that ends in a line feed", maxFrame)
	}
	header, sig, content, err := splitFrame(bytes.Clone(line))
	if err != nil {
		return nil, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(sig))
	if err != nil {
		return nil, frameError("sig must be the base64url of 64 bytes")
	}
	if content != nil {
		if _, err := threads.ParseCanonical(content, threads.MaxContent); err != nil {
			return nil, fmt.Errorf("content: %w", err)
		}
	}
	return threads.Decode(header, raw, content)
}

// splitFrame finds the parts of a frame, which share its memory. Whether they are what they should
// be is not looked at.
func splitFrame(line []byte) (header, sig, content []byte, err error) {
	rest, ok := bytes.CutPrefix(line, []byte(frameHeader))
	end := objectEnd(rest)
	if !ok || end == 0 {
		return nil, nil, nil, frameError(`a frame begins with {"header": and an object`)
	}
	header, rest = rest[:end:end], rest[end:]
	rest, ok = bytes.CutPrefix(rest, []byte(frameSig))
	if !ok || len(rest) < sigLength {
		return nil, nil, nil, frameError(`after the header stands ,"sig": and a string of %d characters`, sigLength)
	}
	sig, rest = rest[:sigLength:sigLength], rest[sigLength:]
	if string(rest) == `"}` {
		return header, sig, nil, nil
	}
	rest, ok = bytes.CutPrefix(rest, []byte(frameContent))
	end = objectEnd(rest)
	if !ok || end == 0 || string(rest[end:]) != "}" {
		return nil, nil, nil, frameError(`after the signature stands nothing, or ,"content": and an object`)
	}
	return header, sig, rest[:end:end], nil
}

// objectEnd is where the object at the start of b ends, 0 when there is none that ends.
func objectEnd(b []byte) int {
	if len(b) == 0 || b[0] != '{' {
		return 0
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// badFrame says of a refused frame what can be said, so that its log can be named.
func badFrame(index int, line []byte, cause error) BadFrame {
	bad := BadFrame{Index: index, Code: threads.RefusedMalformed, Detail: cause.Error()}
	var decode *threads.DecodeError
	if errors.As(cause, &decode) && decode.Path == "/content" && decode.Code == "digest" {
		bad.Code = "digest"
	}
	header, _, _, err := splitFrame(line)
	if len(line) > maxFrame || err != nil {
		return bad
	}
	if h, err := threads.DecodeHeader(header); err == nil {
		bad.Channel, bad.Ref = h.Channel, h.Ref()
		if h.Channel == "" {
			bad.Channel = threads.HashOf(header)
		}
	}
	return bad
}

func frameError(format string, args ...any) error {
	return &threads.DecodeError{Code: "frame", Detail: fmt.Sprintf(format, args...)}
}
