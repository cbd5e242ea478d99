package store

import (
	"context"
	"testing"

	"meridian/threads"
)

func TestUnreadCountsWhatCameSinceJoiningAndReading(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		thread, first := w.newThread(w.kobo, w.ana, "Crane", "one")
		other, _ := w.newThread(w.kobo, w.ana, "Quay", "elsewhere")
		late := w.havel.person("late")
		w.join(late)
		w.fed(w.all[len(w.all)-1])
		second := w.posted(w.havel, w.jan, thread.ID, "two")
		w.posted(w.kobo, w.ana, thread.ID, "three")
		want := func(person string, inThread, inChannel int64) {
			t.Helper()
			if got := w.threadFor(person, thread.ID).Unread; got != inThread {
				t.Errorf("%d unread in the thread, want %d", got, inThread)
			}
			channel, err := w.r.Channel(ctx, person, w.c.ID)
			if err != nil || channel.Unread != inChannel {
				t.Errorf("%d unread in the channel, want %d; %v", channel.Unread, inChannel, err)
			}
		}
		want(late, 2, 2)
		want(w.ben, 3, 4)
		want(w.ana, 1, 1)
		for _, mark := range []threads.Hash{second.ID, first.ID} { // a mark does not move back
			if err := w.s.MarkRead(ctx, w.ben, thread.ID, mark); err != nil {
				t.Fatal(err)
			}
			want(w.ben, 1, 2)
		}
		if err := w.s.MarkRead(ctx, w.ben, thread.ID, ""); err != nil {
			t.Fatal(err)
		}
		want(w.ben, 0, 1)
		want(w.eva, 3, 4)
		wantRefusal(t, w.s.MarkRead(ctx, w.ben, other.ID, first.ID), threads.Invalid, "invalid")
	})
}

func TestAChoiceToFollowOutweighsTheRules(t *testing.T) {
	onEachWorld(t, func(t *testing.T, w readable) {
		ctx := context.Background()
		thread, _ := w.newThread(w.kobo, w.ana, "Crane", "one")
		want := func(person string, following bool) {
			t.Helper()
			if got := w.threadFor(person, thread.ID).Following; got != following {
				t.Errorf("following is %v, want %v", got, following)
			}
		}
		want(w.ana, true)
		want(w.ben, false)
		w.fed(w.do(w.havel, w.jan, threads.ChangeThread{Channel: w.c.ID, Content: threads.ThreadContent{Object: thread.ID, Assignee: &w.ben}})...)
		want(w.ben, true)
		for _, choice := range []struct {
			person string
			on     bool
		}{{w.ana, false}, {w.ben, false}, {w.eva, true}, {w.ana, true}} {
			if err := w.s.Follow(ctx, choice.person, thread.ID, choice.on); err != nil {
				t.Fatal(err)
			}
			want(choice.person, choice.on)
		}
		w.fed(w.do(w.havel, w.jan, threads.Post{Channel: w.c.ID, Message: threads.Message{
			Thread: thread.ID, Body: "@ben", Mentions: []string{w.ben},
		}})...)
		want(w.ben, false)
	})
}
