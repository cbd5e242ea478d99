package sim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// history is what clients did and were told, kept outside the servers.
type history struct {
	mu     sync.Mutex
	calls  map[outcome]int
	posts  []*post
	byText map[string]*post
}

// call is one request as its client saw it.
type call struct {
	By, What, Key string
	Outcome       outcome
	Status        int
}

// post is a message that a client wants to be stored: its text stands in no other
// one, and its requests are repeated under one key until the outcome is known.
type post struct {
	by       person
	client   string // whose posts follow one another
	thread   string
	replyTo  string
	text     string
	key      string
	outcome  outcome // of the last request
	id       string  // once it is acknowledged
	unknowns int     // requests of unknown outcome
}

func newHistory() *history {
	return &history{calls: map[outcome]int{}, byText: map[string]*post{}}
}

func (h *history) called(c call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[c.Outcome]++
}

// wants notes a post before it is tried for the first time.
func (h *history) wants(p *post) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts = append(h.posts, p)
	h.byText[p.text] = p
}

// try makes the post's request once.
func (p *post) try() outcome {
	p.by.house.t.Helper()
	var made named
	in := map[string]string{"body": p.text}
	if p.replyTo != "" {
		in["reply_to"] = p.replyTo
	}
	p.outcome, _ = p.by.do(http.MethodPost, "/threads/"+p.thread+"/messages", p.key, in, &made)
	switch p.outcome {
	case acknowledged:
		p.id = made.ID
	case unknown:
		p.unknowns++
	}
	return p.outcome
}

// say posts a text now, which must be acknowledged, and returns its message's id.
func (p person) say(thread, text, replyTo string) (id string) {
	p.house.t.Helper()
	said := &post{by: p, client: p.address, thread: thread, replyTo: replyTo, text: text, key: text}
	p.log.wants(said)
	if came := said.try(); came != acknowledged {
		p.house.t.Fatalf("%s says %q: %s", p.address, text, came)
	}
	return said.id
}

// message is a stored message as people read it.
type message struct {
	ID        string `json:"id"`
	Channel   string `json:"channel"`
	Thread    string `json:"thread"`
	ReplyTo   string `json:"reply_to"`
	Author    string `json:"author"`
	Body      string `json:"body"`
	MessageID string `json:"message_id"`
	Hidden    bool   `json:"hidden"`
	Missing   bool   `json:"missing"`
}

// replica is a channel as a member reads it at their server.
type replica struct {
	at       person
	messages []message // thread by thread, in the order in which they are shown
	byID     map[string]message
}

func (p person) replica(channel string) replica {
	p.house.t.Helper()
	r := replica{at: p, byID: map[string]message{}}
	for _, thread := range pages[named](p, "/channels/"+channel+"/threads") {
		r.messages = append(r.messages, pages[message](p, "/threads/"+thread.ID+"/messages")...)
	}
	for _, m := range r.messages {
		r.byID[m.ID] = m
	}
	return r
}

// pages are all items of a list.
func pages[T any](p person, path string) (all []T) {
	p.house.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items      []T
			NextCursor string `json:"next_cursor"`
		}
		p.must(http.MethodGet, path+"?limit=200&cursor="+url.QueryEscape(cursor), nil, &page)
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return all
		}
	}
}

// tally is what the checker counted.
type tally struct{ acknowledged, unknown, lost, duplicated int }

// check holds the history against what the replicas have in the end: everything
// acknowledged is stored, once, as it was said; nothing else is; what one client
// said stands in its order; reply trees are equal.
func (h *history) check(t *testing.T, replicas ...replica) (sum tally) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.posts {
		if p.unknowns > 0 {
			sum.unknown++
		}
		if p.outcome == acknowledged {
			sum.acknowledged++
		}
	}
	for _, r := range replicas {
		lost, duplicated := h.compare(t, r)
		sum.lost += lost
		sum.duplicated += duplicated
		r.equals(t, replicas[0])
	}
	return sum
}

func (h *history) compare(t *testing.T, r replica) (lost, duplicated int) {
	t.Helper()
	where := r.at.house.name
	last := map[[2]string]int{} // place of a client's newest post in a thread
	place := map[string]int{}   // of each text among all messages
	for i, m := range r.messages {
		if _, twice := place[m.Body]; twice {
			duplicated++
			t.Errorf("%s: stored twice: %.80q", where, m.Body)
		}
		place[m.Body] = i
		if h.byText[m.Body] == nil {
			t.Errorf("%s: nobody said %.80q", where, m.Body)
		}
	}
	for _, p := range h.posts {
		i, stored := place[p.text]
		if p.outcome == acknowledged && !stored {
			lost++
			t.Errorf("%s: lost, though acknowledged as %s: %.80q", where, p.id, p.text)
		}
		if p.outcome == refused && stored {
			t.Errorf("%s: stored, though refused: %.80q", where, p.text)
		}
		if !stored {
			continue
		}
		if diff := p.differs(r.messages[i]); diff != "" {
			t.Errorf("%s: %.80q has another %s", where, p.text, diff)
		}
		before, any := last[[2]string{p.client, p.thread}]
		if any && before >= i {
			t.Errorf("%s: %s said %.80q before %.80q, and it is shown after", where, p.client, r.messages[before].Body, p.text)
		}
		last[[2]string{p.client, p.thread}] = i
	}
	return lost, duplicated
}

