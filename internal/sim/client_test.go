package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/threads"
	"meridian/threads/journal"
)

// post is a message or a thread that a client was told is stored.
type post struct {
	channel  *channel
	thread   threads.Hash
	id       threads.Hash
	by       *node
	actor    string
	texts    []string       // that it had, each found by its one word
	file     threads.Hash   // that it has, "" for none
	forgets  bool           // somebody asked to have it erased
	erasures []threads.Hash // events that clients were told erase it
}

// attempt is a client's request, repeated under its key until its outcome is known.
type attempt struct {
	node    *node
	request journal.Request
	done    func(ids []threads.Hash)
	ids     []threads.Hash // once it is acknowledged
}

// try has a client of the node make a request and reports whether it is
// acknowledged. One whose outcome is unknown is repeated later; done is called
// once it is known to be stored.
func (w *world) try(n *node, actor string, c threads.Command, done func(ids []threads.Hash)) bool {
	key := w.newID()
	a := &attempt{node: n, done: done, request: journal.Request{
		Actor: actor, Command: c, Now: n.now(), Key: key, Digest: threads.HashOf([]byte(key)),
	}}
	if settled := w.send(a); !settled {
		w.counts.add("unknown outcome")
		w.unsure = append(w.unsure, a)
	}
	return a.ids != nil
}

// send makes or repeats a request and reports whether its outcome is known now.
func (w *world) send(a *attempt) bool {
	a.request.Now = a.node.now()
	result, err := a.node.journal.Do(context.Background(), a.request)
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Code == "not_stored" { // other refusals are outcomes
		return false
	}
	if err != nil {
		w.note("%s: %T refused: %v", a.node.name, a.request.Command, err)
		w.checkRefusal(a, refused)
		return true
	}
	w.note("%s: %T by %s", a.node.name, a.request.Command, a.request.Actor[len(a.request.Actor)-1:])
	a.ids = result.IDs
	if a.ids == nil {
		a.ids = []threads.Hash{}
	}
	if len(a.ids) > 0 && a.node.liar == nil {
		w.acked = append(w.acked, a)
	}
	if a.done != nil && len(a.ids) > 0 {
		a.done(a.ids)
		a.done = nil
	}
	return true
}

// retry repeats requests of unknown outcome at servers that are up.
func (w *world) retry() {
	var still []*attempt
	for _, a := range w.unsure {
		if !a.node.up() || !w.send(a) {
			still = append(still, a)
		}
	}
	w.unsure = still
}

// place is where a client can write: a server that is up, a channel that it is
// in, and one of its people who is a member as far as the server knows.
type place struct {
	node    *node
	channel *channel
	view    *threads.Channel
	actor   string
}

func (w *world) place() (place, bool) {
	n := w.pick()
	var all []place
	for _, ch := range w.channels {
		if !n.up() {
			break
		}
		for _, person := range n.people {
			if c := n.channel(ch.id); c != nil && c.Role(person) != threads.RoleNone && !w.erased[ch][person] {
				all = append(all, place{n, ch, c, person})
			}
		}
	}
	if len(all) == 0 {
		return place{}, false
	}
	return all[w.rng.IntN(len(all))], true
}

// word is a text that stands nowhere else.
func (w *world) word() string {
	w.words++
	return fmt.Sprintf("canary%dx%d", w.seed, w.words)
}

func (w *world) startThread() bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	title, body := w.word(), w.word()
	c := threads.StartThread{Channel: p.channel.id, Content: threads.ThreadContent{Title: &title}, Body: body}
	return w.try(p.node, p.actor, c, func(ids []threads.Hash) {
		w.threads = append(w.threads, &post{channel: p.channel, thread: ids[0], id: ids[0], by: p.node, actor: p.actor, texts: []string{title}})
		w.posts = append(w.posts, &post{channel: p.channel, thread: ids[0], id: ids[1], by: p.node, actor: p.actor, texts: []string{body}})
	})
}

// some is a random one of the channel's, nil when there is none.
func (w *world) some(all []*post, c *channel) *post {
	for range 20 {
		if len(all) == 0 {
			return nil
		}
		if p := all[w.rng.IntN(len(all))]; p.channel == c {
			return p
		}
	}
	return nil
}

func (w *world) write(reply bool) bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	m := threads.Message{Body: w.word()}
	if reply {
		parent := w.some(w.posts, p.channel)
		if parent == nil {
			return false
		}
		m.Thread, m.ReplyTo = parent.thread, parent.id
	} else if thread := w.some(w.threads, p.channel); thread != nil {
		m.Thread = thread.thread
	} else {
		return false
	}
	return w.try(p.node, p.actor, threads.Post{Channel: p.channel.id, Message: m}, func(ids []threads.Hash) {
		w.posts = append(w.posts, &post{channel: p.channel, thread: m.Thread, id: ids[0], by: p.node, actor: p.actor, texts: []string{m.Body}})
	})
}

