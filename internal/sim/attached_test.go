package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meridian/federation"
	"meridian/internal/blobs"
	"meridian/internal/store"
	"meridian/threads"
)

// The simulation's files are small: what is tried is who gives, keeps and drops them.
const maxFile = 1 << 20

// shared are a server's files as its partners get them.
type shared struct{ *node }

func (s shared) Citations(ctx context.Context, channel, digest threads.Hash) ([]threads.Ref, error) {
	return s.store.Citations(ctx, channel, digest)
}

func (s shared) OpenFile(digest threads.Hash) (io.ReadSeekCloser, error) { return s.dir.Open(digest) }

// attach posts a message with a file of its own.
func (w *world) attach() bool {
	p, ok := w.place()
	if !ok {
		return false
	}
	thread := w.some(w.threads, p.channel)
	if thread == nil {
		return false
	}
	ctx, n := context.Background(), p.node
	text := w.word()
	in, err := n.dir.Receive(bytes.NewReader(bytes.Repeat([]byte(text+"\n"), 1+w.rng.IntN(200))), maxFile)
	w.must(err)
	file := threads.Attachment{Digest: in.Digest, Size: in.Size, Type: "text/plain", Name: text + ".txt"}
	upload := store.Upload{Person: p.actor, File: file, At: n.now()}
	w.must(n.store.KeepUpload(ctx, upload, store.Quotas{Person: maxFile << 10, Total: maxFile << 10}, in.Keep))
	w.must(in.Drop())
	m := threads.Message{Thread: thread.thread, Body: w.word(), Attachments: []threads.Attachment{file}}
	return w.try(n, p.actor, threads.Post{Channel: p.channel.id, Message: m}, func(ids []threads.Hash) {
		w.posts = append(w.posts, &post{
			channel: p.channel, thread: m.Thread, id: ids[0], by: n, actor: p.actor, texts: []string{m.Body}, file: file.Digest,
		})
	})
}

// fetchFiles asks members for what is lacking, as the server's step does.
func (w *world) fetchFiles(n *node) {
	lacking, err := n.store.LackingFiles(context.Background(), n.now(), 4, maxFile)
	w.must(err)
	for _, l := range lacking {
		if err := w.fetch(n, l); err != nil {
			w.note("%s: fetch %s: %v", n.name, l.Digest, err)
			w.must(n.store.PutOff(context.Background(), l, n.now().Add(10*time.Second)))
		}
	}
}

var errNotGiven = errors.New("no member gave it")

func (w *world) fetch(n *node, l store.Lacking) error {
	c := n.channel(l.Channel)
	if c == nil || !c.IsMember(n.name) {
		return errNotGiven
	}
	part, err := n.dir.Resume(l.Channel + "/" + l.Digest)
	w.must(err)
	servers := c.Servers()
	for _, i := range w.rng.Perm(len(servers)) {
		if servers[i] == n.name || !w.fetchFrom(n, servers[i], l, part) {
			continue
		}
		size := part.Size()
		w.must(part.Close())
		w.counts.add("file fetched")
		return n.journal.Arrive(context.Background(), threads.Arrival{Channel: l.Channel, Digest: l.Digest, Size: size})
	}
	w.must(part.Close())
	return errNotGiven
}

// fetchFrom has one member give the rest of a file and keeps it when it is whole.
func (w *world) fetchFrom(n *node, server string, l store.Lacking, part *blobs.Partial) bool {
	for {
		before := part.Size()
		ask := federation.FileAsk{Server: server, Channel: l.Channel, Digest: l.Digest, From: before, Limit: maxFile}
		size, err := n.exchange.FetchFile(context.Background(), ask, part)
		switch {
		case size > 0 && part.Size() == size:
			err := part.Keep(l.Digest)
			if errors.Is(err, blobs.ErrWrong) {
				w.counts.add("wrong file dropped")
				return false
			}
			w.must(err)
			return true
		case size > 0 && part.Size() > size:
			w.must(part.Reset())
			return false
		case err != nil || part.Size() == before:
			return false
		}
	}
}

// tidy drops what nothing refers to, and reads all files again: what is lost or
// spoilt is fetched anew, what nobody knows goes.
func (w *world) tidy(n *node) {
	ctx := context.Background()
	loose, err := n.store.Unreferenced(ctx, 100)
	w.must(err)
	for _, digest := range loose {
		_, err := n.store.DropFile(ctx, digest, func() error { return n.dir.Remove(digest) })
		w.must(err)
	}
	held, err := n.store.FilesAfter(ctx, "", 1000)
	w.must(err)
	for _, digest := range held {
		if _, err := n.dir.Check(digest); err != nil {
			w.counts.add("damaged file found")
			w.must(n.store.Miss(ctx, digest))
			w.must(n.dir.Remove(digest))
		}
	}
	w.must(n.dir.Each(start.AddDate(100, 0, 0), func(digest string) error {
		known, err := n.store.HasFile(ctx, digest)
		if err == nil && !known {
			err = n.dir.Remove(digest)
		}
		return err
	}))
}

