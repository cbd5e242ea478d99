package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
)

var (
	datedFrom  = regexp.MustCompile(`^From .*(\b\d{1,2}:\d{2}\b.*\b(19|20)\d{2}(\s+\S+)?|\b(19|20)\d{2}-\d{2}-\d{2}[ T]\d{2}:\d{2}\S*)\s*$`)
	bareFrom   = regexp.MustCompile(`^From +\S+\s*$`)
	field      = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)
	knownField = regexp.MustCompile(`(?i)^(return-path|received|from|sender|to|cc|reply-to|date|subject|message-id|` +
		`in-reply-to|references|mime-version|content-[a-z-]+|delivered-to|envelope-to|status|list-[a-z-]+|x-[a-z0-9-]+)[ \t]*:`)
	quotedFrom = regexp.MustCompile(`^>+From `)
)

// splitter cuts an archive into mails without holding more than one.
type splitter struct {
	in   *bufio.Reader
	each func(line int, data []byte) error
	odd  func(Oddity)

	line  int    // the line being read
	begin int    // the From_ line of the mail being read, 0 before the first
	data  []byte // that mail, its quoted From lines restored
	size  int    // bytes it has in the archive
	stray bool   // text stood before the first From_ line
}

// split calls each with the From_ line and the bytes of every mail. The bytes
// are each's until it returns.
func split(r io.Reader, each func(line int, data []byte) error, odd func(Oddity)) error {
	s := &splitter{in: bufio.NewReaderSize(r, 64<<10), each: each, odd: odd}
	if bom, _ := s.in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = s.in.Discard(3)
	}
	if err := s.lines(); err != nil {
		return err
	}
	if s.begin == 0 && s.stray {
		return ErrNotArchive
	}
	return s.flush()
}

func (s *splitter) lines() error {
	start, blank := true, true // at a line's start; the line before was blank
	for {
		chunk, err := s.in.ReadSlice('\n')
		if start && len(chunk) > 0 {
			s.line++
		}
		opens := false
		if start && bytes.HasPrefix(chunk, []byte("From ")) {
			chunk = bytes.Clone(chunk) // looking ahead overwrites it
			opens = s.opens(chunk, blank)
		}
		if opens {
			if err := s.flush(); err != nil {
				return err
			}
			s.begin = s.line
		} else {
			s.add(chunk, start)
		}
		blank = start && len(bytes.TrimRight(chunk, "\r\n")) == 0
		start = err == nil
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read archive at line %d: %w", s.line, err)
		}
	}
}

// opens decides whether a line that begins with "From " begins a mail. Writers
// forget to quote such lines in bodies, to leave a blank line before a mail and
// to date the From_ line, so what follows has to look like a mail's header.
func (s *splitter) opens(line []byte, blank bool) bool {
	next, _ := s.in.Peek(256)
	if i := bytes.IndexByte(next, '\n'); i >= 0 {
		next = next[:i]
	}
	next = bytes.TrimRight(next, "\r")
	dated := datedFrom.Match(line)
	if dated && blank {
		return len(next) == 0 || field.Match(next) || quotedFrom.Match(next)
	}
	return (dated || blank && bareFrom.Match(line)) && knownField.Match(next)
}

func (s *splitter) add(chunk []byte, start bool) {
	if s.begin == 0 {
		if !s.stray && len(bytes.TrimSpace(chunk)) > 0 {
			s.stray = true
			s.odd(Oddity{s.line, "text before the first mail was left out"})
		}
		return
	}
	if start && quotedFrom.Match(chunk) {
		chunk = chunk[1:]
	}
	s.size += len(chunk)
	if s.size <= mailLimit {
		s.data = append(s.data, chunk...)
	}
}

// flush hands on the mail that ends here.
func (s *splitter) flush() error {
	data, size := s.data, s.size
	s.data, s.size = s.data[:0], 0
	switch {
	case s.begin == 0:
		return nil
	case size > mailLimit:
		s.odd(Oddity{s.begin, fmt.Sprintf("a mail of %d bytes was left out: at most %d are read", size, mailLimit)})
		return nil
	}
	return s.each(s.begin, data)
}
