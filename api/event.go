package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"meridian/threads"
)

// Event is what happened, as long polls and WebSockets tell it: Data is the
// thing as it is after it, enough to show it without a further request.
type Event struct {
	Cursor string    `json:"cursor" doc:"Its place in the order in which this server stored everything; good for 30 days."`
	Type   string    `json:"type" doc:"Of the event, like message.posted, which comes again when the text or a file of a message arrives late; message.delivery when it changed which partner has a message of yours, told to clients that are open then and not again; event.unsupported for what a newer program wrote, which this one keeps and does not understand; resync when the cursor is too old: read everything anew and go on from here."`
	At     time.Time `json:"at"`
	Data   EventData `json:"data"`
	Notify bool      `json:"notify" doc:"Whether to draw the person's attention to it now."`
}

// EventData stands for the data of an event in the OpenAPI document.
type EventData struct{}

// Schema is any of what Data can be.
func (EventData) Schema(r huma.Registry) *huma.Schema {
	s := &huma.Schema{Description: "By type: message.delivery what became of a message of yours at a partner, other message.*, ask.* and reaction.set the message, thread.* the thread, channel.* the channel, " +
		"member.* the member, server.removed the server, person.erased who was erased, resync nothing."}
	s.AnyOf = []*huma.Schema{
		schemaIn[Message](r), schemaIn[Thread](r), schemaIn[Channel](r), schemaIn[MemberChange](r), schemaIn[ServerChange](r), schemaIn[PersonErased](r), schemaIn[Unsupported](r), schemaIn[DeliveryChange](r), schemaIn[Nothing](r),
	}
	return s
}

// MemberChange is the data of member.joined, member.role and member.removed.
type MemberChange struct {
	Channel string `json:"channel"`
	Address string `json:"address"`
	Role    string `json:"role,omitempty" enum:"reader,guest,member,owner" doc:"Absent for who is no member any more."`
}

// ServerChange is the data of server.removed.
type ServerChange struct {
	Channel string `json:"channel"`
	Server  string `json:"server"`
}

// Unsupported is the data of event.unsupported: something was written that a newer
// program than this server's has a word for. It is kept as it came, and takes
// effect once this server is brought up to date.
type Unsupported struct {
	Channel string `json:"channel"`
	ID      string `json:"id" doc:"Of the event."`
	Kind    string `json:"kind" doc:"The type that is not known here."`
	Person  string `json:"person" doc:"Id of whoever wrote it."`
}

// eventUnsupported stands for events of types that are not known here.
const eventUnsupported = "event.unsupported"

// PersonErased is the data of person.erased: what is kept of the channel has to
// be read anew.
type PersonErased struct {
	Channel string `json:"channel"`
	Person  string `json:"person" doc:"Their opaque id; name and address are gone."`
}

// Nothing is the data of resync.
type Nothing struct{}

const typeResync = "resync"

// cursorLife is how long a cursor can be resumed from.
const cursorLife = 30 * 24 * time.Hour

// cursorOf names a journal position to clients, with the hour of naming it.
func cursorOf(pos int64, now time.Time) string {
	raw := strconv.FormatInt(pos, 36) + "." + strconv.FormatInt(now.Unix()/3600, 36)
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

// parseCursor is the position that a cursor names, and whether it is still good.
func parseCursor(cursor string, now time.Time) (pos int64, fresh, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, false, false
	}
	first, second, found := strings.Cut(string(raw), ".")
	pos, err = strconv.ParseInt(first, 36, 64)
	hour, err2 := strconv.ParseInt(second, 36, 64)
	if !found || err != nil || err2 != nil || pos < 0 {
		return 0, false, false
	}
	return pos, now.Sub(time.Unix(hour*3600, 0)) < cursorLife, true
}

// item is an event as it goes out, encoded once for everybody.
type item struct {
	pos     int64
	kind    string
	channel threads.Hash
	object  threads.Hash // the message that it is about
	also    string       // who sees it besides the members: the one removed
	told    []string     // whom it is to tell now
	quiet   []byte       // a WebSocket text frame with notify false
	loud    []byte       // the same with notify true; nil where nobody is told
	drop    dropped      // its text was erased since
}

