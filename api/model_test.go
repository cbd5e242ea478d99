package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"meridian/api"
)

// model is what one channel is to be, kept by hand beside the real one.
type model struct {
	w        *world
	people   []*user // the first never leaves, and listens
	line     *line
	cursor   string     // of the newest event that the line has told
	told     chan event // what the line tells
	end      error      // of the line; read after told is closed
	since    string     // cursor before the channel was
	channel  string
	roles    map[*user]string
	archived bool
	threads  []*modelThread
	log      []modelEvent
	heard    int // events of the log that the line has told
}

type modelThread struct {
	id, title, state string
	labels           []string
	messages         []*modelMessage
}

type modelMessage struct {
	id, body, replyTo string
	author            *user
	edited, erased    bool
	reactions         map[string]map[string]bool // emoji → address
}

type modelEvent struct {
	kind, object string
	removed      *user
}

func newModel(w *world, rt *rapid.T, run int) *model {
	m := &model{w: w, roles: map[*user]string{}}
	for i := range 4 {
		m.people = append(m.people, w.user(fmt.Sprintf("p%d-%d", run, i), false))
	}
	m.since = w.cursor(m.people[0])
	m.cursor = m.since
	m.line = w.resumed(m.people[0], m.since)
	m.told = make(chan event, 1000)
	go m.hear()
	m.channel = w.channel(m.people[0], "Harbour")
	m.roles[m.people[0]] = "owner"
	m.say("channel.created", m.channel, nil)
	for i, role := range []string{"member", "guest", "reader"} {
		m.add(rt, m.people[0], m.people[i+1], role)
	}
	m.start(rt, m.people[0], "Quay 4")
	m.write(rt, m.people[1], m.threads[0], "a", "")
	return m
}

// hear reads the line without a pause, as clients do, so that pings are answered.
func (m *model) hear() {
	defer close(m.told)
	if m.end = m.line.conn.SetReadDeadline(time.Time{}); m.end != nil {
		return
	}
	for {
		var e event
		if m.end = m.line.conn.ReadJSON(&e); m.end != nil {
			return
		}
		m.told <- e
	}
}

func (m *model) say(kind, object string, removed *user) {
	m.log = append(m.log, modelEvent{kind, object, removed})
}

// may is the status with which the rules answer somebody who needs a right.
func (m *model) may(u *user, right string) int {
	role := m.roles[u]
	gives := map[string]string{"owner": "own work post react", "member": "work post react", "guest": "post react", "reader": "react"}
	switch {
	case role == "":
		return 404
	case m.archived && right != "own":
		return 409
	case !slices.Contains(strings.Fields(gives[role]), right):
		return 403
	}
	return 0
}

// try sends a request and compares the status.
func (m *model) try(rt *rapid.T, want int, u *user, method, path string, body any) answer {
	a := m.w.send(u, method, path, body)
	if a.status != want {
		rt.Fatalf("%s %s %v as %s (%s) answers %d instead of %d: %s", method, path, body, u.address, m.roles[u], a.status, want, a.raw)
	}
	return a
}

func or(status, otherwise int) int {
	if status != 0 {
		return status
	}
	return otherwise
}

// somebody is the owner half of the time: most of what others try is refused.
func (m *model) somebody(rt *rapid.T) *user {
	return m.people[max(0, rapid.IntRange(-3, 3).Draw(rt, "who"))]
}

func (m *model) aThread(rt *rapid.T) *modelThread {
	if len(m.threads) == 0 {
		rt.Skip("no thread yet")
	}
	return rapid.SampledFrom(m.threads).Draw(rt, "thread")
}

func (m *model) aMessage(rt *rapid.T) (*modelThread, *modelMessage) {
	thread := m.aThread(rt)
	if len(thread.messages) == 0 {
		rt.Skip("no message yet")
	}
	return thread, rapid.SampledFrom(thread.messages).Draw(rt, "message")
}

var words = rapid.SampledFrom([]string{"a", "two words", "ünïcödé", "<b>", "\"quoted\"", "line\nbreak", "\u2028"})

func (m *model) StartThread(rt *rapid.T) { m.start(rt, m.somebody(rt), words.Draw(rt, "title")) }

