package threads

import "time"

// StartThread makes a thread, with a first message unless Body is empty.
type StartThread struct {
	Channel  Hash
	Content  ThreadContent // Title is required
	Body     string
	Mentions []string
}

// In is the channel.
func (c StartThread) In() Hash { return c.Channel }

// Decide seals thread.created and, with a body, message.posted.
func (c StartThread) Decide(v *View) error {
	if err := v.needOpen(RightWork); err != nil {
		return err
	}
	if c.Content.Title == nil {
		return Refuse(Invalid, "required", "/title", "is required")
	}
	if err := v.checkThread(c.Content); err != nil {
		return err
	}
	if err := text(c.Body, "/body", MaxBody, false); err != nil {
		return err
	}
	thread, err := v.data(Draft{Type: TypeThreadCreated, Content: AppendThread(nil, c.Content, v.Pen.Salt())})
	if err != nil || c.Body == "" {
		return err
	}
	m := Message{Thread: thread.ID, Body: c.Body, Mentions: c.Mentions}
	return v.post(&m, Target{Ref: thread.Header.Ref()})
}

// ChangeThread sets registers of a thread.
type ChangeThread struct {
	Channel Hash
	Content ThreadContent // Object names the thread
}

// In is the channel.
func (c ChangeThread) In() Hash { return c.Channel }

// Decide seals thread.changed.
func (c ChangeThread) Decide(v *View) error {
	if err := v.needOpen(RightWork); err != nil {
		return err
	}
	thread, err := v.target(c.Content.Object, "/thread", TypeThreadCreated)
	if err != nil {
		return err
	}
	if err := v.checkThread(c.Content); err != nil {
		return err
	}
	content := AppendThread(nil, c.Content, v.Pen.Salt())
	_, err = v.data(Draft{Type: TypeThreadChanged, Content: content, Targets: []Ref{thread.Ref}})
	return err
}

func (v *View) checkThread(t ThreadContent) error {
	if t.Title != nil {
		if err := text(*t.Title, "/title", MaxTitle, true); err != nil {
			return err
		}
	}
	if t.Objective != nil {
		if err := text(*t.Objective, "/objective", MaxObjective, false); err != nil {
			return err
		}
	}
	if t.State != nil && !IsThreadState(*t.State) {
		return Refuse(Invalid, "invalid", "/state", "must be open, waiting, decided or done")
	}
	if t.Assignee != nil && *t.Assignee != "" && v.Channel.Role(*t.Assignee) == RoleNone {
		return Refuse(Invalid, "invalid", "/assignee", "must be a member of the channel")
	}
	return v.checkThreadFlags(t)
}

func (v *View) checkThreadFlags(t ThreadContent) error {
	if len(t.Labels) > MaxLabels || len(t.BlockedBy) > MaxLabels {
		return Refuse(TooLarge, "too_large", "/labels", "at most "+itoa(MaxLabels)+" at a time")
	}
	for label := range t.Labels {
		if !labelOK(label) {
			return Refuse(Invalid, "invalid", "/labels", "a label has 1 to 100 bytes, in NFC, without spaces at its ends")
		}
	}
	for id := range t.BlockedBy {
		if !IsHash(id) {
			return Refuse(Invalid, "invalid", "/blocked_by", "must be ids of threads")
		}
	}
	for field, date := range map[string]*string{"/start": t.Start, "/due": t.Due} {
		if date == nil || *date == "" {
			continue
		}
		if _, err := time.Parse(time.DateOnly, *date); err != nil {
			return Refuse(Invalid, "invalid", field, "must be a date like 2026-11-30")
		}
	}
	return nil
}

// Post writes a message into a thread.
type Post struct {
	Channel Hash
	Message Message
}

// In is the channel.
func (c Post) In() Hash { return c.Channel }

// Decide seals message.posted.
func (c Post) Decide(v *View) error {
	if err := v.needOpen(RightPost); err != nil {
		return err
	}
	if err := text(c.Message.Body, "/body", MaxBody, true); err != nil {
		return err
	}
	if len(c.Message.Mentions) > MaxMentions {
		return Refuse(TooLarge, "too_large", "/mentions", "at most "+itoa(MaxMentions)+" people can be mentioned")
	}
	if err := checkAttachments(c.Message.Attachments); err != nil {
		return err
	}
	if err := v.checkAsk(c.Message.Ask); err != nil {
		return err
	}
	thread, err := v.target(c.Message.Thread, "/thread", TypeThreadCreated)
	if err != nil {
		return err
	}
	targets := []Target{thread}
	if c.Message.ReplyTo != "" {
		parent, err := v.target(c.Message.ReplyTo, "/reply_to", TypeMessagePosted)
		if err != nil {
			return err
		}
		if parent.Thread != c.Message.Thread {
			return Refuse(Invalid, "invalid", "/reply_to", "is a message of another thread")
		}
		targets = []Target{parent, thread}
	}
	return v.post(&c.Message, targets...)
}

