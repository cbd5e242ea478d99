package store

import (
	"context"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meridian/threads"
)

// find is what a search finds, page by page: bodies of messages and titles of threads.
func (w readable) find(person, q string) []string {
	w.t.Helper()
	found := []string{}
	for page := (threads.Page{Limit: 2}); ; {
		hits, next, err := w.r.Search(context.Background(), person, q, page)
		if err != nil || len(hits) > 2 {
			w.t.Fatalf("search %q: %d hits, %v", q, len(hits), err)
		}
		for _, hit := range hits {
			if hit.Message != nil {
				found = append(found, hit.Message.Body)
			} else {
				found = append(found, "# "+hit.Thread.Title)
			}
		}
		if page.After = next; next == "" {
			return found
		}
	}
}

// library fills a channel with something to be found.
func library(w readable) {
	w.t.Helper()
	for name, id := range map[string]string{"ana": w.ana, "ben": w.ben} {
		if _, err := w.s.CreatePerson(context.Background(), threads.NewPerson{ID: id, Name: name, Shown: strings.ToUpper(name) + " Novák", Created: testNow}); err != nil {
			w.t.Fatalf("%v", err)
		}
	}
	if _, err := w.s.LearnProfile(context.Background(), threads.PersonRecord{ID: w.jan, Address: "jan@havel.example", Name: "Jan", Version: 1}); err != nil {
		w.t.Fatalf("%v", err)
	}
	crane, _ := w.newThread(w.kobo, w.ana, "Crane repair", "The crane on quay three is broken")
	w.posted(w.havel, w.jan, crane.ID, "Žlutý jeřáb na nábřeží")
	w.posted(w.havel, w.eva, crane.ID, "会議は明日です")
	state := "done"
	w.fed(w.do(w.kobo, w.ben, threads.ChangeThread{Channel: w.c.ID, Content: threads.ThreadContent{
		Object: crane.ID, State: &state, Labels: map[string]bool{"port": true, "gone": true},
	}})...)
	w.fed(w.do(w.kobo, w.ben, threads.ChangeThread{Channel: w.c.ID, Content: threads.ThreadContent{
		Object: crane.ID, Labels: map[string]bool{"gone": false},
	}})...)
	gone := w.havel.person("gone")
	w.join(gone)
	if _, err := w.s.LearnProfile(context.Background(), threads.PersonRecord{ID: gone, Address: "gone@havel.example", Name: "Gone", Version: 1}); err != nil {
		w.t.Fatalf("%v", err)
	}
	w.fed(w.all[len(w.all)-1])
	w.posted(w.havel, gone, crane.ID, "The shed")
	w.fed(w.do(w.kobo, w.ana, threads.RemoveMember{Channel: w.c.ID, Person: gone})...)
	mail, _ := w.newThread(w.kobo, w.ben, "Old mail", "Broken mail, see below")
	w.fed(w.do(w.kobo, w.ben, threads.Post{Channel: w.c.ID, Message: threads.Message{
		Thread: mail.ID, Body: "Imported: the quay was broken then",
		Published: threads.TimeOf(time.Date(2013, 5, 1, 12, 0, 0, 0, time.UTC)), AttributedTo: "Karel Čapek <karel@rur.example>",
	}})...)
}

func TestSearchFindsWordsPhrasesAndWhatOperatorsName(t *testing.T) {
	const crane, jerab, meeting = "The crane on quay three is broken", "Žlutý jeřáb na nábřeží", "会議は明日です"
	const mail, imported, shed = "Broken mail, see below", "Imported: the quay was broken then", "The shed"
	onEachWorld(t, func(t *testing.T, w readable) {
		library(w)
		for q, want := range map[string][]string{
			"broken":                          {mail, crane, imported},
			"BROKEN quay":                     {crane, imported},
			`"quay three"`:                    {crane},
			`"three quay"`:                    {},
			"zluty JERAB":                     {jerab},
			"会議":                              {meeting},
			"明会":                              {},
			"crane":                           {crane, "# Crane repair"},
			"from:ana crane":                  {crane, "# Crane repair"},
			"from:ana@kobo.example quay":      {crane},
			"from:ben broken":                 {mail},
			"from:ANA three":                  {crane},
			"from:gone shed":                  {shed},
			"from:novak broken":               {mail, crane},
			"from:karel":                      {imported},
			"from:karel@rur.example":          {imported},
			`from:"karel capek" broken`:       {imported},
			"from:nobody":                     {},
			"from:^ broken":                   {},
			"org:havel.example":               {shed, meeting, jerab},
			"org:havel na":                    {jerab},
			"org:hav":                         {},
			"org:rur.example":                 {imported},
			"in:harbour broken":               {mail, crane, imported},
			"in:" + w.c.ID + " three":         {crane},
			"in:elsewhere broken":             {},
			"label:port":                      {"# Crane repair"},
			"label:port quay":                 {crane},
			"label:gone":                      {},
			"is:done":                         {"# Crane repair"},
			"is:open broken":                  {mail, imported},
			"is:decision":                     {},
			"has:file broken":                 {},
			"before:2014-01-01":               {imported},
			"broken after:2014-01-01":         {mail, crane},
			"before:2013-05-01T12:00:00Z":     {},
			"after:2013-05-01T12:00:00Z mail": {"# Old mail", mail},
			"":                                {},
			"!!! \" : -":                      {},
			"nonsense:broken":                 {},
		} {
			got := w.find(w.eva, q)
			if q == "after:2013-05-01T12:00:00Z mail" { // the two have no order that people would notice
				sort.Strings(got)
			}
			if !cmp.Equal(got, want) {
				t.Errorf("%q: %s", q, cmp.Diff(want, got))
			}
		}
	})
}

