package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"meridian/threads"
)

// Thread is a thread. Following and Unread are those of the person who asks,
// and absent in events.
type Thread struct {
	ID        string    `json:"id"`
	Channel   string    `json:"channel"`
	Author    string    `json:"author" doc:"Address."`
	Created   time.Time `json:"created"`
	Title     string    `json:"title"`
	Objective string    `json:"objective"`
	State     string    `json:"state" enum:"open,waiting,decided,done"`
	Assignee  string    `json:"assignee" doc:"Address; empty for nobody."`
	Start     string    `json:"start" doc:"Date; empty for none."`
	Due       string    `json:"due" doc:"Date; empty for none."`
	Labels    []string  `json:"labels" nullable:"false"`
	BlockedBy []string  `json:"blocked_by" nullable:"false" doc:"Ids of threads."`
	Hidden    bool      `json:"hidden,omitempty" doc:"It does not count: its author had lost the right to write it. Only the author sees it."`
	Messages  int64     `json:"messages"`
	LastTime  time.Time `json:"last_time" doc:"Of the newest message."`
	Following *bool     `json:"following,omitempty"`
	Unread    *int64    `json:"unread,omitempty"`
}

// threadOf makes what everybody sees of a thread.
func threadOf(addresses map[string]string, r threads.ThreadRecord) Thread {
	state := r.State
	if state == "" {
		state = "open"
	}
	return Thread{
		ID: r.ID, Channel: r.Channel, Author: addresses[r.Author], Created: r.Created.UTC(), Title: r.Title,
		Objective: r.Objective, State: state, Assignee: addresses[r.Assignee], Start: r.Start, Due: r.Due,
		Labels: append([]string{}, r.Labels...), BlockedBy: append([]string{}, r.BlockedBy...),
		Hidden: r.Hidden, Messages: r.Messages, LastTime: r.LastTime.UTC(),
	}
}

// ownThread adds what the person who asks sees besides.
func ownThread(addresses map[string]string, r threads.ThreadRecord) Thread {
	t := threadOf(addresses, r)
	t.Following, t.Unread = &r.Following, &r.Unread
	return t
}

// ThreadPath names a thread.
type ThreadPath struct {
	ID string `path:"id" maxLength:"64" doc:"Of the thread."`
}

type listThreads struct {
	ChannelPath
	Paged
}

type newThread struct {
	ChannelPath
	Once
	Body struct {
		Title     string   `json:"title" minLength:"1" maxLength:"500"`
		Body      string   `json:"body,omitempty" maxLength:"60000" doc:"The first message, in Markdown."`
		Objective string   `json:"objective,omitempty" maxLength:"4000"`
		Assignee  string   `json:"assignee,omitempty" maxLength:"320" doc:"Address."`
		Start     string   `json:"start,omitempty" maxLength:"10" doc:"Date."`
		Due       string   `json:"due,omitempty" maxLength:"10" doc:"Date."`
		Labels    []string `json:"labels,omitempty" maxItems:"50"`
		BlockedBy []string `json:"blocked_by,omitempty" maxItems:"50" doc:"Ids of threads."`
	}
}

type changeThread struct {
	ThreadPath
	Unless
	Body struct {
		Title     *string   `json:"title,omitempty" minLength:"1" maxLength:"500"`
		Objective *string   `json:"objective,omitempty" maxLength:"4000"`
		State     *string   `json:"state,omitempty" enum:"open,waiting,decided,done"`
		Assignee  *string   `json:"assignee,omitempty" maxLength:"320" doc:"Address; empty for nobody."`
		Start     *string   `json:"start,omitempty" maxLength:"10" doc:"Date; empty for none."`
		Due       *string   `json:"due,omitempty" maxLength:"10" doc:"Date; empty for none."`
		Labels    *[]string `json:"labels,omitempty" maxItems:"50" doc:"All labels that it is to have."`
		BlockedBy *[]string `json:"blocked_by,omitempty" maxItems:"50" doc:"All threads that are to block it."`
	}
}

