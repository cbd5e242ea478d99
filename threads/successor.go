package threads

import "fmt"

// Citation is what the first event of a successor channel says of the channel
// that it goes on from, whose host is lost: its id, the newest control event and
// the heads that the founder's server had applied. It gives nobody a right.
type Citation struct {
	Channel Hash
	Control ControlRef
	Heads   []Head // where it is made; who reads it finds them in the event
	By      string // who made the successor
}

// Cite is the citation of the channel as it is now.
func (c *Channel) Cite() *Citation {
	return &Citation{Channel: c.ID, Control: ControlRef{Number: c.Control.Seq, Hash: c.Control.Hash}, Heads: c.Frontier()}
}

// Follows is what the channel's first event says of the one before it, nil where
// there was none.
func (c *Channel) Follows() *Citation { return c.follows }

// Succeeded reports whether a citation is one of this channel, by somebody who
// is in it: others' channels do not take its place.
func (c *Channel) Succeeded(by *Citation) bool {
	return by.Channel == c.ID && c.HashAt(by.Control.Number) == by.Control.Hash && c.Role(by.By).Gives(RightWork)
}

// bytes are the canonical bytes of the citation.
func (f *Citation) bytes() []byte {
	dst := AppendString([]byte(`{"channel":`), f.Channel)
	dst = AppendInt(append(dst, `,"control":[`...), f.Control.Number)
	dst = AppendString(append(dst, ','), f.Control.Hash)
	dst = AppendHeads(append(dst, `],"heads":`...), f.Heads)
	return append(dst, '}')
}

func decodeCitation(e *Event, o Object) (*Citation, error) {
	f, ok, err := o.Object("follows")
	if err != nil || !ok {
		return nil, err
	}
	bad := refuse("shape", "/follows", "must be {channel, control:[number, hash], heads}")
	out := &Citation{By: e.Header.Actor}
	if out.Channel, _, err = f.String("channel"); err != nil || !IsHash(out.Channel) {
		return nil, bad
	}
	at, ok, err := f.Array("control")
	if err != nil || !ok || at.Len() != 2 {
		return nil, bad
	}
	if out.Control.Number, err = at.Int(0); err != nil || out.Control.Number < 1 {
		return nil, bad
	}
	if out.Control.Hash, err = at.String(1); err != nil || !IsHash(out.Control.Hash) {
		return nil, bad
	}
	if _, err := decodeHeads(f, "heads"); err != nil {
		return nil, fmt.Errorf("follows: %w", err)
	}
	return out, nil
}
