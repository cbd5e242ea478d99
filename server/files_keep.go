package server

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"meridian/internal/blobs"
	"meridian/threads"
)

// Times of looking after files.
const (
	keepUploads  = 24 * time.Hour // that no message names
	keepPartials = 24 * time.Hour // without a byte
	dropEvery    = 10 * time.Minute
	dropPause    = 2 * time.Second // after which a further signal is heeded
	dropAtOnce   = 100
	scrubEvery   = time.Minute
	scrubBytes   = 64 << 20 // read in one step
)

// dropStep drops what nothing refers to: uploads that were never attached, files
// of messages that were erased, transfers that nobody goes on with.
func (f *files) dropStep(ctx context.Context, now time.Time) (time.Time, error) {
	if soon := f.swept.Add(dropPause); now.Before(soon) && !now.Before(f.swept) {
		return soon, nil
	}
	f.swept = now
	if err := f.store.WantUpTo(ctx, int64(f.limits.FetchBelow)); err != nil { // the setting may have been raised
		return now, err
	}
	if err := f.store.ForgetUploads(ctx, now.Add(-keepUploads)); err != nil {
		return now, err
	}
	if _, err := f.dir.Sweep(now.Add(-keepPartials)); err != nil {
		return now, err
	}
	for full := true; full; {
		loose, err := f.store.Unreferenced(ctx, dropAtOnce)
		if err != nil {
			return now, err
		}
		if full, err = f.drop(ctx, loose); err != nil {
			return now, err
		}
	}
	stored, err := f.store.FileBytes(ctx)
	f.metrics.stored.Set(float64(stored))
	return now.Add(dropEvery), err
}

// drop deletes files, and reports whether there may be more of them.
func (f *files) drop(ctx context.Context, loose []threads.Hash) (more bool, err error) {
	for _, digest := range loose {
		dropped, err := f.store.DropFile(ctx, digest, func() error { return f.dir.Remove(digest) })
		if err != nil {
			return false, err
		}
		if dropped {
			f.metrics.dropped.Inc()
		}
	}
	return len(loose) == dropAtOnce, nil
}

// scrubStep reads some files again, all of them in turn. One that is gone, or
// whose bits have changed, is fetched again from the members of its channels; one
// that the store does not know, which a crash left behind, is deleted.
func (f *files) scrubStep(ctx context.Context, now time.Time) (time.Time, error) {
	f.scrub.Lock()
	defer f.scrub.Unlock()
	for read := int64(0); read < scrubBytes && ctx.Err() == nil; {
		next, err := f.store.FilesAfter(ctx, f.scrubbed, 1)
		if err != nil {
			return now, err
		}
		if len(next) == 0 {
			f.scrubbed = ""
			return now.Add(scrubEvery), f.dir.Each(now.Add(-keepUploads), func(digest string) error { return f.known(ctx, digest) })
		}
		size, err := f.dir.Check(next[0])
		if errors.Is(err, blobs.ErrWrong) || errors.Is(err, fs.ErrNotExist) {
			err = f.miss(ctx, next[0])
		}
		if err != nil {
			return now, err
		}
		f.scrubbed = next[0]
		read += size
	}
	return now.Add(scrubEvery), nil
}

// known deletes a file that the store does not know.
func (f *files) known(ctx context.Context, digest string) error {
	known, err := f.store.HasFile(ctx, digest)
	if err != nil || known {
		return err
	}
	f.log.Info("delete a file that nothing knows", "digest", digest)
	return f.dir.Remove(digest)
}

// miss has a file that is lost or spoilt fetched again.
func (f *files) miss(ctx context.Context, digest threads.Hash) error {
	f.log.Warn("a file is lost or spoilt on disk; it is fetched again", "digest", digest)
	f.metrics.spoilt.Inc()
	if err := f.store.Miss(ctx, digest); err != nil {
		return err
	}
	signal(f.lacking)
	return f.dir.Remove(digest)
}
