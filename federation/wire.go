package federation

import (
	"encoding/json"
	"fmt"

	"meridian/threads"
)

// The bodies of exchanges, as docs/protocol.md writes them. Members of objects stand in canonical
// order; unknown members are ignored.

// wireHead is a head of a data log, [origin, epoch, from, seq, hash].
type wireHead struct {
	threads.LogID
	From int64
	Seq  int64
	Hash threads.Hash
}

// MarshalJSON writes the head as an array of five.
func (h wireHead) MarshalJSON() ([]byte, error) {
	return marshal([]any{h.Origin, h.Epoch, h.From, h.Seq, h.Hash})
}

// UnmarshalJSON reads an array of five.
func (h *wireHead) UnmarshalJSON(b []byte) error {
	return readTuple(b, &h.Origin, &h.Epoch, &h.From, &h.Seq, &h.Hash)
}

// wireRef is a place in a log, [origin, epoch, seq]; the control log has the origin "" and epoch 0.
type wireRef threads.Ref

// MarshalJSON writes the place as an array of three.
func (r wireRef) MarshalJSON() ([]byte, error) { return marshal([]any{r.Origin, r.Epoch, r.Seq}) }

// UnmarshalJSON reads an array of three.
func (r *wireRef) UnmarshalJSON(b []byte) error { return readTuple(b, &r.Origin, &r.Epoch, &r.Seq) }

// wireControl is a control head, [number, hash].
type wireControl struct {
	Number int64
	Hash   threads.Hash
}

// MarshalJSON writes the head as an array of two.
func (c wireControl) MarshalJSON() ([]byte, error) { return marshal([]any{c.Number, c.Hash}) }

// UnmarshalJSON reads an array of two.
func (c *wireControl) UnmarshalJSON(b []byte) error { return readTuple(b, &c.Number, &c.Hash) }

func readTuple(b []byte, fields ...any) error {
	var items []json.RawMessage
	if err := json.Unmarshal(b, &items); err != nil || len(items) != len(fields) {
		return fmt.Errorf("must be an array of %d", len(fields))
	}
	for i, field := range fields {
		if err := json.Unmarshal(items[i], field); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// standing is how far a server has applied one channel.
type standing struct {
	Channel  threads.Hash `json:"channel"`
	Control  wireControl  `json:"control"`
	Forks    []wireRef    `json:"forks,omitempty"` // of which proofs are held that cut or stop a log
	Frontier []wireHead   `json:"frontier,omitempty"`
}

// standingOf is what this server says of a channel; nil is one of which it holds nothing.
func standingOf(id threads.Hash, c *threads.Channel) standing {
	s := standing{Channel: id}
	if c == nil {
		return s
	}
	s.Control, s.Forks = wireControl{c.Control.Seq, c.Control.Hash}, forksOf(c)
	for _, h := range c.Frontier() {
		s.Frontier = append(s.Frontier, wireHead{h.LogID, c.Logs[h.LogID].From, h.Seq, h.Hash})
	}
	return s
}

// seq is how far the standing reaches in a log, 0 where it does not name it.
func (s standing) head(id threads.LogID) wireHead {
	for _, h := range s.Frontier {
		if h.LogID == id {
			return h
		}
	}
	return wireHead{LogID: id}
}

// pushHead is the first line of a push.
type pushHead struct {
	Channels []standing `json:"channels"` // without frontiers: the sender's control heads
}

// pushAnswer is what became of a push.
type pushAnswer struct {
	Channels []channelAnswer `json:"channels,omitempty"`
	Refusals []wireRefusal   `json:"refusals,omitempty"`
}

type channelAnswer struct {
	standing
	Waiting []wireWaiting `json:"waiting,omitempty"`
}

// wireWaiting says that a log is held, unapplied, up to Seq, and what its oldest such event is
// waiting for; For is absent where that is its own time.
type wireWaiting struct {
	For    *wireRef `json:"for,omitempty"`
	Epoch  int64    `json:"epoch"`
	Origin string   `json:"origin"`
	Seq    int64    `json:"seq"`
}

// wireRefusal names a frame that was not taken. Index counts the frames of the push from 0.
type wireRefusal struct {
	Channel threads.Hash `json:"channel,omitempty"`
	Code    string       `json:"code"`
	Detail  string       `json:"detail"`
	Epoch   int64        `json:"epoch"`
	Index   int          `json:"index"`
	Origin  string       `json:"origin"`
	Seq     int64        `json:"seq"`
}

// pullRequest asks for what continues the asker's heads.
type pullRequest struct {
	Channels []pullChannel `json:"channels"`
	Limit    int           `json:"limit,omitempty"` // of frames; MaxFrames when absent
}

type pullChannel struct {
	standing
	// Admission asks for nothing but the control event that admitted the asker, by
	// which it sees that it was in a channel of which it has lost everything.
	Admission bool `json:"admission,omitempty"`

	Ahead    []wireRef      `json:"ahead,omitempty"`    // held unapplied up to these places: not wanted again
	At       []wireRef      `json:"at,omitempty"`       // places where the asker holds other events
	Below    []wireHead     `json:"below,omitempty"`    // continue these logs downwards from their From instead
	Contents []threads.Hash `json:"contents,omitempty"` // events whose contents the asker lacks
	Probe    []wireRef      `json:"probe,omitempty"`    // places whose hashes the asker compares
	Waiting  bool           `json:"waiting,omitempty"`  // what is held unapplied is to be named too
}

// pullTail is the last line of the answer to a pull.
type pullTail struct {
	Channels []pulledChannel `json:"channels"`
}

type pulledChannel struct {
	standing
	Code   string         `json:"code,omitempty"`   // why nothing, or not all, is given
	Hashes []threads.Hash `json:"hashes,omitempty"` // of the places probed, "" where none is held
	More   bool           `json:"more"`             // there is more than fitted
	Proofs []wireFork     `json:"proofs,omitempty"` // of forks that the asker does not know of
	// Waiting is what is held unapplied, where that was asked for.
	Waiting []wireWaiting `json:"waiting,omitempty"`
}

// digestRequest and digestAnswer compare all shared channels at once.
type digestRequest struct {
	Buckets map[string]string `json:"buckets"`         // bucket, two hexadecimal digits → sum
	Doubt   bool              `json:"doubt,omitempty"` // the asker may have lost control events that it wrote
}

type digestAnswer struct {
	Buckets map[string]map[threads.Hash]string `json:"buckets,omitempty"` // unequal ones: channel → sum
	Busy    []threads.Hash                     `json:"busy,omitempty"`    // being pushed to the asker right now
	// Former are channels that the asker hosts and removed the answerer from, where it is in doubt.
	Former []standing `json:"former,omitempty"`
}

// decodeBody reads a body of an exchange strictly: one JSON value of the I-JSON subset that events
// keep to, without the demand that it be written canonically.
func decodeBody(b []byte, into any) error {
	canonical, err := threads.Canonicalize(b, MaxBody)
	if err != nil {
		return err
	}
	return json.Unmarshal(canonical, into)
}
