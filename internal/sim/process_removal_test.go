package sim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
)

// removal is a channel out of which somebody is removed while their server is
// cut off and goes on writing.
type removal struct {
	t                       *testing.T
	log                     *history
	host, third, cut, later *house
	owner, friend           person // of the host and of the third server
	removed, colleague      person // of the server that is cut off; only the first is removed
	guest                   person // joins in the end
	channel, thread, before string // before is what the removed one wrote in time
	feeds                   map[*house]string
	beyond                  []beyond
}

// beyond is something written beyond the cut: a message or a thread, with a word
// that stands nowhere else.
type beyond struct{ path, word string }

// TestWhatWasWrittenBeyondTheCutIsVisibleNowhere removes a server, and a person,
// while the server is cut off. Either everybody knows of it before they hear of
// the server again, or the third server hears of it first from the one removed.
func TestWhatWasWrittenBeyondTheCutIsVisibleNowhere(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	for _, whole := range []bool{true, false} {
		for _, lateThird := range []bool{false, true} {
			who, when := "person", "everybody knows"
			if whole {
				who = "server"
			}
			if lateThird {
				when = "one knows late"
			}
			t.Run(who+" removed/"+when, func(t *testing.T) { removeCutOff(t, whole, lateThird) })
		}
	}
}

func removeCutOff(t *testing.T, whole, lateThird bool) {
	r := newRemoval(t)
	r.cut.cut(r.host, r.third, r.later)
	r.write(1)
	if lateThird {
		r.third.cut(r.host)
	}
	r.remove(whole)
	r.cut.kill()
	r.cut.start()
	r.write(2)
	kept := []string{r.before}
	if !whole {
		kept = append(kept, r.colleague.say(r.thread, "an answer of the colleague's", id(r.beyond[0])))
	}
	if lateThird {
		r.cut.mend(r.third)
		r.third.eventually("given what lies beyond", func() bool { return r.friend.reads(r.beyond[0].path, nil) })
	}
	r.third.mend(r.host)
	r.cut.mend(r.host, r.third, r.later)
	r.learns()
	r.owner.bring(r.channel, r.guest)
	remaining := []person{r.owner, r.friend, r.guest}
	if !whole {
		remaining = append(remaining, r.colleague)
		for _, p := range remaining {
			p.house.eventually("given the colleague's", func() bool { return p.reads("/messages/"+kept[1], nil) })
		}
	}
	state := settled(t, r.channel, remaining...)
	for _, p := range remaining {
		r.hidden(p, kept)
	}
	r.absent(r.host, r.later)
	t.Logf("%d things written beyond the cut, seen at none of %d servers; state %s", len(r.beyond), len(remaining), state)
}

// newRemoval has three servers in a channel and a fourth one that is to join.
func newRemoval(t *testing.T) *removal {
	t.Helper()
	log := newHistory()
	houses := newHouses(t, log, true, "", pgtest.URL(t), "", "")
	r := &removal{t: t, log: log, host: houses[0], third: houses[1], cut: houses[2], later: houses[3], feeds: map[*house]string{}}
	r.owner, r.friend, r.guest = r.host.owner, r.third.owner, r.later.owner
	r.removed, r.colleague = r.cut.person("removed"), r.cut.owner
	r.channel = r.owner.newChannel("Yard")
	r.owner.bring(r.channel, r.friend, r.removed, r.colleague)
	var made named
	r.owner.must(http.MethodPost, "/channels/"+r.channel+"/threads", map[string]string{"title": "Gates"}, &made)
	r.thread = made.ID
	r.cut.eventually("given the thread", func() bool { return r.removed.reads("/threads/"+r.thread, nil) })
	r.before = r.removed.say(r.thread, "written in time", "")
	settled(t, r.channel, r.owner, r.friend, r.removed)
	for _, p := range []person{r.owner, r.friend, r.guest, r.colleague} {
		r.feeds[p.house] = p.feed().after
	}
	return r
}