func TestSearchFindsTheNewestTextAndNoErasedOne(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		thread, first := w.newThread(w.kobo, w.ana, "Crane", "aardvark")
		w.fed(w.do(w.kobo, w.ana, threads.Edit{Channel: w.c.ID, Target: first.ID, Body: "buffalo"})...)
		title := "Quay"
		w.fed(w.do(w.kobo, w.ana, threads.ChangeThread{Channel: w.c.ID, Content: threads.ThreadContent{Object: thread.ID, Title: &title}})...)
		for q, want := range map[string][]string{"aardvark": {}, "buffalo": {"buffalo"}, "crane": {}, "quay": {"# Quay"}} {
			if got := w.find(w.jan, q); !cmp.Equal(got, want) {
				t.Errorf("%q: %s", q, cmp.Diff(want, got))
			}
		}
		w.fed(w.do(w.kobo, w.ana, threads.Erase{Channel: w.c.ID, Target: first.ID})...)
		if got := w.find(w.jan, "buffalo"); len(got) != 0 {
			t.Errorf("an erased text is found: %q", got)
		}
	})
}

func TestNoQueryIsWrongAndBothStoresFindTheSame(t *testing.T) {
	var stores []readable
	onEachWorldKept(t, func(w readable) { stores = append(stores, w) }, func() {
		word := rapid.SampledFrom([]string{
			"broken", "quay", "crane", "Žlutý", "会議", `"`, `"quay three"`, `""`, "from:ana", "from:", "is:open", "label:port",
			"in:harbour", "org:kobo", "before:2020-01-01", "after:x", "has:file", "NEAR(", "AND", "OR", "NOT", "*", "'", "\\", "--", ";",
			"|", "&", "<->", "!", ":*", "%", "\x00", "\xff", "§", "§karel", "^", "{words}:", "words:broken", "NULL", "$1", "?",
		})
		rapid.Check(t, func(t *rapid.T) {
			q := strings.Join(rapid.SliceOfN(word, 0, 5).Draw(t, "words"), rapid.SampledFrom([]string{" ", ""}).Draw(t, "between"))
			if rapid.Bool().Draw(t, "noise") {
				q += " " + rapid.StringN(0, 20, 200).Draw(t, "text")
			}
			var all [][]string
			for _, w := range stores {
				all = append(all, w.find(w.eva, q))
			}
			if len(all) == 2 && !cmp.Equal(all[0], all[1]) {
				t.Fatalf("%q: %s", q, cmp.Diff(all[0], all[1]))
			}
		})
	})
}

// onEachWorldKept opens a store of each kind with the same events in it, hands
// each to f and then, while all are open, runs g.
func onEachWorldKept(t *testing.T, f func(readable), g func()) {
	t.Helper()
	var source readable
	for _, s := range openEach(t) {
		if source.world == nil {
			source = readable{newWorld(t), s, s.Reading()}
			feed(t, s, source.c.ID, source.all...)
			library(source)
			f(source)
			continue
		}
		copied := readable{source.world, s, s.Reading()}
		feed(t, s, source.c.ID, source.all...)
		for _, id := range []string{source.ana, source.ben} {
			p, err := source.s.Person(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(p.Address, "@")
			if _, err := s.CreatePerson(context.Background(), threads.NewPerson{ID: id, Name: name, Shown: p.Name, Created: testNow}); err != nil {
				t.Fatal(err)
			}
		}
		f(copied)
	}
	g()
}

func TestAQueryBeyondItsBoundsIsRefused(t *testing.T) {
	for _, q := range []string{strings.Repeat("x", maxQuery+1), strings.Repeat("x ", maxTerms+1)} {
		_, err := parseQuery(q)
		wantRefusal(t, err, threads.TooLarge, "too_large")
	}
}
