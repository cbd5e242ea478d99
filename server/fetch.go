package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"meridian/federation"
	"meridian/internal/blobs"
	"meridian/internal/store"
	"meridian/threads"
)

// Bounds of fetching.
const (
	maxFetches    = 8                // at a time
	fetchesEach   = 2                // of files that one server's people brought, large and small ones apart
	maxAsked      = 8                // members that are asked in one round
	leastProgress = 64 << 10         // bytes that an answer brings, or it counts as none
	maxCuts       = 200              // answers of one member that broke off, in one round
	lookForFiles  = 10 * time.Second // at what came without a signal
	firstRetry    = 10 * time.Second
	lastRetry     = time.Hour
	wantedRetry   = time.Minute // at the latest, of a file that somebody asked for
)

// Results of a round, as metrics tell them.
const (
	fetchHeld     = "held"
	fetchNobody   = "unavailable" // no member gave it
	fetchWrong    = "wrong"       // what was given was something else
	fetchTooLarge = "too_large"
	fetchQuota    = "quota"
	fetchFailed   = "failed" // on this side
)

var fetchResults = []string{fetchHeld, fetchNobody, fetchWrong, fetchTooLarge, fetchQuota, fetchFailed}

type fileKey struct{ channel, digest threads.Hash }

// fetches are the files that are being fetched.
type fetches struct {
	mu      sync.Mutex
	busy    map[fileKey]bool
	keeping sync.Mutex // so that two do not both take the room that is left for one
}

// fetchStep sets off the fetching of what is lacking, within the bounds, and does
// not wait for it.
func (f *files) fetchStep(ctx context.Context, now time.Time) (time.Time, error) {
	found, err := f.store.LackingFiles(ctx, now, fetchesEach, int64(f.limits.FetchBelow))
	if err != nil {
		return now, err
	}
	for _, l := range found {
		if l.Size > int64(f.limits.FetchBelow) && !l.Wanted {
			if err := f.store.PutOff(ctx, l, time.Time{}); err != nil {
				return now, err
			}
			continue
		}
		f.begin(ctx, l)
	}
	next, err := f.store.NextLacking(ctx, now)
	if soon := now.Add(lookForFiles); next.IsZero() || next.After(soon) {
		next = soon
	}
	return next, err
}

// begin sets off one fetch, unless it is under way or too many are.
func (f *files) begin(ctx context.Context, l store.Lacking) {
	key := fileKey{l.Channel, l.Digest}
	f.fetches.mu.Lock()
	defer f.fetches.mu.Unlock()
	if f.fetches.busy[key] || len(f.fetches.busy) >= maxFetches {
		return
	}
	f.fetches.busy[key] = true
	f.under.Go(func() {
		f.fetchOne(ctx, l)
		f.fetches.mu.Lock()
		delete(f.fetches.busy, key)
		f.fetches.mu.Unlock()
		signal(f.lacking)
	})
}

// fetchOne is one round for one file, and what comes of it. What came since it was
// listed is not fetched again.
func (f *files) fetchOne(ctx context.Context, l store.Lacking) {
	l, lacking, err := f.store.StillLacking(ctx, l)
	if err == nil && !lacking {
		return
	}
	if err == nil {
		err = f.bring(ctx, l)
	}
	if ctx.Err() != nil {
		return
	}
	result := resultOf(err)
	f.metrics.fetches.WithLabelValues(result).Inc()
	if err == nil {
		return
	}
	f.log.Info("a file was not fetched", "digest", l.Digest, "channel", l.Channel, "result", result, "error", err)
	if err := f.store.PutOff(ctx, l, f.retryAt(l, result)); err != nil && ctx.Err() == nil {
		f.log.Error("put off fetching a file", "error", err)
	}
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return fetchHeld
	case errors.Is(err, blobs.ErrWrong):
		return fetchWrong
	case errors.Is(err, federation.ErrFileTooLarge):
		return fetchTooLarge
	case errors.Is(err, errQuota):
		return fetchQuota
	case errors.Is(err, errNobody):
		return fetchNobody
	}
	return fetchFailed
}

// retryAt is when a file is asked for again: sooner where somebody wants it. One
// that is larger than was said waits until somebody does.
func (f *files) retryAt(l store.Lacking, result string) time.Time {
	wait := min(firstRetry<<min(l.Attempts, 10), lastRetry)
	switch {
	case result == fetchTooLarge && !l.Wanted:
		return time.Time{}
	case result == fetchTooLarge || result == fetchQuota:
		wait = lastRetry
	case l.Wanted:
		wait = min(wait, wantedRetry)
	}
	return f.clock().Add(wait)
}

var (
	errNobody = errors.New("no member of the channel gave it")
	errQuota  = errors.New("it does not fit into files.quota or files.partner_quota")
)