type markRead struct {
	ThreadPath
	Once
	Body struct {
		UpTo string `json:"up_to" maxLength:"64" doc:"Id of the newest message that you have read."`
	}
}

type followThread struct {
	ThreadPath
	Once
}

func (a *API) threadRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/channels/{id}/threads", id: "threads", tag: "threads",
		summary: "The threads of a channel, those with the newest messages first",
	}, a.listThreads)
	register(a, operation{
		method: http.MethodPost, path: "/channels/{id}/threads", id: "start-thread", tag: "threads", status: http.StatusCreated,
		summary: "Start a thread",
	}, a.startThread)
	register(a, operation{
		method: http.MethodGet, path: "/threads/{id}", id: "thread", tag: "threads", summary: "A thread",
	}, func(ctx context.Context, c *caller, in *ThreadPath) (*versioned[Thread], error) {
		return a.thread(ctx, c, in.ID)
	})
	register(a, operation{
		method: http.MethodPatch, path: "/threads/{id}", id: "change-thread", tag: "threads", summary: "Change a thread",
	}, a.changeThread)
	register(a, operation{
		method: http.MethodPost, path: "/threads/{id}/read", id: "mark-read", tag: "threads", status: http.StatusNoContent,
		summary: "Note how far you have read; nobody else learns of it",
	}, a.markRead)
	register(a, operation{
		method: http.MethodPost, path: "/threads/{id}/follow", id: "follow", tag: "threads", status: http.StatusNoContent,
		summary: "Follow a thread",
	}, func(ctx context.Context, c *caller, in *followThread) (*struct{}, error) {
		return nil, a.follow(ctx, c, in, true)
	})
	register(a, operation{
		method: http.MethodDelete, path: "/threads/{id}/follow", id: "unfollow", tag: "threads",
		summary: "Follow a thread no longer",
	}, func(ctx context.Context, c *caller, in *ThreadPath) (*struct{}, error) {
		return nil, a.follow(ctx, c, &followThread{ThreadPath: *in}, false)
	})
}

func (a *API) listThreads(ctx context.Context, c *caller, in *listThreads) (*listed[Thread], error) {
	if _, _, err := a.member(ctx, c, in.ID); err != nil {
		return nil, err
	}
	found, next, err := a.Threads.Threads(ctx, c.person.ID, in.ID, in.page())
	if err != nil {
		return nil, err
	}
	var people []string
	for _, t := range found {
		people = append(people, t.Author, t.Assignee)
	}
	addresses, err := a.names.addresses(ctx, people...)
	if err != nil {
		return nil, err
	}
	return listOf(ctx, found, next, func(t threads.ThreadRecord) Thread { return ownThread(addresses, t) }), nil
}

// threadRecord is a thread that the caller may see.
func (a *API) threadRecord(ctx context.Context, c *caller, id threads.Hash) (threads.ThreadRecord, error) {
	if !threads.IsHash(id) {
		return threads.ThreadRecord{}, notFound()
	}
	t, err := a.Threads.Thread(ctx, c.person.ID, id)
	return t, unseen(err)
}

func (a *API) thread(ctx context.Context, c *caller, id threads.Hash) (*versioned[Thread], error) {
	t, err := a.threadRecord(ctx, c, id)
	if err != nil {
		return nil, err
	}
	addresses, err := a.names.addresses(ctx, t.Author, t.Assignee)
	if err != nil {
		return nil, err
	}
	return &versioned[Thread]{ETag: etag(t.Version), Body: ownThread(addresses, t)}, nil
}