// damageFile loses a file on a server's disk, or flips a bit of it.
func (w *world) damageFile(lose bool) bool {
	n := w.pick()
	var all []string
	w.must(n.dir.Each(start.AddDate(100, 0, 0), func(digest string) error {
		all = append(all, digest)
		return nil
	}))
	if len(all) == 0 {
		return false
	}
	f, err := n.dir.Open(all[w.rng.IntN(len(all))])
	w.must(err)
	path := f.Name()
	w.must(f.Close())
	if lose {
		w.must(os.Remove(path))
		return true
	}
	content, err := os.ReadFile(path)
	w.must(err)
	content[w.rng.IntN(len(content))] ^= 1 << w.rng.IntN(8)
	w.must(os.WriteFile(path, content, 0o600))
	return true
}

func (n *node) openFiles() {
	var err error
	n.dir, err = blobs.Open(filepath.Join(n.world.dir, n.name+"-files"))
	n.world.must(err)
}

// has reports whether the node holds a file in a channel, as it should be.
func (n *node) has(channel, digest threads.Hash) bool {
	cited, err := n.store.Citations(context.Background(), channel, digest)
	n.world.must(err)
	_, err = n.dir.Check(digest)
	return len(cited) > 0 && err == nil
}

// unfetched says where a member lacks a file of a message that it shows and that
// another honest one holds and may give it, "" where none does.
func (w *world) unfetched() string {
	for _, p := range w.posts {
		truth := w.truth(p.channel)
		if p.file == "" || truth == nil {
			continue
		}
		var with, without *node
		for _, n := range w.members(truth) {
			if n.has(p.channel.id, p.file) {
				with = n
			} else if w.mentions(n, p.channel, p.texts[:1]) {
				without = n
			}
		}
		if with != nil && without != nil && with.mayGive(p, without) {
			return without.name + " lacks a file that " + with.name + " holds"
		}
	}
	return ""
}

// mayGive reports whether a message with the file lies where the other, who may
// have come back since, sees the channel.
func (n *node) mayGive(p *post, to *node) bool {
	cited, err := n.store.Citations(context.Background(), p.channel.id, p.file)
	n.world.must(err)
	c := n.channel(p.channel.id)
	return slices.ContainsFunc(cited, func(at threads.Ref) bool { return at.Seq >= c.Floor(to.name, at.LogID) })
}

// bytesLeft reports whether anything of a file is on a node's disk.
func (n *node) bytesLeft(digest threads.Hash) bool {
	if digest == "" {
		return false
	}
	f, err := n.dir.Open(digest)
	if err == nil {
		err = f.Close()
	}
	return err == nil
}

// overhearFile: a file goes to members of the channel alone in which it was asked for.
func (w *world) overhearFile(from, to *node, asked []byte) {
	var ask struct{ Channel, Digest threads.Hash }
	w.must(json.Unmarshal(asked, &ask))
	c := from.channel(ask.Channel)
	if c == nil || !c.IsMember(to.name) {
		w.fail("%s gave %s a file of a channel that it is not in", from.name, to.name)
	}
	for _, p := range w.posts {
		if p.file == ask.Digest && p.channel.id != ask.Channel {
			w.fail("%s gave %s a file of another channel", from.name, to.name)
		}
	}
	w.counts.add("file given")
}

// pryIntoFile asks for a file that others have, in whichever channel.
func (l *liar) pryIntoFile() bool {
	to := l.victim()
	if to == nil || len(l.world.posts) == 0 {
		return false
	}
	p := l.world.posts[l.world.rng.IntN(len(l.world.posts))]
	if p.file == "" {
		return false
	}
	in := p.channel
	if l.world.rng.IntN(2) == 0 {
		in = l.world.anyChannel()
	}
	l.ask(to, "file", map[string]any{"channel": in.id, "digest": p.file, "from": 0})
	return true
}

// falseFile gives other bytes than were asked for, too few, or too many.
func (l *liar) falseFile(body []byte) []byte {
	head := bytes.IndexByte(body, '\n') + 1
	if head == 0 || head == len(body) {
		return body
	}
	l.world.counts.add("lie: false file")
	changed := bytes.Clone(body)
	switch l.dice(3) {
	case 0:
		changed[head+l.dice(len(body)-head)] ^= 1
	case 1:
		changed = changed[:head+l.dice(len(body)-head)]
	case 2:
		changed = append([]byte(`{"size":100000}`+"\n"), changed[head:]...)
	}
	return changed
}
