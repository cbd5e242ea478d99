package mbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// at is a mail sent that many minutes after noon, with In-Reply-To and
// References as headers have them.
func at(minute int, id, subject, inReplyTo, references string) Mail {
	return Mail{
		MessageID:  id,
		InReplyTo:  strings.Fields(inReplyTo),
		References: strings.Fields(references),
		Date:       time.Date(2025, 3, 3, 12, minute, 0, 0, time.UTC),
		Subject:    subject,
		Digest:     id + subject,
	}
}

func TestMailsFindTheirParents(t *testing.T) {
	undated := at(0, "c", "Re: tide", "", "")
	undated.Date = time.Time{}
	for name, test := range map[string]struct {
		mails []Mail
		want  []Place
	}{
		"a reply answers what In-Reply-To names": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "Re: tide", "a", "a"), at(2, "c", "Re: tide", "a", "a b")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}, {-1, 0, 0, ""}},
		},
		"without In-Reply-To it answers the last of References": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "Re: tide", "", "a"), at(2, "c", "Re: tide", "", "a b")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}, {-1, 1, 0, ""}},
		},
		"with the parent missing it answers the nearest ancestor there is": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "c", "Re: tide", "gone", "a gone")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, "gone"}},
		},
		"the parent may stand later in the file": {
			[]Mail{at(2, "c", "Re: tide", "b", ""), at(1, "b", "Re: tide", "a", ""), at(0, "a", "tide", "", "")},
			[]Place{{-1, 1, 2, ""}, {-1, 2, 2, ""}, {-1, -1, 2, ""}},
		},
		"the parent may have a later date": {
			[]Mail{at(9, "a", "tide", "", ""), at(1, "b", "Re: tide", "a", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}},
		},
		"other words in In-Reply-To do not make the parent missing": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "Re: tide", "mika@kobo.example a", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}},
		},
		"a known parent holds although the subject changed": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "lunch (was: tide)", "a", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}},
		},
		"without a known ancestor it joins by subject": {
			[]Mail{at(0, "a", "[harbour] Tide  tables", "", ""), at(1, "b", "RE: [harbour] AW: tide tables", "gone", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, "gone"}},
		},
		"without any id a reply mark is enough to join": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "Re[2]: tide", "", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}},
		},
		"without a reply mark or an id equal subjects are two threads": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "tide", "", ""), at(2, "c", "Fwd: tide", "", "")},
			[]Place{{-1, -1, 0, ""}, {-1, -1, 1, ""}, {-1, -1, 2, ""}},
		},
		"it joins the latest that brought the subject up, not its replies": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "tide", "", ""), at(2, "c", "Re: tide", "b", ""), at(3, "d", "Re: tide", "gone", "")},
			[]Place{{-1, -1, 0, ""}, {-1, -1, 1, ""}, {-1, 1, 1, ""}, {-1, 1, 1, "gone"}},
		},
		"a subject brought up within a thread is joined there": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "lunch", "a", ""), at(2, "c", "Re: lunch", "gone", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}, {-1, 1, 0, "gone"}},
		},
		"nothing joins a mail of later date": {
			[]Mail{at(5, "a", "tide", "", ""), at(1, "b", "Re: tide", "gone", "")},
			[]Place{{-1, -1, 0, ""}, {-1, -1, 1, "gone"}},
		},
		"a mail without a date is as old as the one before it": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "other", "", ""), undated},
			[]Place{{-1, -1, 0, ""}, {-1, -1, 1, ""}, {-1, 0, 0, ""}},
		},
		"patches of one series have different subjects": {
			[]Mail{at(0, "a", "[PATCH 1/2] tide", "", ""), at(1, "b", "Re: [PATCH 2/2] tide", "gone", ""), at(2, "c", "Re: [PATCH 1/2] tide", "gone", "")},
			[]Place{{-1, -1, 0, ""}, {-1, -1, 1, "gone"}, {-1, 0, 0, "gone"}},
		},
		"an empty subject joins nothing": {
			[]Mail{at(0, "a", "", "", ""), at(1, "b", "Re:", "gone", "")},
			[]Place{{-1, -1, 0, ""}, {-1, -1, 1, "gone"}},
		},
		"two replies to one missing mail share a thread": {
			[]Mail{at(0, "a", "Re: tide", "gone", ""), at(1, "b", "Re: tide", "gone", "")},
			[]Place{{-1, -1, 0, "gone"}, {-1, 0, 0, "gone"}},
		},
		"no mail answers itself": {
			[]Mail{at(0, "a", "tide", "a", "a")},
			[]Place{{-1, -1, 0, ""}},
		},
		"of a ring the earliest begins the thread": {
			[]Mail{at(2, "c", "tide", "b", ""), at(0, "a", "tide", "c", ""), at(1, "b", "tide", "a", "")},
			[]Place{{-1, 2, 1, ""}, {-1, -1, 1, ""}, {-1, 1, 1, ""}},
		},
		"nothing joins by subject what is below it": {
			[]Mail{at(0, "a", "tide", "b", ""), at(1, "b", "Re: tide", "gone", "")},
			[]Place{{-1, 1, 1, ""}, {-1, -1, 1, "gone"}},
		},
		"one Message-ID counts once": {
			[]Mail{at(0, "a", "tide", "", ""), at(1, "b", "Re: tide", "a", ""), at(2, "b", "Re: tide", "gone", ""), at(3, "c", "x", "b", "")},
			[]Place{{-1, -1, 0, ""}, {-1, 0, 0, ""}, {1, 0, 0, ""}, {-1, 1, 0, ""}},
		},
		"equal mails without a Message-ID count once": {
			[]Mail{at(0, "", "tide", "", ""), at(0, "", "tide", "", ""), at(0, "", "ebb", "", "")},
			[]Place{{-1, -1, 0, ""}, {0, -1, 0, ""}, {-1, -1, 2, ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Thread(test.mails)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSubjectsAreComparedWithoutMarks(t *testing.T) {
	for given, want := range map[string]string{
		"Re: Tide":                    "tide",
		"RE : re[3]: Re(2): Tide":     "tide",
		"Aw: WG: Sv: tide (fwd)":      "tide",
		"[harbour] Re: [Tides-L] Ebb": "ebb",
		"Re: [PATCH v2 1/3] Ebb":      "[patch v2 1/3] ebb",
		"[patch] ebb":                 "[patch] ebb",
		"[Bug 12] Ebb":                "[bug 12] ebb",
		"Fwd: Fw: Ebb":                "ebb",
		"Reply: soon":                 "reply: soon",
		"Re:":                         "",
	} {
		if got, _ := plainSubject(given); got != want {
			t.Errorf("%q compares as %q, want %q", given, got, want)
		}
	}
}

// drawMails are mails with distinct ids and dates that refer to each other, to
// themselves and to mails that are missing.
func drawMails(t *rapid.T) []Mail {
	n := rapid.IntRange(1, 12).Draw(t, "mails")
	minutes := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	})).Draw(t, "minutes")
	id := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, n+2).Draw(t, "id")) })
	subject := rapid.SampledFrom([]string{"tide", "Re: tide", "ebb", "Re: ebb", "[x] Re: ebb", ""})
	mails := make([]Mail, n)
	for i := range mails {
		mails[i] = at(minutes[i], fmt.Sprint(i), subject.Draw(t, "subject"), "", "")
		mails[i].InReplyTo = rapid.SliceOfN(id, 0, 2).Draw(t, "in reply to")
		mails[i].References = rapid.SliceOfN(id, 0, 3).Draw(t, "references")
	}
	return mails
}

