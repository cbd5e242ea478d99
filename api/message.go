package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// Message is a message in its thread. Who is missing from reactions and
// mentions was not known here.
type Message struct {
	ID           string       `json:"id"`
	Channel      string       `json:"channel"`
	Thread       string       `json:"thread"`
	ReplyTo      string       `json:"reply_to,omitempty" doc:"Id of a message of the same thread."`
	Author       string       `json:"author" doc:"Address."`
	Time         time.Time    `json:"time" doc:"By which the thread shows it."`
	Body         string       `json:"body" doc:"Markdown; empty when erased or missing."`
	Edited       *time.Time   `json:"edited,omitempty" doc:"When it was last edited."`
	Erased       bool         `json:"erased,omitempty"`
	Missing      bool         `json:"missing,omitempty" doc:"Its text has not arrived yet."`
	Hidden       bool         `json:"hidden,omitempty" doc:"It does not count: its author had lost the right to write it. Only the author sees it."`
	AttributedTo string       `json:"attributed_to,omitempty" doc:"Author of an imported message, as its archive names them."`
	MessageID    string       `json:"message_id,omitempty" doc:"Message-ID of an imported message."`
	InReplyTo    string       `json:"in_reply_to,omitempty" doc:"Message-ID of a parent that the archive does not hold."`
	Mentions     []string     `json:"mentions,omitempty" doc:"Addresses."`
	Attachments  []Attachment `json:"attachments,omitempty"`
	Reactions    []Reaction   `json:"reactions,omitempty"`
	Ask          *Ask         `json:"ask,omitempty" doc:"What it asks of people."`
}

// Reaction is one emoji on a message and who set it.
type Reaction struct {
	Emoji  string   `json:"emoji"`
	People []string `json:"people" nullable:"false" doc:"Addresses."`
}

// Edition is one text that a message had.
type Edition struct {
	Time time.Time `json:"time"`
	Body string    `json:"body"`
}

// Delivery is what became of a message at one partner.
type Delivery struct {
	Partner  string     `json:"partner"`
	State    string     `json:"state" enum:"queued,delivered,rejected,parked,removed"`
	Since    *time.Time `json:"since" doc:"Null where it is not known."`
	Attempts int64      `json:"attempts"`
	Error    string     `json:"error" doc:"In plain words; empty when there is none."`
	Remedy   string     `json:"remedy"`
}

func deliveryOf(o threads.Outcome) Delivery {
	return Delivery{o.Partner, o.State, unlessZero(o.Since), o.Attempts, o.Error, o.Remedy}
}

// peopleOf are all whom a message names.
func peopleOf(m *threads.MessageRecord) []string {
	people := slices.Concat([]string{m.Author}, m.Mentions, m.Ask.People())
	for _, r := range m.Reactions {
		people = append(people, r.People...)
	}
	return people
}

func messageOf(addresses map[string]string, m *threads.MessageRecord) Message {
	shown := Message{
		ID: m.ID, Channel: m.Channel, Thread: m.Thread, ReplyTo: m.ReplyTo, Author: addresses[m.Author],
		Time: m.Time.UTC(), Body: m.Body, Edited: unlessZero(m.Edited), Erased: m.Erased, Missing: m.Missing,
		Hidden: m.Hidden, AttributedTo: m.AttributedTo, MessageID: m.OriginalID, InReplyTo: m.InReplyTo,
		Mentions: mapped(addresses, m.Mentions), Attachments: attachmentsOf(m), Ask: askOf(addresses, m),
	}
	for _, r := range m.Reactions {
		shown.Reactions = append(shown.Reactions, Reaction{Emoji: r.Emoji, People: mapped(addresses, r.People)})
	}
	return shown
}

func mapped(addresses map[string]string, ids []string) []string {
	var found []string
	for _, id := range ids {
		found = append(found, addresses[id])
	}
	return found
}

// MessagePath names a message.
type MessagePath struct {
	ID string `path:"id" maxLength:"64" doc:"Of the message."`
}

type listMessages struct {
	ThreadPath
	Paged
}