// differs names what of a stored message is not as it was said.
func (p *post) differs(m message) string {
	switch {
	case p.outcome == acknowledged && m.ID != p.id:
		return "id"
	case m.Thread != p.thread:
		return "thread"
	case m.ReplyTo != p.replyTo:
		return "parent"
	case m.Hidden || m.Missing:
		return "standing: it is hidden or missing"
	case m.Author != p.by.address && m.Author != "": // not every profile has arrived
		return "author: " + m.Author
	}
	return ""
}

// equals compares what two replicas show, message by message.
func (r replica) equals(t *testing.T, other replica) {
	t.Helper()
	if len(r.messages) != len(other.messages) {
		t.Errorf("%s has %d messages, %s %d", r.at.house.name, len(r.messages), other.at.house.name, len(other.messages))
	}
	threads := map[string][]string{}
	for _, m := range other.messages {
		threads[m.Thread] = append(threads[m.Thread], fmt.Sprint(m.ID, " answers ", m.ReplyTo))
	}
	for _, m := range r.messages {
		line := fmt.Sprint(m.ID, " answers ", m.ReplyTo)
		rest := threads[m.Thread]
		if len(rest) == 0 || rest[0] != line {
			t.Fatalf("thread %s: %s shows %s where %s shows %v", m.Thread, r.at.house.name, line, other.at.house.name, rest[:min(1, len(rest))])
		}
		threads[m.Thread] = rest[1:]
	}
}

// feed is what a person's events tell, across restarts of their server.
type feed struct {
	person
	after string
	times map[string]int // that the person was told of a new message, by its id
	all   int
}

// feed begins with the events from now on.
func (p person) feed() *feed {
	p.house.t.Helper()
	var now struct {
		NextCursor string `json:"next_cursor"`
	}
	p.must(http.MethodGet, "/events", nil, &now)
	return &feed{person: p, after: now.NextCursor, times: map[string]int{}}
}

// event is something that happened, as clients are told.
type event struct {
	Type string
	Data message
}

// poll takes the next events, if there are any within the seconds, and reports
// whether there were. A server that is down has none.
func (f *feed) poll(seconds int) bool {
	f.house.t.Helper()
	var page struct {
		Items      []event
		NextCursor string `json:"next_cursor"`
	}
	if !f.reads(fmt.Sprintf("/events?limit=200&wait=%d&after=%s", seconds, url.QueryEscape(f.after)), &page) {
		return false
	}
	f.after = page.NextCursor
	for _, e := range page.Items {
		f.all++
		switch e.Type {
		case "message.posted":
			f.times[e.Data.ID]++
		case "resync":
			f.house.t.Errorf("%s lost the place in the events", f.address)
		}
	}
	return len(page.Items) > 0
}

// follow takes events until there is no need to wait for more.
func (f *feed) follow(enough <-chan struct{}) {
	for {
		told := f.poll(2)
		select {
		case <-enough:
			return
		default:
		}
		if !told {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// told compares the messages that the person was told of with those of a
// replica: each one once.
func (f *feed) told(r replica) {
	f.house.t.Helper()
	for f.poll(0) {
	}
	for _, m := range r.messages {
		if f.times[m.ID] != 1 {
			f.house.t.Errorf("%s was told %d times of %.80q", f.address, f.times[m.ID], m.Body)
		}
		delete(f.times, m.ID)
	}
	for id := range f.times {
		f.house.t.Errorf("%s was told of message %s, which is not there", f.address, id)
	}
}

// outsider is somebody of a house who is in no channel, with their events.
type outsider struct{ *feed }

func (h *house) outsider() outsider {
	h.t.Helper()
	return outsider{h.person("outsider").feed()}
}

// seesNothing fails the test for anything that the outsider is shown of the
// replica's messages, by any way of reading.
func (o outsider) seesNothing(channel string, r replica) {
	t := o.house.t
	t.Helper()
	m := r.messages[len(r.messages)/2]
	for _, path := range []string{
		"/channels/" + channel, "/channels/" + channel + "/threads", "/channels/" + channel + "/members", "/channels/" + channel + "/state",
		"/threads/" + m.Thread, "/threads/" + m.Thread + "/messages", "/messages/" + m.ID, "/messages/" + m.ID + "/history", "/messages/" + m.ID + "/delivery",
	} {
		if _, status := o.do(http.MethodGet, path, "", nil, nil); status != http.StatusNotFound {
			t.Errorf("%s: GET %s: %d", o.address, path, status)
		}
	}
	for _, path := range []string{"/channels", "/invitations", "/search?q=" + url.QueryEscape(word(m.Body))} {
		var list struct{ Items []any }
		if o.must(http.MethodGet, path, nil, &list); len(list.Items) > 0 {
			t.Errorf("%s: GET %s: %v", o.address, path, list.Items)
		}
	}
	if o.poll(0); o.all > 0 {
		t.Errorf("%s was told of %d events", o.address, o.all)
	}
}