func (a *API) startThread(ctx context.Context, c *caller, in *newThread) (*versioned[Thread], error) {
	state, _, err := a.member(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	content := threads.ThreadContent{Title: &b.Title, Labels: flags(nil, b.Labels), BlockedBy: flags(nil, b.BlockedBy)}
	for value, field := range map[*string]**string{&b.Objective: &content.Objective, &b.Start: &content.Start, &b.Due: &content.Due} {
		if *value != "" {
			*field = value
		}
	}
	if b.Assignee != "" {
		if content.Assignee, err = a.assignee(ctx, b.Assignee); err != nil {
			return nil, err
		}
	}
	mentioned, err := a.mentions(ctx, state, b.Body)
	if err != nil {
		return nil, err
	}
	command := threads.StartThread{Channel: in.ID, Content: content, Body: b.Body, Mentions: mentioned}
	done, err := a.doOnce(ctx, c, command, in.Once, b)
	if err != nil {
		return nil, err
	}
	return a.thread(ctx, c, done.IDs[0])
}

// assignee is the id of the person whom an address names.
func (a *API) assignee(ctx context.Context, address string) (*string, error) {
	if address == "" {
		return &address, nil
	}
	p, err := a.person(ctx, address)
	if err != nil && problemOf(err).Status == http.StatusNotFound {
		return nil, invalid("/assignee", "must be the address of a member of the channel")
	}
	return &p.ID, err
}

// flags are the registers that make the set have what it is to have, and no more.
func flags(have, want []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range have {
		if !slices.Contains(want, name) {
			set[name] = false
		}
	}
	for _, name := range want {
		if !slices.Contains(have, name) {
			set[name] = true
		}
	}
	return set
}

func (a *API) changeThread(ctx context.Context, c *caller, in *changeThread) (*versioned[Thread], error) {
	end, err := a.alone(ctx, in.ID, in.Unless)
	if err != nil {
		return nil, err
	}
	defer end()
	t, err := a.threadRecord(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	if err := in.holds(t.Version); err != nil {
		return nil, err
	}
	b := in.Body
	content := threads.ThreadContent{
		Object: in.ID, Title: b.Title, Objective: b.Objective, State: b.State, Start: b.Start, Due: b.Due,
	}
	if b.Assignee != nil {
		if content.Assignee, err = a.assignee(ctx, *b.Assignee); err != nil {
			return nil, err
		}
	}
	if b.Labels != nil {
		content.Labels = flags(t.Labels, *b.Labels)
	}
	if b.BlockedBy != nil {
		content.BlockedBy = flags(t.BlockedBy, *b.BlockedBy)
	}
	if changes(content) {
		if _, err := a.do(ctx, c, threads.ChangeThread{Channel: t.Channel, Content: content}); err != nil {
			return nil, err
		}
	}
	return a.thread(ctx, c, in.ID)
}

// changes reports whether anything is set.
func changes(t threads.ThreadContent) bool {
	for _, field := range []*string{t.Title, t.Objective, t.State, t.Assignee, t.Start, t.Due} {
		if field != nil {
			return true
		}
	}
	return len(t.Labels)+len(t.BlockedBy) > 0
}

func (a *API) markRead(ctx context.Context, c *caller, in *markRead) (*struct{}, error) {
	if _, err := a.threadPlace(ctx, c, in.ID); err != nil {
		return nil, err
	}
	at, err := a.messagePlace(ctx, c, in.Body.UpTo)
	if err != nil || at.thread != in.ID {
		return nil, invalid("/up_to", "must be the id of a message of this thread")
	}
	if err := a.claimOnce(ctx, c, "mark-read", in.Once, in.Body); err != nil {
		return nil, err
	}
	return nil, a.Marks.MarkRead(ctx, c.person.ID, in.ID, in.Body.UpTo)
}

func (a *API) follow(ctx context.Context, c *caller, in *followThread, on bool) error {
	if _, err := a.threadPlace(ctx, c, in.ID); err != nil {
		return err
	}
	if err := a.claimOnce(ctx, c, "follow", in.Once, on); err != nil {
		return err
	}
	return a.Marks.Follow(ctx, c.person.ID, in.ID, on)
}