type postMessage struct {
	ThreadPath
	Once
	Body struct {
		Body        string       `json:"body" minLength:"1" maxLength:"60000" doc:"Markdown. @name@server mentions a member."`
		ReplyTo     string       `json:"reply_to,omitempty" maxLength:"64" doc:"Id of a message of the same thread."`
		Attachments []AttachFile `json:"attachments,omitempty" maxItems:"20" doc:"Files of the message; an edit leaves them as they are."`
		Ask         *NewAsk      `json:"ask,omitempty" doc:"What it asks of people; an edit leaves that as it is."`
	}
}

type editMessage struct {
	MessagePath
	Unless
	Body struct {
		Body string `json:"body" minLength:"1" maxLength:"60000" doc:"Markdown."`
	}
}

func (a *API) messageRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/threads/{id}/messages", id: "messages", tag: "messages",
		summary: "The messages of a thread, in the order in which it shows them",
	}, a.listMessages)
	register(a, operation{
		method: http.MethodPost, path: "/threads/{id}/messages", id: "post-message", tag: "messages", status: http.StatusCreated,
		summary: "Write a message: answered when it is durable here",
	}, a.postMessage)
	register(a, operation{
		method: http.MethodGet, path: "/messages/{id}", id: "message", tag: "messages", summary: "A message",
	}, func(ctx context.Context, c *caller, in *MessagePath) (*versioned[Message], error) {
		return a.message(ctx, c, in.ID)
	})
	register(a, operation{
		method: http.MethodPatch, path: "/messages/{id}", id: "edit-message", tag: "messages",
		summary: "Edit a message of yours; its history stays",
	}, a.editMessage)
	register(a, operation{
		method: http.MethodDelete, path: "/messages/{id}", id: "erase-message", tag: "messages",
		summary: "Erase a message and its history, at every server and for good",
	}, a.eraseMessage)
	a.fateRoutes()
	a.askRoutes()
}

func (a *API) listMessages(ctx context.Context, c *caller, in *listMessages) (*listed[Message], error) {
	if _, err := a.threadPlace(ctx, c, in.ID); err != nil {
		return nil, err
	}
	found, next, err := a.Messages.Messages(ctx, c.person.ID, in.ID, in.page())
	if err != nil {
		return nil, err
	}
	var people []string
	for i := range found {
		people = append(people, peopleOf(&found[i])...)
	}
	addresses, err := a.names.addresses(ctx, people...)
	if err != nil {
		return nil, err
	}
	return listOf(ctx, found, next, func(m threads.MessageRecord) Message { return messageOf(addresses, &m) }), nil
}

// messageRecord is a message that the caller may see.
func (a *API) messageRecord(ctx context.Context, c *caller, id threads.Hash) (threads.MessageRecord, error) {
	if !threads.IsHash(id) {
		return threads.MessageRecord{}, notFound()
	}
	m, err := a.Messages.Message(ctx, c.person.ID, id)
	return m, unseen(err)
}

func (a *API) message(ctx context.Context, c *caller, id threads.Hash) (*versioned[Message], error) {
	m, err := a.messageRecord(ctx, c, id)
	if err != nil {
		return nil, err
	}
	addresses, err := a.names.addresses(ctx, peopleOf(&m)...)
	if err != nil {
		return nil, err
	}
	return &versioned[Message]{ETag: etag(m.Version), Body: messageOf(addresses, &m)}, nil
}

