package api

import "encoding/binary"

// WebSocket frames as a server sends them, unmasked and whole (RFC 6455 §5.2).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	finalFrame = 0x80
)

// Codes with which a socket is closed (RFC 6455 §7.4; those from 4000 on are ours).
const (
	closeGoingAway = 1001
	closePolicy    = 1008
	closeRevoked   = 4001
	closeMembers   = 4003
	closeSlow      = 4008
)

// maxHeader is the longest header of a server's frame.
const maxHeader = 10

func appendHeader(dst []byte, op byte, length int) []byte {
	dst = append(dst, finalFrame|op)
	switch {
	case length < 126:
		return append(dst, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(length))
}

// payloadOf is what a frame of a server carries.
func payloadOf(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[maxHeader:]
	}
	return frame[2:]
}

// textFrame is one text message of the parts.
func textFrame(start string, body []byte, end string) []byte {
	length := len(start) + len(body) + len(end)
	frame := appendHeader(make([]byte, 0, length+maxHeader), opText, length)
	frame = append(frame, start...)
	frame = append(frame, body...)
	return append(frame, end...)
}

// controlFrame is a ping, pong or close; its payload has at most 125 bytes.
func controlFrame(op byte, payload []byte) []byte {
	return append(appendHeader(nil, op, len(payload)), payload...)
}

func closeFrame(code int, reason string) []byte {
	return controlFrame(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}