// write has the one who is removed write by every way there is, which their
// server acknowledges.
func (r *removal) write(turn int) {
	r.t.Helper()
	word := func(what string) string { return fmt.Sprintf("beyond%s%d", what, turn) }
	note := func(path, word string) { r.beyond = append(r.beyond, beyond{path, word}) }
	message := word("message")
	id := r.removed.say(r.thread, message, "")
	note("/messages/"+id, message)
	reply := word("reply")
	note("/messages/"+r.removed.say(r.thread, reply, id), reply)
	var thread named
	title := map[string]string{"title": word("title"), "body": word("opening")}
	r.removed.must(http.MethodPost, "/channels/"+r.channel+"/threads", title, &thread)
	note("/threads/"+thread.ID, title["title"])
	note("/threads/"+thread.ID+"/messages", title["body"])
	r.removed.must(http.MethodPatch, "/messages/"+r.before, map[string]string{"body": word("edit")}, nil)
	note("", word("edit"))
	r.removed.must(http.MethodPut, "/messages/"+r.before+"/reactions/"+url.PathEscape("🚧"), nil, nil)
	note("", "🚧")
	for _, b := range r.beyond { // else hidden would find nothing anywhere
		if len(r.shown(r.colleague, b.word)) == 0 {
			r.t.Errorf("%s does not show at its own server", b.word)
		}
	}
}

// id is that of a message.
func id(b beyond) string { return strings.TrimPrefix(b.path, "/messages/") }

func (r *removal) remove(whole bool) {
	r.t.Helper()
	what := "/members/" + r.removed.address
	if whole {
		what = "/servers/" + r.cut.name
	}
	r.owner.must(http.MethodDelete, "/channels/"+r.channel+what, nil, nil)
}

// learns waits until the server that was cut off knows of the removal: it
// acknowledges nothing more of the one removed, and what it did lies beyond.
func (r *removal) learns() {
	r.t.Helper()
	for n := 1; ; n++ {
		word := fmt.Sprint("beyondlast", n)
		p := &post{by: r.removed, client: r.removed.address, thread: r.thread, text: word, key: word}
		switch p.try() {
		case refused:
			return
		case acknowledged:
			r.beyond = append(r.beyond, beyond{"/messages/" + p.id, word})
		}
		time.Sleep(200 * time.Millisecond)
		if n > 1000 {
			r.t.Fatal("the removed server's people can write for ever")
		}
	}
}

// hidden fails the test for anything beyond the cut that the person is shown, by
// any way of reading, and for anything else that they are not.
func (r *removal) hidden(p person, kept []string) {
	r.t.Helper()
	have := p.replica(r.channel)
	for _, id := range kept {
		if _, ok := have.byID[id]; !ok {
			r.t.Errorf("%s: message %s is gone", p.house.name, id)
		}
	}
	if len(have.messages) != len(kept) || have.byID[r.before].Body != "written in time" {
		r.t.Errorf("%s shows %+v", p.house.name, have.messages)
	}
	for _, b := range r.beyond {
		if b.path != "" {
			if _, status := p.do(http.MethodGet, b.path, "", nil, nil); status != http.StatusNotFound {
				r.t.Errorf("%s: GET %s: %d", p.house.name, b.path, status)
			}
		}
		if shown := r.shown(p, b.word); len(shown) > 0 {
			r.t.Errorf("%s: %s shows in %s", p.house.name, b.word, shown)
		}
	}
}

// shown are the ways of reading by which the person is shown a word.
func (r *removal) shown(p person, word string) (ways []string) {
	r.t.Helper()
	for _, path := range []string{
		"/search?q=" + url.QueryEscape(word), "/channels/" + r.channel + "/threads", "/threads/" + r.thread + "/messages",
		"/messages/" + r.before, "/messages/" + r.before + "/history", "/events?limit=200&after=" + url.QueryEscape(r.feeds[p.house]),
	} {
		var shown json.RawMessage
		if p.must(http.MethodGet, path, nil, &shown); bytes.Contains(shown, []byte(word)) {
			ways = append(ways, path)
		}
	}
	return ways
}

// absent fails the test for any text beyond the cut in the files of SQLite
// servers.
func (r *removal) absent(houses ...*house) {
	r.t.Helper()
	for _, h := range houses {
		h.stop()
		err := filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, b := range r.beyond {
				if strings.HasPrefix(b.word, "beyond") && bytes.Contains(raw, []byte(b.word)) {
					r.t.Errorf("%s holds %s", path, b.word)
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Error(err)
		}
	}
}