func (m *model) start(rt *rapid.T, u *user, title string) {
	want := m.may(u, "work")
	a := m.try(rt, or(want, 201), u, "POST", "/channels/"+m.channel+"/threads", object{"title": title})
	if want == 0 {
		m.threads = append(m.threads, &modelThread{id: a.text("id"), title: title, state: "open"})
		m.say("thread.created", a.text("id"), nil)
	}
}

func (m *model) ChangeThread(rt *rapid.T) {
	u, thread := m.somebody(rt), m.aThread(rt)
	state := rapid.SampledFrom([]string{"open", "waiting", "decided", "done"}).Draw(rt, "state")
	labels := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.ID).Draw(rt, "labels")
	want := m.may(u, "work")
	m.try(rt, or(want, 200), u, "PATCH", "/threads/"+thread.id, object{"state": state, "labels": labels})
	if want == 0 {
		slices.Sort(labels)
		thread.state, thread.labels = state, labels
		m.say("thread.changed", thread.id, nil)
	}
}

func (m *model) Post(rt *rapid.T) {
	u, thread, replyTo := m.somebody(rt), m.aThread(rt), ""
	if len(thread.messages) > 0 && rapid.Bool().Draw(rt, "reply") {
		replyTo = rapid.SampledFrom(thread.messages).Draw(rt, "to").id
	}
	m.write(rt, u, thread, words.Draw(rt, "body"), replyTo)
}

func (m *model) write(rt *rapid.T, u *user, thread *modelThread, body, replyTo string) {
	in := object{"body": body}
	if replyTo != "" {
		in["reply_to"] = replyTo
	}
	want := m.may(u, "post")
	a := m.try(rt, or(want, 201), u, "POST", "/threads/"+thread.id+"/messages", in)
	if want == 0 {
		thread.messages = append(thread.messages, &modelMessage{
			id: a.text("id"), body: body, replyTo: replyTo, author: u, reactions: map[string]map[string]bool{},
		})
		m.say("message.posted", a.text("id"), nil)
	}
}

func (m *model) Edit(rt *rapid.T) {
	u, body := m.somebody(rt), words.Draw(rt, "body")
	_, message := m.aMessage(rt)
	want := m.may(u, "post")
	switch {
	case want != 0:
	case message.author != u:
		want = 403
	case message.erased:
		want = 409
	}
	m.try(rt, or(want, 200), u, "PATCH", "/messages/"+message.id, object{"body": body})
	if want == 0 {
		message.body, message.edited = body, true
		m.say("message.edited", message.id, nil)
	}
}

func (m *model) Erase(rt *rapid.T) {
	u := m.somebody(rt)
	_, message := m.aMessage(rt)
	want := m.may(u, "react")
	if want == 0 && !message.erased && message.author != u && m.roles[u] != "owner" {
		want = 403
	}
	m.try(rt, or(want, 204), u, "DELETE", "/messages/"+message.id, nil)
	if want == 0 && !message.erased {
		message.erased, message.body = true, ""
		m.say("message.erased", message.id, nil)
	}
}

func (m *model) React(rt *rapid.T) {
	u, on, emoji := m.somebody(rt), rapid.Bool().Draw(rt, "on"), rapid.SampledFrom([]string{"x", "%F0%9F%91%8D"}).Draw(rt, "emoji")
	_, message := m.aMessage(rt)
	want := m.may(u, "react")
	if want == 0 && message.erased {
		want = 409
	}
	m.try(rt, or(want, 204), u, map[bool]string{true: "PUT", false: "DELETE"}[on], "/messages/"+message.id+"/reactions/"+emoji, nil)
	if want != 0 {
		return
	}
	if message.reactions[emoji] == nil {
		message.reactions[emoji] = map[string]bool{}
	}
	message.reactions[emoji][u.address] = on
	m.say("reaction.set", message.id, nil)
}

func (m *model) AddMember(rt *rapid.T) {
	m.add(rt, m.somebody(rt), m.somebody(rt), rapid.SampledFrom([]string{"reader", "guest", "member", "owner"}).Draw(rt, "role"))
}

func (m *model) add(rt *rapid.T, u, who *user, role string) {
	want := m.may(u, "own")
	if want == 0 && m.roles[who] != "" {
		want = 409
	}
	m.try(rt, or(want, 201), u, "POST", "/channels/"+m.channel+"/members", object{"address": who.address, "role": role})
	if want == 0 {
		m.roles[who] = role
		m.say("member.joined", who.address, nil)
	}
}

