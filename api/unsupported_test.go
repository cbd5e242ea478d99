package api_test

import (
	"context"
	"encoding/json"
	"testing"

	"meridian/api"
	"meridian/threads"
	"meridian/threads/journal"
)

// novelty is a command of a newer program.
type novelty struct{ channel threads.Hash }

func (n novelty) In() threads.Hash { return n.channel }

func (n novelty) Decide(v *threads.View) error {
	e, err := v.Channel.SealData(threads.Draft{
		Actor: v.Actor, Type: "riddle.set", Content: []byte(`{"answer":"a canary","salt":"AAAAAAAAAAAAAAAAAAAAAA"}`),
	}, v.Pen)
	v.Events = append(v.Events, e)
	return err
}

// T64: what a newer program wrote is shown to members as something that this one does not understand,
// and to nobody else.
func TestAnEventOfAnUnknownTypeIsShownAsUnsupported(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		ana, eve := w.user("ana", false), w.user("eve", false)
		channel := w.channel(ana, "Harbour")
		heard, unheard := w.resumed(ana, w.cursor(ana)), w.resumed(eve, w.cursor(eve))
		done, err := w.journal.Do(context.Background(), journal.Request{Actor: ana.id, Now: w.now(), Command: novelty{channel}})
		if err != nil {
			t.Fatal(err)
		}
		var told api.Unsupported
		e := heard.want("event.unsupported")
		if err := json.Unmarshal(e.Data, &told); err != nil || e.Notify ||
			told != (api.Unsupported{Channel: channel, ID: done.IDs[0], Kind: "riddle.set", Person: ana.id}) {
			t.Errorf("%+v: %s", e, e.Data)
		}
		unheard.say(object{"op": "resume", "after": w.cursor(eve)})
		unheard.want("ready") // and nothing before it
		thread := w.thread(ana, channel, "Quay 4")
		w.post(ana, thread, "It goes on.")
		heard.want("thread.created")
		heard.want("message.posted")
	})
}
