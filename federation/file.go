package federation

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"meridian/threads"
)

// Files are the bytes that this server holds for channels.
type Files interface {
	// Citations are the places of the messages in the channel, neither void nor erased, that name the
	// file; none while it is not held in that channel.
	Citations(ctx context.Context, channel, digest threads.Hash) ([]threads.Ref, error)
	// OpenFile opens its bytes; fs.ErrNotExist where they are gone.
	OpenFile(digest threads.Hash) (io.ReadSeekCloser, error)
}

// maxPiece is how many bytes of a file one exchange carries, and maxPieceHead bounds the line
// before them.
const (
	maxPiece     = MaxBody
	maxPieceHead = 100
)

// ErrFileTooLarge says that a file is larger than the asker takes.
var ErrFileTooLarge = errors.New("the file is larger than is taken")

// fileRequest asks for the bytes of a file from a place on.
type fileRequest struct {
	Channel threads.Hash `json:"channel"`
	Digest  threads.Hash `json:"digest"`
	From    int64        `json:"from"`
}

// fileHead is the line before the bytes.
type fileHead struct {
	Size int64 `json:"size"` // of the whole file
}

// answerFile gives a piece of a file to a server that is a member of the channel now and has a
// message there that names it. Whatever is not so is answered alike.
func (x *Exchange) answerFile(ctx context.Context, from caller) (reply, error) {
	var asked fileRequest
	if err := decodeBody(from.body, &asked); err != nil {
		return reply{}, malformed(err)
	}
	if asked.From < 0 {
		return reply{}, refuseExchange(http.StatusBadRequest, "malformed", "from is a place in the file, 0 or more")
	}
	may, err := x.mayHave(ctx, from, asked)
	if err != nil {
		return reply{}, err
	}
	if may {
		body, err := x.piece(asked)
		if !errors.Is(err, fs.ErrNotExist) {
			return reply{typeBytes, body}, err
		}
	}
	return reply{}, refuseExchange(http.StatusNotFound, "not_found", "there is no such file for you in that channel")
}

// mayHave looks at the time of the read whether the file is one of a message that the asker holds.
func (x *Exchange) mayHave(ctx context.Context, from caller, asked fileRequest) (bool, error) {
	if x.Files == nil {
		return false, nil
	}
	ch, err := x.Journal.Channel(ctx, asked.Channel)
	if err != nil {
		return false, fmt.Errorf("load channel %s: %w", asked.Channel, err)
	}
	if ch == nil || !ch.IsMember(from.name) || !reaches(ch, from.name, from.keys) {
		return false, nil
	}
	cited, err := x.Files.Citations(ctx, asked.Channel, asked.Digest)
	if err != nil {
		return false, fmt.Errorf("look up file in %s: %w", asked.Channel, err)
	}
	for _, at := range cited {
		if at.Seq >= ch.Floor(from.name, at.LogID) {
			return true, nil
		}
	}
	return false, nil
}

func (x *Exchange) piece(asked fileRequest) ([]byte, error) {
	f, err := x.Files.OpenFile(asked.Digest)
	if err != nil {
		return nil, fmt.Errorf("open file %s: %w", asked.Digest, err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(min(asked.From, size), io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("read file %s: %w", asked.Digest, err)
	}
	head, err := marshal(fileHead{Size: size})
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(append(head, '\n'))
	out.Grow(int(min(maxPiece, size-min(asked.From, size))))
	n, err := io.Copy(out, io.LimitReader(f, maxPiece))
	if err != nil {
		return nil, fmt.Errorf("read file %s: %w", asked.Digest, err)
	}
	x.metrics.fileBytes.WithLabelValues("sent").Add(float64(n))
	return out.Bytes(), nil
}

// FileAsk names a file, and from which place on it is asked for.
type FileAsk struct {
	Server  string
	Channel threads.Hash
	Digest  threads.Hash
	From    int64
	Limit   int64 // the largest file that is taken, in bytes
}

// FetchFile asks a server for the next piece of a file and writes what comes to w, also what came
// before an answer broke off. It returns the size of the whole, 0 where the server did not say it;
// ErrFileTooLarge where that is more than is taken. Nothing of what came is checked.
func (x *Exchange) FetchFile(ctx context.Context, ask FileAsk, w io.Writer) (size int64, err error) {
	a, err := x.acquaintance(ctx, ask.Server)
	if err != nil {
		return 0, err
	}
	if code, detail := a.refused(); code != "" {
		return 0, refuseExchange(http.StatusForbidden, code, detail)
	}
	body, err := marshal(fileRequest{ask.Channel, ask.Digest, ask.From})
	if err != nil {
		return 0, err
	}
	if err := x.stopped(ctx, ask.Server); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	answer, err := x.send(ctx, ask.Server, filePath, typeJSON, body)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		got, err := readBounded(answer.Body, maxAnswer)
		if err != nil {
			return 0, &Unreached{fmt.Errorf("read the answer of %s: %w", ask.Server, err)}
		}
		return 0, problemFrom(ask.Server, answer, got)
	}
	return x.takePiece(ask, answer.Body, w)
}

// takePiece reads the answer to a request for a file.
func (x *Exchange) takePiece(ask FileAsk, answer io.Reader, w io.Writer) (size int64, err error) {
	in := bufio.NewReaderSize(answer, 64<<10)
	line, err := in.ReadSlice('\n')
	var head fileHead
	if err == nil && len(line) > maxPieceHead {
		err = errTooLarge
	}
	if err == nil {
		err = decodeBody(line[:len(line)-1], &head)
	}
	if err != nil {
		return 0, &Unreached{fmt.Errorf("read the answer of %s: %w", ask.Server, err)}
	}
	if head.Size < 0 || head.Size > ask.Limit {
		return head.Size, ErrFileTooLarge
	}
	n, err := io.Copy(w, io.LimitReader(in, min(maxPiece, head.Size-ask.From)))
	x.metrics.fileBytes.WithLabelValues("received").Add(float64(n))
	if err != nil {
		return head.Size, &Unreached{fmt.Errorf("read the answer of %s: %w", ask.Server, err)}
	}
	x.courier(ask.Server).answered(x.Clock())
	return head.Size, nil
}

// Failing reports whether the server did not answer when it was tried last.
func (x *Exchange) Failing(server string) bool {
	c := x.courier(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Attempts > 0
}
