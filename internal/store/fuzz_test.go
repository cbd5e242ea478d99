package store

import (
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/cost"
	"meridian/threads"
)

// T75: what people search for. Whatever it is, what either database gets holds words alone: nothing in it means
// anything to the language of its full-text search.
func FuzzParseQuery(f *testing.F) {
	for _, q := range []string{
		`pump "gasket comes" from:ana@kobo.example in:"Harbour works" is:open before:2026-01-01`, `' OR 1=1 --`, `"unended`, `a NEAR/3 b*`,
		`:* & | ! <-> ( )`, `label:"x y" has:file org:kobo after:2026-11-23T09:00:00Z`, "\x00\xff\u2028ﬁ ß İ", `col:x {a b}:c ^d`, "日本語 テキスト ภาษาไทย",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		var asked query
		var err error
		cost.Hold(t, func() { asked, err = parseQuery(q) })
		if err != nil {
			if len(q) <= maxQuery && len(strings.Fields(q)) < maxTerms/2 && !strings.Contains(q, `"`) {
				t.Errorf("%q is refused: %v", q, err)
			}
			return
		}
		for _, p := range asked.phrases {
			odd := func(r rune) bool { return r != ' ' && !isWord(r) && !dropped(r) }
			if p == "" || strings.ContainsFunc(p, odd) || strings.ContainsFunc(p, unicode.IsUpper) && searchText(p) != p {
				t.Errorf("%q has the database look for %q", q, p)
			}
		}
		for _, postgres := range []bool{true, false} {
			if words := matching(asked.phrases, postgres); strings.ContainsAny(words, "\x00\\;*:") || strings.Count(words, `"`)%2 != 0 || strings.Count(words, `'`)%2 != 0 {
				t.Errorf("%q becomes %q", q, words)
			}
		}
	})
}

// T75: cursors of lists. One that is taken is the one that a list gives out for its key.
func FuzzCursors(f *testing.F) {
	f.Add(cursorAfter("a"), 1)
	f.Add(cursorAfter("7", "-3"), 2)
	f.Add(cursorAfter("9223372036854775808", "' OR 1=1"), 2)
	f.Add("AA==", 1)
	f.Add("\x00", 3)
	f.Fuzz(func(t *testing.T, cursor string, parts int) {
		page := threads.Page{After: cursor}
		cost.Hold(t, func() {
			key, err := keyOf(page, parts)
			if err == nil && cursor != "" && cursorAfter(key...) != cursor {
				t.Errorf("%q is taken for the key %q, whose cursor is %q", cursor, key, cursorAfter(key...))
			}
			numbers, err := numbersOf(page, parts)
			if err != nil || cursor == "" {
				return
			}
			again, err := numbersOf(threads.Page{After: numbersCursor(numbers)}, parts)
			if diff := cmp.Diff(numbers, again); diff != "" || err != nil {
				t.Errorf("%q: %v, %s", cursor, err, diff)
			}
		})
	})
}

func numbersCursor(numbers []int64) string {
	key := make([]string, len(numbers))
	for i, n := range numbers {
		key[i] = strconv.FormatInt(n, 10)
	}
	return cursorAfter(key...)
}
