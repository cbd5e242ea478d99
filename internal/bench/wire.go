package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// answerTime is how long a request may go unanswered.
const answerTime = time.Minute

// connection speaks just enough HTTP/1.1 to cost the servers' cores little: one
// request at a time on one kept connection. It ends with the context it was
// dialled with.
type connection struct {
	conn    net.Conn
	in      *bufio.Reader
	common  []byte // header lines of every request
	request []byte
	answer  []byte
	forget  func() bool
}

// dial connects to address, HOST:PORT; token "" is nobody's.
func dial(ctx context.Context, address, token string) (*connection, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &connection{conn: conn, in: bufio.NewReader(conn)}
	c.common = fmt.Appendf(nil, " HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n", address)
	if token != "" {
		c.common = fmt.Appendf(c.common, "Authorization: Bearer %s\r\n", token)
	}
	c.forget = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return c, nil
}

func (c *connection) close() {
	c.forget()
	_ = c.conn.Close()
}

// do sends one request and reads its answer, which is valid until the next.
func (c *connection) do(method, path string, body []byte) (status int, answer []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, nil, err
	}
	b := append(c.request[:0], method...)
	b = append(append(b, ' '), path...)
	b = append(b, c.common...)
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	c.request = append(append(b, "\r\n\r\n"...), body...)
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	status, err = c.read()
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return status, c.answer, nil
}

// read takes the status, the headers and the body of one answer.
func (c *connection) read() (status int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("not an HTTP answer: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("not an HTTP answer: %q", line)
	}
	length, chunked := 0, false
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, fmt.Errorf("content-length: %w", err)
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		}
	}
	if chunked {
		return status, c.chunks()
	}
	c.answer = c.answer[:0]
	return status, c.more(length)
}

// more adds the next n bytes to the answer.
func (c *connection) more(n int) error {
	have := len(c.answer)
	c.answer = append(c.answer, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.answer[have:])
	return err
}

// chunks reads a body in chunks (RFC 9112, section 7.1) without trailers.
func (c *connection) chunks() error {
	c.answer = c.answer[:0]
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return fmt.Errorf("length of a chunk: %w", err)
		}
		if err := c.more(int(n)); err != nil {
			return err
		}
		if end, err := c.in.ReadSlice('\n'); err != nil || len(end) != 2 {
			return errors.Join(errors.New("a chunk does not end where it says"), err)
		}
		if n == 0 {
			return nil
		}
	}
}
