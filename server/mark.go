package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
)

// MarkFile is where a server notes, beside its database and never within a
// backup, the newest event that it committed. A database that lacks that event
// is older than what partners may hold.
func MarkFile(dataDir string) string { return filepath.Join(dataDir, "mark") }

// mark is the high-water mark (docs/protocol.md, "Restored from a backup"). It
// is written after each commit without waiting for the disk: it outlives the
// process at once, and a loss of power after syncMarkEvery. A mark that is older
// than the database proves less, never anything false.
type mark struct {
	file  *os.File
	log   *slog.Logger
	dirty atomic.Bool

	mu sync.Mutex
	at int64
}

const (
	markFormat    = "meridian mark 1\n%020d %43s\n"
	markSize      = 81
	syncMarkEvery = 2 * time.Second
)

// openMark reads the mark; found is false where there is none that can be read.
func openMark(dataDir string, log *slog.Logger) (m *mark, at journal.Mark, found bool, err error) {
	path := MarkFile(dataDir)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, at, false, fmt.Errorf("data_dir: read the mark of the database: %w", err)
	}
	if n, err := fmt.Sscanf(string(before), markFormat, &at.Pos, &at.ID); n == 2 && err == nil {
		found = at.Pos > 0 && threads.IsHash(at.ID) && len(before) == markSize
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, at, false, fmt.Errorf("data_dir: open the mark of the database: %w", err)
	}
	return &mark{file: file, log: log}, at, found, nil
}

// write sets the mark. That it fails is no reason to fail what was committed:
// the old mark proves less.
func (m *mark) write(at journal.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(at)
}

// reach sets the mark to what another node committed, unless it is there already.
func (m *mark) reach(at journal.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.Pos > m.at {
		m.set(at)
	}
}

func (m *mark) set(at journal.Mark) {
	m.at = at.Pos
	if _, err := m.file.WriteAt(fmt.Appendf(nil, markFormat, at.Pos, at.ID), 0); err != nil {
		m.log.Error("the mark of the database was not written", "error", err)
	}
	m.dirty.Store(true)
}

// clear leaves no mark: the database is empty.
func (m *mark) clear() error { return m.file.Truncate(0) }

// sync has the mark outlive a loss of power.
func (m *mark) sync() error {
	if !m.dirty.Swap(false) {
		return nil
	}
	if err := m.file.Sync(); err != nil {
		m.dirty.Store(true)
		return fmt.Errorf("sync the mark of the database: %w", err)
	}
	return nil
}

func (m *mark) close() error { return errors.Join(m.sync(), m.file.Close()) }

// step syncs the mark now and then.
func (m *mark) step(_ context.Context, now time.Time) (time.Time, error) {
	return now.Add(syncMarkEvery), m.sync()
}

// prove looks whether the mark proves the database current, and else puts every
// log of this server's own in doubt before anything is appended.
func (s *Server) prove(ctx context.Context) error {
	at, found, err := journal.Mark{}, false, error(nil)
	if s.mark, at, found, err = openMark(s.config.DataDir, s.log); err != nil {
		return err
	}
	newest, err := s.store.Newest(ctx)
	if err != nil {
		return err
	}
	current := newest.Pos == 0
	if found && !current {
		if current, err = s.store.Holds(ctx, at); err != nil {
			return err
		}
	}
	if !found && !current { // a node that is new to a database which others prove
		if current, err = s.store.Others(ctx); err != nil {
			return err
		}
	}
	if !current {
		s.log.Warn("the database may be older than what partners hold: what is missing is fetched from them, and what is written meanwhile goes to new logs",
			"position", newest.Pos, "marked", at.Pos, "mark_found", found)
		if err := s.journal.Doubt(ctx); err != nil {
			return fmt.Errorf("doubt the database: %w", err)
		}
		return nil // the old mark stays until something is committed: the same copy may be put back once more
	}
	if newest.Pos == 0 {
		return s.mark.clear()
	}
	s.mark.write(newest)
	return s.mark.sync()
}
