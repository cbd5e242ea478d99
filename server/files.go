package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/config"
	"meridian/federation"
	"meridian/internal/blobs"
	"meridian/internal/store"
	"meridian/threads"
	"meridian/threads/journal"
)

// files keeps the bytes of what is attached to messages: it takes in what people
// of this server upload, gives it to who may read it, fetches what members of
// channels have, and drops what nothing refers to. Which file is whose stands in
// the store, the bytes in the directory; bytes count once both say so.
type files struct {
	server  string
	store   *store.Store
	dir     *blobs.Dir
	limits  config.Files
	clock   func() time.Time
	log     *slog.Logger
	metrics *fileMetrics

	journal    *journal.Journal
	federation *federation.Exchange

	lacking  chan struct{} // holds a value when there may be something to fetch
	loose    chan struct{} // likewise, to drop
	fetches  fetches
	swept    time.Time      // when the step that drops files ran; its own
	scrub    sync.Mutex     // held by a scrub
	scrubbed threads.Hash   // where it goes on
	under    sync.WaitGroup // fetches under way
}

func (s *Server) newFiles() (*files, error) {
	dir, err := blobs.Open(FilesDir(s.config.DataDir))
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	metrics, err := newFileMetrics(s.registry)
	return &files{
		server: s.config.Server(), store: s.store, dir: dir, limits: s.config.Files, clock: s.clock, log: s.log, metrics: metrics,
		lacking: make(chan struct{}, 1), loose: make(chan struct{}, 1),
		fetches: fetches{busy: map[fileKey]bool{}},
	}, err
}