// frame is what the person gets of it.
func (i *item) frame(person string) []byte {
	for _, p := range i.told {
		if p == person {
			return i.loud
		}
	}
	return i.quiet
}

// json is the event object that the person gets.
func (i *item) json(person string) json.RawMessage { return payloadOf(i.frame(person)) }

// encoder turns journal entries into items.
type encoder struct{ a *API }

// encode is the item of an entry, nil where nobody is to see it.
func (c encoder) encode(ctx context.Context, entry threads.Entry) (*item, error) {
	e := entry.Event
	if entry.Void {
		return nil, nil
	}
	i := &item{pos: entry.Pos, kind: e.Header.Type, channel: e.Channel()}
	data, err := c.data(ctx, entry, i)
	if err != nil || data == nil {
		return nil, err
	}
	return i, c.fill(i, data, e.Header.Time.Wall())
}

func (c encoder) data(ctx context.Context, entry threads.Entry, i *item) (any, error) {
	e := entry.Event
	switch e.Header.Type {
	case threads.TypeMessagePosted:
		if entry.Filled {
			return c.message(ctx, e.ID, i)
		}
		return c.posted(ctx, e, i)
	case threads.TypeMessageErased:
		return c.message(ctx, e.Header.Erases, i)
	case threads.TypeMessageEdited, threads.TypeReactionSet, threads.TypeAskDeclined, threads.TypeAskWithdrawn:
		return c.message(ctx, objectOf(e), i)
	case threads.TypeThreadCreated:
		return c.thread(ctx, e.ID, i)
	case threads.TypeThreadChanged:
		return c.thread(ctx, objectOf(e), i)
	case threads.TypeChannelCreated, threads.TypeChannelSettings, threads.TypeChannelArchived:
		state, err := c.a.Journal.Channel(ctx, i.channel)
		if err != nil || state == nil {
			return nil, err
		}
		return channelState(state), nil
	case threads.TypePersonErased:
		c.a.Erased(e.Header.Actor)
		return PersonErased{Channel: i.channel, Person: e.Header.Actor}, nil
	case threads.TypeMemberJoined, threads.TypeMemberRole, threads.TypeMemberRemoved:
		return c.member(ctx, e, i)
	case threads.TypeServerRemoved:
		return ServerChange{Channel: i.channel, Server: content(e).text("server")}, nil
	}
	if threads.TypeOf(e.Header.Type).Name == "" {
		i.kind = eventUnsupported
		return Unsupported{Channel: i.channel, ID: e.ID, Kind: e.Header.Type, Person: e.Header.Actor}, nil
	}
	return nil, nil
}

// objectOf is the thing that an event changes, "" where its content is not held.
func objectOf(e *threads.Event) threads.Hash {
	writes := threads.EffectsOf(e).Writes
	if len(writes) == 0 {
		return ""
	}
	return writes[0].Object
}

// posted is a message as it was posted: nothing is read for it.
func (c encoder) posted(ctx context.Context, e *threads.Event, i *item) (any, error) {
	m := threads.EffectsOf(e).Message
	if m == nil {
		return c.message(ctx, e.ID, i)
	}
	i.object = e.ID
	c.a.places.known.Add(e.ID, place{i.channel, m.Thread})
	if len(m.Attachments) > 0 || m.Ask != nil { // where the files are, and what became of the ask, stands in the store alone
		data, err := c.message(ctx, e.ID, i)
		if err != nil || data == nil {
			return nil, err
		}
		return data, c.tell(ctx, i, e.Header.Actor, m.Mentions)
	}
	record := threads.MessageRecord{
		ID: e.ID, Channel: i.channel, Thread: m.Thread, ReplyTo: m.ReplyTo, Author: e.Header.Actor,
		Time: m.SortTime(e).Wall(), Body: m.Body, AttributedTo: m.AttributedTo, OriginalID: m.OriginalID,
		InReplyTo: m.InReplyTo, Mentions: m.Mentions,
	}
	addresses, err := c.a.names.addresses(ctx, peopleOf(&record)...)
	if err != nil {
		return nil, err
	}
	return messageOf(addresses, &record), c.tell(ctx, i, e.Header.Actor, m.Mentions)
}

