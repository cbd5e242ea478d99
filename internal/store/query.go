package store

import (
	"strings"
	"time"

	"meridian/threads"
)

// Bounds of what a person may search for.
const (
	maxQuery = 1000 // bytes
	maxTerms = 32   // words, phrases and operators
)

// query is what a person searches for. All of it must hold.
type query struct {
	phrases       []string // of words as searchText writes them
	from, org, in []string
	labels        []string
	states        []string
	before, after time.Time
	file          bool // of messages that have one
	never         bool // asks for what there is none of
}

// parseQuery reads words, "phrases" and operators. Whatever it does not know is
// words, so that there is no such thing as a wrong query but one too long.
func parseQuery(q string) (query, error) {
	var out query
	if len(q) > maxQuery {
		return out, threads.Refuse(threads.TooLarge, "too_large", "/q", "is too long; at most 1000 bytes are possible")
	}
	terms := 0
	for q = strings.ReplaceAll(strings.ToValidUTF8(q, " "), "\x00", " "); ; terms++ {
		q = strings.TrimLeft(q, " \t\r\n")
		if q == "" {
			return out, nil
		}
		if terms == maxTerms {
			return out, threads.Refuse(threads.TooLarge, "too_large", "/q", "has too many words; at most 32 are possible")
		}
		var operator, value string
		operator, value, q = nextTerm(q)
		if operator == "" || !out.operator(operator, value) {
			out.words(operator + " " + value)
		}
	}
}

// nextTerm parts the next term from the rest: word, "phrase", op:word or op:"phrase".
func nextTerm(q string) (operator, value, rest string) {
	if colon := strings.IndexByte(q, ':'); colon > 0 && isOperator(q[:colon]) {
		operator, q = q[:colon], q[colon+1:]
	}
	if phrase, ok := strings.CutPrefix(q, `"`); ok {
		value, rest, _ = strings.Cut(phrase, `"`)
		return operator, value, rest
	}
	end := strings.IndexAny(q, " \t\r\n\"")
	if end < 0 {
		end = len(q)
	}
	return operator, q[:end], q[end:]
}

func isOperator(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return true
}

func (q *query) words(text string) {
	if text = searchText(text); text != "" {
		q.phrases = append(q.phrases, text)
	}
}

// operator takes up a filter and reports whether it is one.
func (q *query) operator(name, value string) bool {
	if value == "" {
		return false
	}
	switch name {
	case "from":
		q.from = append(q.from, strings.ToLower(value))
		q.never = q.never || searchText(value) == ""
	case "org":
		q.org = append(q.org, strings.ToLower(value))
		q.never = q.never || searchText(value) == ""
	case "in":
		q.in = append(q.in, value)
	case "label":
		q.labels = append(q.labels, value)
	case "is":
		if q.never = q.never || !threads.IsThreadState(value); !q.never {
			q.states = append(q.states, value)
		}
	case "has":
		q.file = q.file || value == "file"
		q.never = q.never || value != "file"
	case "before", "after":
		return q.date(name, value)
	default:
		return false
	}
	return true
}

// date takes up the start of a day in UTC, or an instant.
func (q *query) date(name, value string) bool {
	at, err := time.Parse(time.DateOnly, value)
	if err != nil {
		if at, err = time.Parse(time.RFC3339, strings.ToUpper(value)); err != nil {
			return false
		}
	}
	if name == "after" {
		if at.After(q.after) {
			q.after = at
		}
	} else if q.before.IsZero() || at.Before(q.before) {
		q.before = at
	}
	return true
}

// matching is a full-text query for texts that hold all the phrases, in the
// language of the store; "" for no phrases. Its words hold letters and digits
// alone, so nothing in them means anything to either language.
func matching(phrases []string, postgres bool) string {
	all := make([]string, len(phrases))
	for i, phrase := range phrases {
		if !postgres {
			all[i] = `"` + phrase + `"`
			continue
		}
		all[i] = "('" + strings.ReplaceAll(phrase, " ", "' <-> '") + "')"
	}
	if postgres {
		return strings.Join(all, " & ")
	}
	return strings.Join(all, " ")
}