func (m *model) owners() (n int) {
	for _, role := range m.roles {
		if role == "owner" {
			n++
		}
	}
	return n
}

func (m *model) ChangeRole(rt *rapid.T) {
	u, who := m.somebody(rt), m.somebody(rt)
	role := rapid.SampledFrom([]string{"reader", "guest", "member", "owner"}).Draw(rt, "role")
	if who == m.people[0] {
		role = "owner" // the one who listens stays
	}
	old := m.roles[who]
	want := m.may(u, "own")
	switch {
	case m.roles[u] == "" || old == "":
		want = 404
	case want == 0 && old == "owner" && role != "owner" && m.owners() == 1:
		want = 409
	}
	m.try(rt, or(want, 200), u, "PATCH", "/channels/"+m.channel+"/members/"+who.address, object{"role": role})
	if want == 0 && role != old {
		m.roles[who] = role
		m.say("member.role", who.address, nil)
	}
}

func (m *model) Remove(rt *rapid.T) {
	u, who := m.somebody(rt), rapid.SampledFrom(m.people[1:]).Draw(rt, "whom")
	want := m.may(u, "own")
	if u == who { // everybody may leave, an archived channel too
		want = 0
	}
	switch {
	case m.roles[u] == "" || m.roles[who] == "":
		want = 404
	case want == 0 && m.roles[who] == "owner" && m.owners() == 1:
		want = 409
	}
	m.try(rt, or(want, 204), u, "DELETE", "/channels/"+m.channel+"/members/"+who.address, nil)
	if want == 0 {
		m.roles[who] = ""
		m.say("member.removed", who.address, who)
	}
}

func (m *model) Archive(rt *rapid.T) {
	u, on := m.somebody(rt), rapid.Bool().Draw(rt, "on")
	want := m.may(u, "own")
	m.try(rt, or(want, 200), u, "POST", "/channels/"+m.channel+"/archive", object{"archived": on})
	if want == 0 && on != m.archived {
		m.archived = on
		m.say("channel.archived", m.channel, nil)
	}
}

// Check compares what everybody reads with what is to be.
func (m *model) Check(rt *rapid.T) {
	for _, u := range m.people {
		if m.roles[u] == "" {
			m.try(rt, 404, u, "GET", "/channels/"+m.channel, nil)
			continue
		}
		var channel api.Channel
		m.try(rt, 200, u, "GET", "/channels/"+m.channel, nil).into(m.w.t, &channel)
		if channel.Role != m.roles[u] || channel.Archived != m.archived {
			rt.Fatalf("%s sees %+v", u.address, channel)
		}
	}
	for _, thread := range m.threads {
		m.checkThread(rt, thread)
	}
	m.listen(rt)
}

func (m *model) checkThread(rt *rapid.T, thread *modelThread) {
	owner := m.people[0]
	var shown api.Thread
	m.try(rt, 200, owner, "GET", "/threads/"+thread.id, nil).into(m.w.t, &shown)
	if shown.Title != thread.title || shown.State != thread.state || !slices.Equal(shown.Labels, thread.labels) {
		rt.Fatalf("the thread is %+v instead of %+v", shown, thread)
	}
	var list api.List[api.Message]
	m.try(rt, 200, owner, "GET", "/threads/"+thread.id+"/messages?limit=200", nil).into(m.w.t, &list)
	if len(list.Items) != len(thread.messages) {
		rt.Fatalf("%d messages instead of %d", len(list.Items), len(thread.messages))
	}
	for i, want := range thread.messages {
		got := list.Items[i]
		if got.ID != want.id || got.Body != want.body || got.ReplyTo != want.replyTo || got.Erased != want.erased ||
			got.Author != want.author.address || !want.erased && (got.Edited != nil) != want.edited {
			rt.Fatalf("message %d is %+v instead of %+v", i, got, want)
		}
		count := 0
		for _, set := range want.reactions {
			for _, on := range set {
				if on {
					count++
				}
			}
		}
		for _, r := range got.Reactions {
			count -= len(r.People)
		}
		if count != 0 && !want.erased {
			rt.Fatalf("message %d has reactions %+v instead of %+v", i, got.Reactions, want.reactions)
		}
	}
}

