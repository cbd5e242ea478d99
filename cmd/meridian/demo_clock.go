package main

import (
	"sync"
	"time"
)

// storyClock is the clock of both demo servers. While the story is told it
// stands where the story is, so that its messages lie hours apart as they
// would; then it goes with the machine's.
type storyClock struct {
	begin time.Time // 00:00 UTC of the story's first day

	mu     sync.Mutex
	behind time.Duration // the machine's clock
}

// newStoryClock sets the story on the latest working days that are over, or
// nearly, at present.
func newStoryClock(present time.Time) *storyClock {
	day := present.UTC().Truncate(24 * time.Hour)
	for !workingDays(day) || day.Add(storyEnd).After(present) {
		day = day.Add(-24 * time.Hour)
	}
	c := &storyClock{begin: day}
	c.at(0)
	return c
}

// storyEnd is after the story's last line.
const storyEnd = 24*time.Hour + 10*time.Hour

func workingDays(first time.Time) bool {
	for i := range storyDays {
		switch first.AddDate(0, 0, i).Weekday() {
		case time.Saturday, time.Sunday:
			return false
		}
	}
	return true
}

// at sets the clock to an instant of the story, and to none before what it shows.
func (c *storyClock) at(since time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind := time.Since(c.begin.Add(since))
	if c.behind == 0 || behind < c.behind {
		c.behind = behind
	}
}

// now lets the clock show the present.
func (c *storyClock) now() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behind = 0
}

// read is what the clock shows.
func (c *storyClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(-c.behind)
}