// postMessage is the path that is walked most: nothing in it reads the store
// once the thread and the people mentioned are known.
func (a *API) postMessage(ctx context.Context, c *caller, in *postMessage) (*versioned[Message], error) {
	at, err := a.threadPlace(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	m := threads.Message{Thread: in.ID, ReplyTo: in.Body.ReplyTo, Body: in.Body.Body}
	var state *threads.Channel
	if strings.Contains(m.Body, "@") {
		if state, err = a.Journal.Channel(ctx, at.channel); err != nil {
			return nil, err
		}
		if m.Mentions, err = a.mentions(ctx, state, m.Body); err != nil {
			return nil, err
		}
	}
	if m.Attachments, err = a.attachments(ctx, c, in.Body.Attachments); err != nil {
		return nil, err
	}
	if m.Ask, err = a.ask(ctx, c, in.Body.Ask); err != nil {
		return nil, err
	}
	done, err := a.doOnce(ctx, c, threads.Post{Channel: at.channel, Message: m}, in.Once, in.Body)
	if err != nil {
		return nil, err
	}
	if done.Repeated {
		return a.message(ctx, c, done.IDs[0])
	}
	e := done.Events[0]
	a.places.known.Add(e.ID, place{at.channel, in.ID})
	if len(m.Attachments) > 0 || m.Ask != nil {
		return a.message(ctx, c, e.ID)
	}
	addresses, err := a.names.addresses(ctx, m.Mentions...)
	if err != nil {
		return nil, err
	}
	return &versioned[Message]{ETag: etag(done.Last), Body: Message{
		ID: e.ID, Channel: at.channel, Thread: in.ID, ReplyTo: m.ReplyTo, Author: c.person.Address,
		Time: e.Header.Time.Wall(), Body: m.Body, Mentions: mapped(addresses, m.Mentions),
	}}, nil
}

// mentions are the members of the channel whom the text names as @name@server.
func (a *API) mentions(ctx context.Context, channel *threads.Channel, body string) ([]string, error) {
	var ids []string
	for i, found := 0, 0; i < len(body) && found < threads.MaxMentions; i++ {
		address := mention(body, i)
		if address == "" {
			continue
		}
		found++
		i += len(address)
		p, err := a.People.PersonByAddress(ctx, address)
		if isKind(err, threads.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if channel.Role(p.ID) != threads.RoleNone && !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids, nil
}

// mention is the address after an @ at i that starts a word, in lower case; "" where none stands.
func mention(body string, i int) string {
	if body[i] != '@' || i > 0 && addressByte(body[i-1]) {
		return ""
	}
	end := i + 1
	for end < len(body) && (addressByte(body[end]) || body[end] == '@') {
		end++
	}
	address := strings.TrimRight(body[i+1:end], ".:-_")
	name, server, ok := strings.Cut(address, "@")
	if !ok || name == "" || server == "" || strings.Contains(server, "@") {
		return ""
	}
	return strings.ToLower(address)
}

func addressByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".:-_[]", c) >= 0
}

func (a *API) editMessage(ctx context.Context, c *caller, in *editMessage) (*versioned[Message], error) {
	end, err := a.alone(ctx, in.ID, in.Unless)
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := a.messageRecord(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	if err := in.holds(m.Version); err != nil {
		return nil, err
	}
	if _, err := a.do(ctx, c, threads.Edit{Channel: m.Channel, Target: in.ID, Body: in.Body.Body}); err != nil {
		return nil, err
	}
	return a.message(ctx, c, in.ID)
}

func (a *API) eraseMessage(ctx context.Context, c *caller, in *MessagePath) (*struct{}, error) {
	m, err := a.messageRecord(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	_, err = a.do(ctx, c, threads.Erase{Channel: m.Channel, Target: in.ID})
	return nil, err
}

// fateRoutes tell what became of a message.
func (a *API) fateRoutes() {
	type deliveries struct {
		Body []Delivery `nullable:"false"`
	}
	type editions struct{ Body List[Edition] }
	register(a, operation{
		method: http.MethodGet, path: "/messages/{id}/delivery", id: "delivery", tag: "messages",
		summary: "Which partner organisations have a message, which have not, and why",
	}, func(ctx context.Context, c *caller, in *MessagePath) (*deliveries, error) {
		outcomes, err := a.Fates.Delivery(ctx, c.person.ID, in.ID)
		out := &deliveries{Body: make([]Delivery, len(outcomes))}
		for i, o := range outcomes {
			out.Body[i] = deliveryOf(o)
		}
		return out, unseen(err)
	})
	register(a, operation{
		method: http.MethodGet, path: "/messages/{id}/history", id: "history", tag: "messages",
		summary: "All texts that a message had, oldest first",
	}, func(ctx context.Context, c *caller, in *MessagePath) (*editions, error) {
		found, err := a.Fates.Editions(ctx, c.person.ID, in.ID)
		out := &editions{List[Edition]{Items: make([]Edition, len(found))}}
		for i, e := range found {
			out.Body.Items[i] = Edition{Time: e.Time.UTC(), Body: e.Body}
		}
		return out, unseen(err)
	})
}