// committed looks at what was committed for files that are named or not any more.
func (f *files) committed(c journal.Commit) {
	for _, e := range c.Entries {
		if e.Effects.Message != nil && len(e.Effects.Message.Attachments) > 0 {
			signal(f.lacking)
		}
		if h := &e.Event.Header; h.Erases != "" || h.Type == threads.TypePersonErased || h.Log == threads.LogControl {
			signal(f.loose)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it was told already
	}
}

// Upload takes in a file of a person.
func (f *files) Upload(ctx context.Context, person string, file threads.Attachment, body io.Reader) (threads.Attachment, error) {
	in, err := f.dir.Receive(body, int64(f.limits.MaxBytes))
	if errors.Is(err, blobs.ErrTooLarge) {
		return file, threads.Refuse(threads.TooLarge, "too_large", "", "the file is larger than this server takes; GET /api/v1/server tells the limit")
	}
	if err != nil {
		return file, fullDisk(err)
	}
	file.Digest, file.Size, file.Type = in.Digest, in.Size, borneOut(file.Type, in.Head)
	quotas := store.Quotas{Person: int64(f.limits.PersonQuota), Total: int64(f.limits.Quota)}
	err = f.store.KeepUpload(ctx, store.Upload{Person: person, File: file, At: f.clock()}, quotas, in.Keep)
	if dropped := in.Drop(); err == nil {
		err = dropped
	}
	if err == nil {
		f.metrics.bytes.WithLabelValues("uploaded").Add(float64(in.Size))
	}
	return file, err
}

func fullDisk(err error) error {
	return &threads.Error{
		Kind: threads.Unavailable, Code: "not_stored", Text: "the file could not be stored; try again in a moment", Cause: err,
	}
}

// Attachable is a file that the person uploaded, or may read.
func (f *files) Attachable(ctx context.Context, person string, digest threads.Hash) (threads.Attachment, error) {
	found, err := f.store.Uploaded(ctx, person, digest)
	var refused *threads.Error
	if !errors.As(err, &refused) || refused.Kind != threads.NotFound {
		return found, err
	}
	read, _, err := f.store.Reading().File(ctx, person, digest)
	if err == nil && read.State != threads.FileHeld {
		err = threads.Refuse(threads.NotFound, "not_found", "", "there is no such file")
	}
	return read.Attachment, err
}

// Open opens a file that the person may read, or has it fetched.
func (f *files) Open(ctx context.Context, person string, digest threads.Hash) (threads.Attachment, io.ReadSeekCloser, error) {
	found, channel, err := f.store.Reading().File(ctx, person, digest)
	if err != nil {
		return found.Attachment, nil, err
	}
	if found.State == threads.FileHeld {
		content, err := f.dir.Open(digest)
		if err == nil {
			return found.Attachment, counted{content, f.metrics.bytes.WithLabelValues("read")}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return found.Attachment, nil, fmt.Errorf("open file %s: %w", digest, err)
		}
		if err := f.miss(ctx, digest); err != nil {
			return found.Attachment, nil, err
		}
	}
	if found.State == threads.FileMissing {
		return found.Attachment, nil, threads.Refuse(threads.Unavailable, "file_missing", "",
			"no server of the channel gives this file; it is asked for again now and then")
	}
	if err := f.store.Want(ctx, channel, digest); err != nil {
		return found.Attachment, nil, err
	}
	signal(f.lacking)
	return found.Attachment, nil, threads.Refuse(threads.Unavailable, "file_fetching", "", "the file is being fetched; come again in a moment")
}

// counted counts what is read of a file.
type counted struct {
	io.ReadSeekCloser
	bytes prometheus.Counter
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeekCloser.Read(p)
	c.bytes.Add(float64(n))
	return n, err
}

// partnerFiles are the files as partners get them.
type partnerFiles struct{ *files }

// Citations are the places in a channel by which its members may have a file.
func (p partnerFiles) Citations(ctx context.Context, channel, digest threads.Hash) ([]threads.Ref, error) {
	return p.store.Citations(ctx, channel, digest)
}

// OpenFile opens the bytes of a file; who may have them was looked at before.
func (p partnerFiles) OpenFile(digest threads.Hash) (io.ReadSeekCloser, error) {
	return p.dir.Open(digest)
}

// borneOut is the declared media type where the first bytes do not speak against
// it, else application/octet-stream.
func borneOut(declared string, head []byte) string {
	seen, _, _ := mime.ParseMediaType(http.DetectContentType(head))
	kind, _, _ := strings.Cut(declared, "/")
	seenKind, _, _ := strings.Cut(seen, "/")
	silent := seen == "application/octet-stream" || seen == "text/plain"
	switch {
	case seen == declared,
		silent && !slices.Contains(recognised, declared),
		seen == "text/xml" && strings.HasSuffix(declared, "xml"),
		(seen == "application/zip" || seen == "application/x-gzip") && kind == "application" && !slices.Contains(recognised, declared),
		(kind == "audio" || kind == "video") && (seenKind == "audio" || seenKind == "video" || seen == "application/ogg"):
		return declared
	}
	return "application/octet-stream"
}

// recognised are types whose bytes are known by how they begin.
var recognised = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "application/pdf", "application/zip", "application/gzip",
	"video/webm", "text/html",
}

// fileMetrics tell how it goes with files.
type fileMetrics struct {
	bytes   *prometheus.CounterVec
	fetches *prometheus.CounterVec
	stored  prometheus.Gauge
	dropped prometheus.Counter
	spoilt  prometheus.Counter
}

func newFileMetrics(r prometheus.Registerer) (*fileMetrics, error) {
	m := &fileMetrics{
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_file_bytes_total", Help: "Bytes of files that people uploaded and read.",
		}, []string{"direction"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_file_fetches_total", Help: "Rounds in which a file was asked of the members of a channel, by result.",
		}, []string{"result"}),
		stored: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_files_stored_bytes", Help: "Bytes of all files that are held.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_files_dropped_total", Help: "Files deleted because nothing refers to them.",
		}),
		spoilt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_files_spoilt_total", Help: "Files that were found lost or changed on disk, to be fetched again.",
		}),
	}
	for _, direction := range []string{"uploaded", "read"} {
		m.bytes.WithLabelValues(direction)
	}
	for _, result := range fetchResults {
		m.fetches.WithLabelValues(result)
	}
	for _, c := range []prometheus.Collector{m.bytes, m.fetches, m.stored, m.dropped, m.spoilt} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of files: %w", err)
		}
	}
	return m, nil
}