// listen compares what the line tells with the log.
func (m *model) listen(rt *rapid.T) {
	for ; m.heard < len(m.log); m.heard++ {
		want := m.log[m.heard]
		if m.gone(want) {
			continue // it may or may not have been told before it was erased
		}
		for {
			var got modelEvent
			select {
			case e, open := <-m.told:
				if !open {
					m.again(rt, want)
					continue
				}
				m.cursor = e.Cursor
				got = eventOf(rt, e)
			case <-time.After(10 * time.Second):
				rt.Fatalf("nothing was told instead of %+v", want)
			}
			if got.kind == want.kind && got.object == want.object {
				break
			}
			if !m.gone(got) {
				rt.Fatalf("event %d is %+v instead of %+v", m.heard, got, want)
			}
		}
	}
}

func (m *model) hangUp() {
	m.line.conn.Close()
	for range m.told { // until the reader has ended
	}
}

// again resumes a line that the server let go for want of time, which a machine
// busy with other things makes happen.
func (m *model) again(rt *rapid.T, want modelEvent) {
	if !websocket.IsCloseError(m.end, 1001, 4008) {
		rt.Fatalf("the line ended with %v instead of telling %+v; %s", m.end, want, m.w.logged)
	}
	m.line.conn.Close()
	m.line, m.told = m.w.resumed(m.people[0], m.cursor), make(chan event, 1000)
	go m.hear()
}

// gone reports whether an event is about a message that was erased since.
func (m *model) gone(e modelEvent) bool {
	for _, thread := range m.threads {
		for _, message := range thread.messages {
			if message.id == e.object {
				return message.erased && e.kind != "message.erased"
			}
		}
	}
	return false
}

func eventOf(rt *rapid.T, e event) modelEvent {
	var data struct{ ID, Address string }
	if err := json.Unmarshal(e.Data, &data); err != nil {
		rt.Fatalf("%v in %s", err, e.Data)
	}
	return modelEvent{kind: e.Type, object: data.ID + data.Address}
}

// polls compares what each may poll from the beginning with the log.
func (m *model) polls(rt *rapid.T) {
	for _, u := range m.people {
		var want, got []modelEvent
		for _, e := range m.log {
			if (m.roles[u] != "" || e.removed == u) && !m.gone(e) {
				want = append(want, modelEvent{kind: e.kind, object: e.object})
			}
		}
		for cursor := m.since; ; {
			var page struct {
				Items      []event
				NextCursor string `json:"next_cursor"`
			}
			m.try(rt, 200, u, "GET", "/events?limit=50&after="+cursor, nil).into(m.w.t, &page)
			for _, e := range page.Items {
				if told := eventOf(rt, e); !m.gone(told) {
					got = append(got, told)
				}
			}
			if cursor = page.NextCursor; len(page.Items) == 0 {
				break
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(modelEvent{})); diff != "" {
			rt.Fatalf("%s polls: %s", u.address, diff)
		}
	}
}

// T74: REST, the stream and the poll against the model, for random requests.
func TestTheInterfaceIsItsModel(t *testing.T) {
	w := newWorld(t, api.Limits{})
	run, seen := 0, map[string]int{}
	check := func(rt *rapid.T) {
		run++
		m := newModel(w, rt, run)
		defer m.hangUp()
		rt.Repeat(map[string]func(*rapid.T){
			"": m.Check, "start": m.StartThread, "change": m.ChangeThread, "post": m.Post, "post more": m.Post, "edit": m.Edit,
			"erase": m.Erase, "react": m.React, "add": m.AddMember, "role": m.ChangeRole, "remove": m.Remove, "archive": m.Archive,
		})
		m.polls(rt)
		for _, e := range m.log {
			seen[e.kind]++
		}
	}
	if !*campaign {
		rapid.Check(t, check) // -rapid.checks says how often
		for _, kind := range []string{"thread.changed", "message.edited", "message.erased", "reaction.set", "member.role", "member.removed", "channel.archived"} {
			if seen[kind] == 0 && !testing.Short() {
				t.Errorf("in %d runs there was no %s", run, kind)
			}
		}
		return
	}
	for begun := time.Now(); run < 10_000 && !t.Failed(); {
		t.Run(fmt.Sprint(run), func(t *testing.T) { rapid.Check(t, check) })
		t.Logf("%d runs in %s", run, time.Since(begun))
	}
}