// bring has a file given by a member of its channel, checks it and makes it
// visible.
func (f *files) bring(ctx context.Context, l store.Lacking) (err error) {
	members, err := f.members(ctx, l)
	if err != nil {
		return err
	}
	pending, err := f.dir.Pending()
	if err != nil {
		return err
	}
	part, err := f.dir.Resume(l.Channel + "/" + l.Digest)
	if err != nil {
		return err
	}
	b := &bringing{files: f, file: l, part: part, limit: int64(f.limits.MaxBytes)}
	b.room = f.roomFor(l, pending-part.Size())
	if !l.Wanted {
		b.limit = min(b.limit, int64(f.limits.FetchBelow))
	}
	defer func() {
		// Half-fetched files of many may not fill the disk either.
		if pending > int64(f.limits.Quota)/10 || errors.Is(err, errQuota) || errors.Is(err, federation.ErrFileTooLarge) {
			err = errors.Join(err, part.Drop())
			return
		}
		err = errors.Join(err, part.Close())
	}()
	return b.round(ctx, members)
}

// roomFor is what quotas leave for a file, in bytes, beside what is pending of others.
func (f *files) roomFor(l store.Lacking, pending int64) int64 {
	return max(0, min(int64(f.limits.Quota)-l.Total-pending, int64(f.limits.PartnerQuota)-l.Stored))
}

// keep makes the file visible, if it fits beside what came since it was begun.
func (b *bringing) keep(ctx context.Context) error {
	b.fetches.keeping.Lock()
	defer b.fetches.keeping.Unlock()
	l, lacking, err := b.store.StillLacking(ctx, b.file)
	if err != nil {
		return err
	}
	size := b.part.Size()
	if lacking && size > b.roomFor(l, 0) {
		return errQuota
	}
	if err := b.part.Keep(b.file.Digest); err != nil {
		return err
	}
	return b.journal.Arrive(ctx, threads.Arrival{Channel: b.file.Channel, Digest: b.file.Digest, Size: size})
}

// members are whom to ask: who brought the file first, those that fail last, and
// in every round others of very many.
func (f *files) members(ctx context.Context, l store.Lacking) ([]string, error) {
	ch, err := f.journal.Channel(ctx, l.Channel)
	if err != nil || ch == nil || !ch.IsMember(f.server) {
		return nil, errors.Join(err, errNobody)
	}
	all := slices.DeleteFunc(ch.Servers(), func(name string) bool { return name == f.server })
	if n := len(all); n > 0 {
		turn := int(l.Attempts) % n
		all = slices.Concat(all[turn:], all[:turn])
	}
	rank := func(name string) int {
		switch {
		case f.federation.Failing(name):
			return 2
		case name == l.Origin:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all[:min(len(all), maxAsked)], nil
}

// bringing is one round for one file.
type bringing struct {
	*files
	file  store.Lacking
	part  *blobs.Partial
	limit int64 // the largest that is taken
	room  int64 // that quotas leave
}

// round asks one member after the other, each going on where the last one broke
// off. Where that comes to wrong bytes, nobody knows whose they were: then each
// has to give all of it alone.
func (b *bringing) round(ctx context.Context, members []string) error {
	result := errNobody
	for _, alone := range []bool{false, true} {
		if alone && !errors.Is(result, blobs.ErrWrong) {
			break
		}
		for _, member := range members {
			if alone {
				if err := b.part.Reset(); err != nil {
					return err
				}
			}
			err := b.from(ctx, member)
			switch {
			case err == nil:
				return nil
			case errors.Is(err, blobs.ErrWrong):
				b.log.Warn("the bytes of a file are not what its digest says", "partner", member, "digest", b.file.Digest, "alone", alone)
				result = err
			case errors.Is(err, federation.ErrFileTooLarge), errors.Is(err, errQuota):
				if result == errNobody {
					result = err
				}
			case !errors.Is(err, errNobody) || ctx.Err() != nil:
				return err
			}
		}
	}
	return result
}

// from has one member give what is lacking of the file, as long as each answer
// brings something, and keeps it when it is whole and right.
func (b *bringing) from(ctx context.Context, member string) error {
	for cuts := 0; ; {
		before := b.part.Size()
		size, err := b.federation.FetchFile(ctx, federation.FileAsk{
			Server: member, Channel: b.file.Channel, Digest: b.file.Digest, From: before, Limit: b.limit,
		}, room{b.part, b.room})
		came := b.part.Size() - before
		switch {
		case errors.Is(err, federation.ErrFileTooLarge), errors.Is(err, errQuota):
			return err
		case size > 0 && b.part.Size() == size, err == nil && size == 0:
			return b.keep(ctx)
		case size > 0 && b.part.Size() > size:
			return errors.Join(blobs.ErrWrong, b.part.Reset())
		case came < leastProgress || err != nil && cuts == maxCuts:
			return fmt.Errorf("%w: %s: %w", errNobody, member, cmp.Or(err, errNothing))
		case err != nil:
			cuts++
		}
	}
}

var errNothing = errors.New("its answers bring nothing")

// room writes no more than quotas leave.
type room struct {
	*blobs.Partial
	size int64 // of the whole, at most
}

// Write refuses what does not fit.
func (r room) Write(p []byte) (int, error) {
	if r.Size()+int64(len(p)) > r.size {
		return 0, errQuota
	}
	return r.Partial.Write(p)
}