func (v *View) post(m *Message, targets ...Target) error {
	refs := make([]Ref, len(targets))
	for i, t := range targets {
		refs[i] = t.Ref
	}
	content := AppendMessage(make([]byte, 0, len(m.Body)+256), m, v.Pen.Salt())
	if len(content) > MaxContent {
		return Refuse(TooLarge, "too_large", "/body", "is too long once escaped; shorten it")
	}
	_, err := v.data(Draft{Type: TypeMessagePosted, Content: content, Targets: refs})
	return err
}

// Edit replaces the text of one's own message; the history stays.
type Edit struct {
	Channel Hash
	Target  Hash
	Body    string
}

// In is the channel.
func (c Edit) In() Hash { return c.Channel }

// Decide seals message.edited.
func (c Edit) Decide(v *View) error {
	if err := v.needOpen(RightPost); err != nil {
		return err
	}
	if err := text(c.Body, "/body", MaxBody, true); err != nil {
		return err
	}
	t, err := v.target(c.Target, "/message", TypeMessagePosted)
	if err != nil {
		return err
	}
	if t.Actor != v.Actor {
		return Refuse(Forbidden, "not_author", "/message", "only its author can edit a message")
	}
	if t.Erased {
		return Refuse(Conflict, "erased", "/message", "was erased")
	}
	content := AppendEdit(nil, c.Target, c.Body, v.Pen.Salt())
	if len(content) > MaxContent {
		return Refuse(TooLarge, "too_large", "/body", "is too long once escaped; shorten it")
	}
	_, err = v.data(Draft{Type: TypeMessageEdited, Content: content, Targets: []Ref{t.Ref}})
	return err
}

// Erase takes the text of a message, and of its edits, everywhere and for good.
type Erase struct {
	Channel Hash
	Target  Hash
}

// In is the channel.
func (c Erase) In() Hash { return c.Channel }

// Decide seals message.erased; erasing what is erased already changes nothing.
func (c Erase) Decide(v *View) error {
	if err := v.need(RightReact); err != nil {
		return err
	}
	t, err := v.target(c.Target, "/message", TypeMessagePosted)
	if err != nil || t.Erased {
		return err
	}
	if t.Actor != v.Actor && v.Channel.Role(v.Actor) != RoleOwner {
		return Refuse(Forbidden, "not_author", "/message", "only its author or an owner can erase a message")
	}
	if t.Thread == "" {
		return Refuse(Conflict, "not_arrived", "/message", "has not arrived here whole, so its place is not known; try again later")
	}
	content := AppendTombstone(nil, Tombstone{Thread: t.Thread, ReplyTo: t.ReplyTo}, v.Pen.Salt())
	_, err = v.data(Draft{Type: TypeMessageErased, Content: content, Erases: c.Target, Targets: []Ref{t.Ref}})
	return err
}

// React sets or takes back one's own reaction to a message.
type React struct {
	Channel Hash
	Target  Hash
	Emoji   string
	On      bool
}

// In is the channel.
func (c React) In() Hash { return c.Channel }

// Decide seals reaction.set.
func (c React) Decide(v *View) error {
	if err := v.needOpen(RightReact); err != nil {
		return err
	}
	if !emojiOK(c.Emoji) {
		return Refuse(Invalid, "invalid", "/emoji", "must be a text of 1 to 64 bytes without spaces")
	}
	t, err := v.target(c.Target, "/message", TypeMessagePosted)
	if err != nil {
		return err
	}
	if t.Erased {
		return Refuse(Conflict, "erased", "/message", "was erased")
	}
	content := AppendReaction(nil, c.Target, c.Emoji, c.On, v.Pen.Salt())
	_, err = v.data(Draft{Type: TypeReactionSet, Content: content, Targets: []Ref{t.Ref}})
	return err
}