// tell notes whom a message is to tell at once: those whom it mentions, but
// nobody in a social channel.
func (c encoder) tell(ctx context.Context, i *item, author string, mentions []string) error {
	if len(mentions) == 0 {
		return nil
	}
	state, err := c.a.Journal.Channel(ctx, i.channel)
	if err != nil || state == nil || state.Settings.Kind == "social" {
		return err
	}
	for _, person := range mentions {
		if person != author {
			i.told = append(i.told, person)
		}
	}
	return nil
}

// message is a message as it is now; nil where it is not known or does not count.
func (c encoder) message(ctx context.Context, id threads.Hash, i *item) (any, error) {
	if id == "" {
		return nil, nil
	}
	i.object = id
	viewer, err := c.viewer(ctx, i.channel)
	if viewer == "" || err != nil {
		return nil, err
	}
	m, err := c.a.Messages.Message(ctx, viewer, id)
	if isKind(err, threads.NotFound) || m.Hidden {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	addresses, err := c.a.names.addresses(ctx, peopleOf(&m)...)
	return messageOf(addresses, &m), err
}

// thread is a thread as it is now, to nobody in particular.
func (c encoder) thread(ctx context.Context, id threads.Hash, i *item) (any, error) {
	viewer, err := c.viewer(ctx, i.channel)
	if viewer == "" || id == "" || err != nil {
		return nil, err
	}
	t, err := c.a.Threads.Thread(ctx, viewer, id)
	if isKind(err, threads.NotFound) || t.Hidden {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read thread: %w", err)
	}
	addresses, err := c.a.names.addresses(ctx, t.Author, t.Assignee)
	return threadOf(addresses, t), err
}

// viewer is a member of this server through whose eyes the channel can be read,
// "" where there is none, and so nobody to tell.
func (c encoder) viewer(ctx context.Context, channel threads.Hash) (string, error) {
	state, err := c.a.Journal.Channel(ctx, channel)
	if err != nil || state == nil {
		return "", err
	}
	if person, ok := c.a.viewers.Get(channel); ok && state.Role(person) != threads.RoleNone {
		return person, nil
	}
	for _, p := range state.People() {
		if threads.ServerOf(p.ID) == c.a.server {
			c.a.viewers.Add(channel, p.ID)
			return p.ID, nil
		}
	}
	return "", nil
}

func (c encoder) member(ctx context.Context, e *threads.Event, i *item) (any, error) {
	o := content(e)
	person := o.text("person")
	if e.Header.Type == threads.TypeMemberRemoved {
		i.also = person
	}
	addresses, err := c.a.names.addresses(ctx, person)
	return MemberChange{Channel: i.channel, Address: addresses[person], Role: o.text("role")}, err
}

// object reads members of an event's content.
type object struct{ threads.Object }

func content(e *threads.Event) object {
	o, err := threads.ParseCanonical(e.Content, threads.MaxContent)
	if err != nil { // stored contents were checked; one that is not held has no members
		return object{}
	}
	return object{o}
}

func (o object) text(key string) string {
	s, _, err := o.String(key)
	if err != nil {
		return ""
	}
	return s
}

// fill writes the frames of an item.
func (c encoder) fill(i *item, data any, at time.Time) error {
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	if err := e.Encode(data); err != nil {
		return fmt.Errorf("encode %s: %w", i.kind, err)
	}
	start := fmt.Sprintf(`{"cursor":%q,"type":%q,"at":%q,"data":`, cursorOf(i.pos, c.a.clock()), i.kind, at.Format(time.RFC3339Nano))
	body := bytes.TrimRight(encoded.Bytes(), "\n")
	i.quiet = textFrame(start, body, `,"notify":false}`)
	if len(i.told) > 0 {
		i.loud = textFrame(start, body, `,"notify":true}`)
	}
	return nil
}
