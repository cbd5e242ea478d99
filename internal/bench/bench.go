// Package bench measures Meridian from outside: it runs real servers as child
// processes over loopback, drives them as people's clients do, and puts each
// figure beside its floor, measured in the same minutes on the same machine. It
// never reaches into a server or its database, never asks more than one request
// at a time of a connection, and leaves nothing behind.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// rounds is how often a figure is measured; the median counts.
const rounds = 3

// Options say what to measure and with what.
type Options struct {
	// Program is the path of the meridian executable that is measured.
	Program string
	// Only names the figures to measure; none means all.
	Only []string
	// Database is the URL of a PostgreSQL server on which this user may create
	// databases. "" measures SQLite in files below the temporary directory.
	Database string
	// Duration is how long each round posts.
	Duration time.Duration
	// Progress is told what is being measured, a line at a time.
	Progress io.Writer
}

// Run measures the figures of o, each three times. When ctx ends it stops its
// servers, removes what it made and returns the context's error. Other errors
// name the figure that could not be measured.
func Run(ctx context.Context, o Options) (r Report, err error) {
	chosen, err := choose(o.Only)
	if err != nil {
		return Report{}, err
	}
	l, err := openLab(ctx, o)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r = Report{Machine: describe(l.dir, l.store), FloorSource: floorSource}
	for _, t := range trials {
		names := slices.DeleteFunc(t.figures(), func(name string) bool { return !slices.Contains(chosen, name) })
		if len(names) == 0 {
			continue
		}
		fmt.Fprintf(o.Progress, "%s: %s\n", t.name, t.about)
		readings, err := l.measure(ctx, t)
		if err != nil {
			return Report{}, fmt.Errorf("measure %s: %w", t.name, err)
		}
		for _, name := range names {
			r.Figures = append(r.Figures, figureOf(name, readings, o.Database != ""))
		}
	}
	return r, nil
}

// lab is where a run's servers and databases are.
type lab struct {
	Options
	dir   string // of this run alone
	store store
	made  int // things that were given a name of their own
}

func openLab(ctx context.Context, o Options) (*lab, error) {
	if o.Duration <= 0 {
		return nil, fmt.Errorf("duration %s is not above zero; give one like 10s", o.Duration)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the servers: %w", err)
	}
	store, err := openStore(ctx, o.Database, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &lab{Options: o, dir: dir, store: store}, nil
}

func (l *lab) close() error {
	return errors.Join(l.store.close(), os.RemoveAll(l.dir))
}

// name is new in this run and short, as paths of sockets are bounded.
func (l *lab) name(of string) string {
	l.made++
	return fmt.Sprintf("%s%d", of, l.made)
}

// measure sets the trial's stage up, plays it three times and takes it down.
func (l *lab) measure(ctx context.Context, t trial) (readings map[string][]reading, err error) {
	s := &stage{lab: l}
	defer func() { err = errors.Join(err, s.strike()) }()
	round, err := t.set(ctx, s)
	if err != nil {
		return nil, err
	}
	readings = map[string][]reading{}
	for i := range rounds {
		got, err := round(ctx)
		if err != nil {
			return nil, err
		}
		for name, r := range got {
			readings[name] = append(readings[name], r)
			fmt.Fprintf(l.Progress, "  %d/%d %s %.4g (floor %.4g)\n", i+1, rounds, name, r.value, r.floor)
		}
	}
	return readings, nil
}

// stage is what one trial has set up. What was set up last is struck first.
type stage struct {
	*lab
	undo []func() error
}

// later has f called when the trial is over, however it ended.
func (s *stage) later(f func() error) { s.undo = append(s.undo, f) }

func (s *stage) strike() error {
	var errs []error
	for _, f := range slices.Backward(s.undo) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