func (w *world) edit() bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	target := w.some(w.posts, p.channel)
	if target == nil || !target.by.up() {
		return false
	}
	body := w.word()
	// Known before it is stored: a lost answer must not hide a text from the search for erased ones.
	target.texts = append(target.texts, body)
	return w.try(target.by, target.actor, threads.Edit{Channel: p.channel.id, Target: target.id, Body: body}, nil)
}

// erase is done by the author or by whoever is an owner at the place.
func (w *world) erase() bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	target := w.some(w.posts, p.channel)
	if target == nil {
		return false
	}
	n, actor := p.node, p.actor
	if p.view.Role(actor) != threads.RoleOwner && target.by.up() {
		n, actor = target.by, target.actor
	}
	target.forgets = true
	return w.try(n, actor, threads.Erase{Channel: p.channel.id, Target: target.id}, func(ids []threads.Hash) {
		target.erasures = append(target.erasures, ids[0])
	})
}

// erasePerson has somebody's server erase all that they wrote in a channel.
func (w *world) erasePerson() bool {
	p, ok := w.place()
	if !ok || p.actor == p.node.people[0] || p.node.liar != nil {
		return false
	}
	if w.erased[p.channel] == nil {
		w.erased[p.channel] = map[string]bool{}
	}
	w.erased[p.channel][p.actor] = true // who is erased has no account to write with
	return w.try(p.node, p.actor, threads.ErasePerson{Channel: p.channel.id}, nil)
}

func (w *world) react() bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	target := w.some(w.posts, p.channel)
	return target != nil && w.try(p.node, p.actor, threads.React{
		Channel: p.channel.id, Target: target.id, Emoji: []string{"👍", "❤"}[w.rng.IntN(2)], On: w.rng.IntN(3) > 0,
	}, nil)
}

func (w *world) changeThread() bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	thread := w.some(w.threads, p.channel)
	if thread == nil {
		return false
	}
	state := []string{"open", "waiting", "decided", "done"}[w.rng.IntN(4)]
	content := threads.ThreadContent{
		Object: thread.id, State: &state,
		Labels: map[string]bool{[]string{"red", "blue"}[w.rng.IntN(2)]: w.rng.IntN(2) == 0},
	}
	if w.rng.IntN(3) == 0 {
		title := w.word()
		content.Title = &title
	}
	return w.try(p.node, p.actor, threads.ChangeThread{Channel: p.channel.id, Content: content}, nil)
}

// again repeats an acknowledged request: it must come to the same and change nothing.
func (w *world) again() bool {
	if len(w.acked) == 0 {
		return false
	}
	a := w.acked[w.rng.IntN(len(w.acked))]
	if !a.node.up() {
		return false
	}
	result, err := a.node.journal.Do(context.Background(), a.request)
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.Unavailable {
		return false
	}
	if refused != nil && refused.Code == "idempotency_mismatch" && w.mayBeErased(a) {
		return true // what was erased is not known by its digest either
	}
	if err != nil || !result.Repeated || fmt.Sprint(result.IDs) != fmt.Sprint(a.ids) {
		w.fail("%T repeated under its key came to %v, %v; first to %v", a.request.Command, result.IDs, err, a.ids)
	}
	return true
}

// mayBeErased reports whether somebody asked to have erased what a request wrote,
// or its author did of all: then its digest is forgotten with it, even where the
// erasure itself was cut away later.
func (w *world) mayBeErased(a *attempt) bool {
	if w.erased[w.channelOf(a.request.Command.In())][a.request.Actor] {
		return true
	}
	return slices.ContainsFunc(w.posts, func(p *post) bool { return p.forgets && slices.Contains(a.ids, p.id) }) ||
		a.node.erased(a.ids)
}

// erased reports whether the node holds an erasure of one of the events,
// whoever made it.
func (n *node) erased(ids []threads.Hash) bool {
	return slices.ContainsFunc(n.entries(), func(e threads.Entry) bool { return slices.Contains(ids, e.Event.Header.Erases) })
}

// retryAll settles every unknown outcome once the world is whole.
func (w *world) retryAll() {
	w.retry()
	if len(w.unsure) > 0 {
		w.fail("%d requests have no outcome in a whole world", len(w.unsure))
	}
	w.now = w.now.Add(time.Second)
}
