package api_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"

	"meridian/threads"
	"meridian/threads/journal"
)

// guest brings a person of another server into a channel and is their pen.
func (w *world) guest(owner *user, channel string) (string, *threads.Pen) {
	w.t.Helper()
	const havel = "havel.example"
	seed := sha256.Sum256([]byte(havel))
	private := ed25519.NewKeyFromSeed(seed[:])
	key := threads.Key{ID: "https://" + havel + "/keys/1", Public: private.Public().(ed25519.PublicKey)}
	c := w.replica(channel)
	person := threads.PersonID(havel, random16())
	accept := threads.Acceptance{Channel: channel, Host: kobo, Person: person, Role: threads.RoleMember, Prev: c.Control.Hash, Key: key}
	w.does(owner, threads.Join{
		Channel: channel, Person: person, Role: threads.RoleMember, Key: key, Prev: c.Control.Hash,
		Acceptance: ed25519.Sign(private, accept.SigningBytes()),
	})
	return person, &threads.Pen{
		Server: havel, Key: key, Now: w.now(), Random: random16,
		Sign: func(m []byte) []byte { return ed25519.Sign(private, m) },
	}
}

// What a client is told: a text that comes later than its message is
// told like one that comes with it, once, to a socket and to a long poll.
func TestATextThatArrivesLaterIsTold(t *testing.T) { onBoth(t, aTextThatArrivesLaterIsTold) }

func aTextThatArrivesLaterIsTold(t *testing.T, w *world) {
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	jan, pen := w.guest(ana, channel)
	replica := w.replica(channel)
	content := threads.AppendMessage(nil, &threads.Message{Thread: thread, Body: "late text"}, pen.Salt())
	whole, err := replica.SealData(threads.Draft{Type: threads.TypeMessagePosted, Actor: jan, Content: content}, pen)
	if err != nil {
		t.Fatal(err)
	}
	bare := *whole
	bare.Content = nil

	cursor := w.cursor(ana)
	l := w.resumed(ana, cursor)
	w.ingest(pen.Server, &bare)
	w.must(404, ana, "GET", "/messages/"+whole.ID, nil)
	w.ingest(pen.Server, whole)
	told := l.want("message.posted")
	if !strings.Contains(string(told.Data), "late text") || !strings.Contains(string(told.Data), whole.ID) {
		t.Errorf("the socket is told %s", told.Data)
	}
	var polled events
	w.must(200, ana, "GET", "/events?after="+cursor, nil).into(t, &polled)
	if len(polled.Items) != 1 || !strings.Contains(string(polled.Items[0]), "late text") {
		t.Errorf("a poll is told %s", polled.Items)
	}
	w.ingest(pen.Server, whole) // once more: nothing is new
	w.must(200, ana, "GET", "/events?after="+polled.NextCursor, nil).into(t, &polled)
	if len(polled.Items) != 0 {
		t.Errorf("and then %s", polled.Items)
	}
}

// replica is the channel as it is at a member.
func (w *world) replica(channel string) *threads.Channel {
	w.t.Helper()
	c, err := w.journal.Channel(w.t.Context(), channel)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Clone()
}

func (w *world) does(u *user, c threads.Command) {
	w.t.Helper()
	if _, err := w.journal.Do(w.t.Context(), journal.Request{Actor: u.id, Command: c, Now: w.now()}); err != nil {
		w.t.Fatal(err)
	}
}

// ingest takes in what another server sends.
func (w *world) ingest(from string, events ...*threads.Event) {
	w.t.Helper()
	answer, err := w.journal.Ingest(w.t.Context(), threads.Batch{From: from, Events: events, Now: w.now()})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range answer.Channels {
		if len(c.Refused) > 0 {
			w.t.Fatalf("%+v", c.Refused)
		}
	}
}
