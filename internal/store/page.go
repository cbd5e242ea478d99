package store

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"meridian/threads"
)

// A cursor is the key of the last item of a page: where the next one starts.

// cursorAfter makes the cursor of a key.
func cursorAfter(key ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(key, "\n")))
}

// keyOf reads back a key of n parts; nil for the first page.
func keyOf(page threads.Page, n int) ([]string, error) {
	if page.After == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(page.After)
	key := strings.Split(string(raw), "\n")
	if err != nil || len(key) != n || !utf8.Valid(raw) || strings.ContainsRune(string(raw), 0) {
		return nil, badCursor()
	}
	return key, nil
}

// numbersOf reads back a key of n integers; nil for the first page.
func numbersOf(page threads.Page, n int) ([]int64, error) {
	key, err := keyOf(page, n)
	if err != nil || key == nil {
		return nil, err
	}
	numbers := make([]int64, n)
	for i, part := range key {
		if numbers[i], err = strconv.ParseInt(part, 10, 64); err != nil {
			return nil, badCursor()
		}
	}
	return numbers, nil
}

func badCursor() error {
	return threads.Refuse(threads.Invalid, "bad_cursor", "cursor", "is not a cursor of this list; leave it out to begin at its start")
}

// cut is the page of rows that were asked for with one more than its size, and
// the cursor of the page after it, "" on the last.
func cut[T any](rows []T, page threads.Page, key func(*T) string) ([]T, string) {
	if len(rows) <= page.Size() {
		return rows, ""
	}
	rows = rows[:page.Size()]
	return rows, key(&rows[len(rows)-1])
}

// Instants are stored as Unix ms, days as Unix days, 0 for never.

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

const secondsADay = 24 * 60 * 60

func day(t time.Time) int64 { return t.Unix() / secondsADay }

func dayStart(day int64) time.Time {
	if day == 0 {
		return time.Time{}
	}
	return time.Unix(day*secondsADay, 0).UTC()
}

func notFound(what string) error {
	return threads.Refuse(threads.NotFound, "not_found", "", "there is no such "+what)
}

// rawHash is the 32 bytes of a hash, the form in which the database holds it.
func rawHash(h threads.Hash) ([]byte, error) {
	if !threads.IsHash(h) {
		return nil, threads.Refuse(threads.Invalid, "invalid", "", "must be an id of 43 characters")
	}
	return base64.RawURLEncoding.DecodeString(h)
}

// hashText is the hash of which raw are the bytes, "" for none.
func hashText(raw []byte) threads.Hash { return base64.RawURLEncoding.EncodeToString(raw) }
