package mbox

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Place is where a mail stands among those given to Thread. Indices are into
// that slice; -1 is none.
type Place struct {
	CopyOf    int    // the mail with the same Key before it in the file; -1 for the first or only one
	Parent    int    // the mail it answers; -1 if it begins a thread
	Root      int    // the mail that began its thread, itself if it did
	InReplyTo string // the id of the mail it answers, if that is not in the archive; else empty
}

var (
	replyMark   = regexp.MustCompile(`^(?i:re|aw|sv|antw|vs|odp|réf?)\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[::]\s*`)
	forwardMark = regexp.MustCompile(`^(?i:fwd?|wg|tr|vb|doorst)\s*[::]\s*`)
	listTag     = regexp.MustCompile(`^\[[A-Za-z][^\s\[\]]*\]\s*`)
	patchTag    = regexp.MustCompile(`^\[(?i:patch|rfc|rft|pull|resend|bug|ann|announce)[^\s\[\]]*\]`)
)

// Thread gives every mail its place. Mails need not be in order of time, and
// those with one Key count once: the copies share the place of the first.
//
// A mail answers the first known id of its In-Reply-To, else the last known one
// of its References. Where neither is known but it names one, or its subject
// says "Re:", it joins by subject: it answers the latest earlier mail that
// brought up the same subject, one with no parent or with a parent of another
// subject; marks of replies, forwards and lists are not part of a subject, those
// of patches are. Else it begins a thread. What comes earlier is told by dates,
// a mail without one being as old as the dated one before it in the file. No
// mail answers itself through others: of such a ring the earliest mail begins
// the thread. The result depends on nothing else, in particular not on the order
// in the file where dates differ.
func Thread(mails []Mail) []Place {
	f := newForest(mails)
	slices.Reverse(f.order) // the latest first, so that the earliest of a ring keeps no parent
	for _, i := range f.order {
		f.byID(i)
	}
	slices.Reverse(f.order)
	f.bySubject()
	for i := range f.places {
		first := i
		if f.places[i].CopyOf >= 0 {
			first = f.places[i].CopyOf
		}
		f.places[i].Parent, f.places[i].InReplyTo = f.places[first].Parent, f.places[first].InReplyTo
		f.places[i].Root = f.root(first)
	}
	return f.places
}

// forest is the threads while they are joined.
type forest struct {
	mails  []Mail
	places []Place
	known  map[string]int // first mail by Key
	up     []int          // towards the root, paths shortened on the way
	order  []int          // mails that are no copies, the earliest first
}

func newForest(mails []Mail) *forest {
	f := &forest{mails: mails, places: make([]Place, len(mails)), known: map[string]int{}, up: make([]int, len(mails))}
	when := make([]time.Time, len(mails))
	for i, m := range mails {
		f.places[i] = Place{CopyOf: -1, Parent: -1}
		f.up[i] = i
		if when[i] = m.Date; m.Date.IsZero() && i > 0 {
			when[i] = when[i-1]
		}
		if first, seen := f.known[m.Key()]; seen {
			f.places[i].CopyOf = first
			continue
		}
		f.known[m.Key()] = i
		f.order = append(f.order, i)
	}
	slices.SortStableFunc(f.order, func(a, b int) int { return when[a].Compare(when[b]) })
	return f
}

// root follows a mail to the one that began its thread.
func (f *forest) root(i int) int {
	for f.up[i] != i {
		f.up[i] = f.up[f.up[i]]
		i = f.up[i]
	}
	return i
}

// join makes a root answer another mail, unless that one is below it.
func (f *forest) join(child, parent int) bool {
	if f.root(parent) == child {
		return false
	}
	f.up[child] = parent
	f.places[child].Parent = parent
	return true
}

func (f *forest) byID(i int) {
	m := f.mails[i]
	named := slices.Clone(m.InReplyTo)
	for _, id := range slices.Backward(m.References) {
		named = append(named, id)
	}
	for _, id := range named {
		if parent, ok := f.known[id]; ok && f.join(i, parent) {
			break
		}
	}
	direct := m.InReplyTo
	if len(direct) == 0 {
		direct = named[:min(len(named), 1)]
	}
	held := func(id string) bool { _, ok := f.known[id]; return ok }
	if len(direct) > 0 && !slices.ContainsFunc(direct, held) {
		f.places[i].InReplyTo = direct[0]
	}
}

// bySubject joins replies without a known parent, the earliest first.
func (f *forest) bySubject() {
	opener := map[string]int{} // the latest mail that brought a subject up
	for _, i := range f.order {
		m := f.mails[i]
		subject, marked := plainSubject(m.Subject)
		if subject == "" {
			continue
		}
		parent := f.places[i].Parent
		if parent < 0 && (marked || len(m.InReplyTo)+len(m.References) > 0) {
			if earlier, ok := opener[subject]; ok && f.join(i, earlier) {
				continue
			}
		}
		if parent >= 0 {
			if above, _ := plainSubject(f.mails[parent].Subject); above == subject {
				continue
			}
		}
		opener[subject] = i
	}
}

// plainSubject strips marks of replies, forwards and lists in any order and
// letter case; reply says whether one of a reply was among them.
func plainSubject(s string) (subject string, reply bool) {
	for {
		mark := replyMark.FindString(s)
		reply = reply || mark != ""
		if mark == "" {
			mark = forwardMark.FindString(s)
		}
		if mark == "" && !patchTag.MatchString(s) {
			mark = listTag.FindString(s)
		}
		if mark == "" {
			s = strings.TrimSuffix(strings.TrimSpace(s), "(fwd)")
			return strings.ToLower(strings.Join(strings.Fields(s), " ")), reply
		}
		s = s[len(mark):]
	}
}
