package federation

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// errTooLarge says that a body passes its bound.
var errTooLarge = fmt.Errorf("a body has at most %d bytes, also when inflated", MaxBody)

// errEncoding says that a body is compressed in a way that is not understood.
var errEncoding = errors.New("Content-Encoding may be absent, gzip or zstd, once")

// errInflate says that a body is not compressed as it says.
var errInflate = errors.New("the body is not what its Content-Encoding says")

// readBounded reads all of r, never more than limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, err
}

// inflate undoes a Content-Encoding within the bound of a body.
func inflate(encoding string, body []byte) ([]byte, error) {
	switch encoding {
	case "":
		return body, nil
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, errInflate
		}
		return inflated(readBounded(r, MaxBody))
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(2*MaxBody), zstd.WithDecoderMaxWindow(MaxBody))
		if err != nil {
			return nil, errInflate
		}
		defer r.Close()
		return inflated(readBounded(r, MaxBody))
	}
	return nil, errEncoding
}

// inflated tells a body that is too large from one that is not what its encoding says.
func inflated(body []byte, err error) ([]byte, error) {
	if err != nil && !errors.Is(err, errTooLarge) {
		return nil, errInflate
	}
	return body, err
}

// marshal writes v as JSON that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}