func TestThreadsAreTreesInWhateverOrderTheFileIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mails := drawMails(t)
		parents := map[string]string{}
		places := Thread(mails)
		for i, p := range places {
			steps, above := 0, i
			for ; places[above].Parent >= 0; above = places[above].Parent {
				if steps++; steps > len(mails) {
					t.Fatalf("mail %d is in a ring", i)
				}
			}
			if p.Root != above || p.CopyOf != -1 {
				t.Fatalf("mail %d: root %d, found %d, copy of %d", i, p.Root, above, p.CopyOf)
			}
			if p.Parent >= 0 {
				parents[mails[i].MessageID] = mails[p.Parent].MessageID
			}
		}
		mixed := rapid.Permutation(mails).Draw(t, "order in the file")
		again := map[string]string{}
		for i, p := range Thread(mixed) {
			if p.Parent >= 0 {
				again[mixed[i].MessageID] = mixed[p.Parent].MessageID
			}
		}
		if diff := cmp.Diff(parents, again); diff != "" {
			t.Fatalf("another order, other parents (-first +second)\n%s", diff)
		}
	})
}

func TestLongThreadsTakeNoLongTime(t *testing.T) {
	const n = 200_000
	mails := make([]Mail, n)
	for i := range mails {
		mails[i] = Mail{MessageID: fmt.Sprint(i), InReplyTo: []string{fmt.Sprint(i + 1)}, Date: time.Unix(int64(i), 0)}
	}
	begin := time.Now()
	places := Thread(mails)
	if places[0].Root != n-1 || places[n-1].Parent != -1 {
		t.Errorf("root of the first is %d", places[0].Root)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
