package api_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/api"
)

func TestAConversationFromEndToEnd(t *testing.T) { onBoth(t, aConversationFromEndToEnd) }

func aConversationFromEndToEnd(t *testing.T, w *world) {
	ana, ben := w.user("ana", false), w.user("ben", false)
	channel := w.channel(ana, "Harbour")
	w.must(201, ana, "POST", "/channels/"+channel+"/members", object{"address": "ben@" + kobo})
	made := w.must(201, ana, "POST", "/channels/"+channel+"/threads", object{
		"title": "Quay 4", "body": "Who has the **plans**, @ben@" + kobo + "?", "labels": []string{"plans"}, "assignee": ben.address, "due": "2026-12-01",
	})
	thread := made.text("id")
	var list api.List[api.Message]
	w.must(200, ben, "GET", "/threads/"+thread+"/messages", nil).into(t, &list)
	if len(list.Items) != 1 || list.Items[0].Author != ana.address || !cmp.Equal(list.Items[0].Mentions, []string{ben.address}) {
		t.Fatalf("%+v", list)
	}
	reply := w.must(201, ben, "POST", "/threads/"+thread+"/messages", object{"body": "I do.", "reply_to": list.Items[0].ID})
	var got, posted api.Message
	reply.into(t, &posted)
	w.must(200, ana, "GET", "/messages/"+posted.ID, nil).into(t, &got)
	if diff := cmp.Diff(posted, got); diff != "" {
		t.Errorf("what was answered is not what is read: %s", diff)
	}
	w.must(200, ben, "PATCH", "/messages/"+posted.ID, object{"body": "I did."})
	w.must(204, ana, "PUT", "/messages/"+posted.ID+"/reactions/"+url.PathEscape("👍"), nil)
	w.must(200, ana, "GET", "/messages/"+posted.ID, nil).into(t, &got)
	if got.Body != "I did." || got.Edited == nil || !cmp.Equal(got.Reactions, []api.Reaction{{Emoji: "👍", People: []string{ana.address}}}) {
		t.Errorf("%+v", got)
	}
	var history api.List[api.Edition]
	w.must(200, ana, "GET", "/messages/"+posted.ID+"/history", nil).into(t, &history)
	if len(history.Items) != 2 || history.Items[0].Body != "I do." {
		t.Errorf("%+v", history)
	}
	w.must(204, ben, "DELETE", "/messages/"+posted.ID, nil)
	var erased api.Message
	w.must(200, ana, "GET", "/messages/"+posted.ID, nil).into(t, &erased)
	if !erased.Erased || erased.Body != "" || erased.ReplyTo != list.Items[0].ID {
		t.Errorf("%+v", erased)
	}
}

func TestAThreadIsChangedFieldByField(t *testing.T) { onBoth(t, aThreadIsChangedFieldByField) }

func aThreadIsChangedFieldByField(t *testing.T, w *world) {
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread, other := w.thread(ana, channel, "Quay 4"), w.thread(ana, channel, "Quay 5")
	var before, after api.Thread
	w.must(200, ana, "GET", "/threads/"+thread, nil).into(t, &before)
	w.must(200, ana, "PATCH", "/threads/"+thread, object{"labels": []string{"a", "b"}, "blocked_by": []string{other}, "state": "waiting"})
	w.must(200, ana, "PATCH", "/threads/"+thread, object{"labels": []string{"b", "c"}, "assignee": ana.address}).into(t, &after)
	before.Labels, before.BlockedBy, before.State, before.Assignee = []string{"b", "c"}, []string{other}, "waiting", ana.address
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	w.must(200, ana, "PATCH", "/threads/"+thread, object{"labels": []string{}, "blocked_by": []string{}, "assignee": ""}).into(t, &after)
	if len(after.Labels)+len(after.BlockedBy)+len(after.Assignee) > 0 {
		t.Errorf("%+v", after)
	}
}

func TestAChangeToAnotherVersionIsRefused(t *testing.T) { onBoth(t, aChangeToAnotherVersionIsRefused) }

func aChangeToAnotherVersionIsRefused(t *testing.T, w *world) {
	ana, ben := w.user("ana", false), w.user("ben", false)
	channel := w.channel(ana, "Harbour")
	w.must(201, ana, "POST", "/channels/"+channel+"/members", object{"address": ben.address})
	thread := w.thread(ana, channel, "Quay 4")
	message := w.post(ana, thread, "one")
	for path, change := range map[string]object{
		"/threads/" + thread: {"title": "Quay 5"}, "/messages/" + message: {"body": "two"},
		"/channels/" + channel: {"name": "Port"}, "/me": {"name": "Ana"},
		"/channels/" + channel + "/members/" + ben.address: {"role": "reader"},
	} {
		tag := w.must(200, ana, "GET", path, nil).header.Get("ETag")
		changed := w.must(200, ana, "PATCH", path, change, "If-Match", tag)
		if changed.header.Get("ETag") == tag {
			t.Errorf("%s keeps its version when it is changed", path)
		}
		if a := w.must(412, ana, "PATCH", path, change, "If-Match", tag); a.text("code") != "version_mismatch" {
			t.Errorf("%s: %s", path, a.raw)
		}
		w.must(200, ana, "PATCH", path, change, "If-Match", `"0", `+changed.header.Get("ETag"))
	}
}

func TestWhatOneMayNotSeeAnswersLikeWhatDoesNotExist(t *testing.T) {
	onBoth(t, whatOneMayNotSeeAnswersLikeWhatDoesNotExist)
}

func whatOneMayNotSeeAnswersLikeWhatDoesNotExist(t *testing.T, w *world) {
	ana, eve := w.user("ana", false), w.user("eve", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	message := w.post(ana, thread, "canary")
	absent := strings.Repeat("A", 43)
	same := func(method, path, there string, body any) {
		t.Helper()
		here := w.must(404, eve, method, strings.Replace(path, "*", there, 1), body)
		gone := w.must(404, eve, method, strings.Replace(path, "*", absent, 1), body)
		if here.text("detail") != gone.text("detail") || here.text("code") != gone.text("code") {
			t.Errorf("%s %s tells what exists: %s, %s", method, path, here.raw, gone.raw)
		}
	}
	for _, path := range []string{"/channels/*", "/channels/*/members", "/channels/*/threads", "/channels/*/state"} {
		same("GET", path, channel, nil)
	}
	same("PATCH", "/channels/*", channel, object{"name": "Mine"})
	same("POST", "/channels/*/archive", channel, object{"archived": true})
	same("POST", "/channels/*/members", channel, object{"address": eve.address})
	same("POST", "/channels/*/threads", channel, object{"title": "Mine"})
	for _, path := range []string{"/threads/*", "/threads/*/messages"} {
		same("GET", path, thread, nil)
	}
	same("POST", "/threads/*/messages", thread, object{"body": "hello"})
	same("PATCH", "/threads/*", thread, object{"title": "Mine"})
	same("POST", "/threads/*/read", thread, object{"up_to": message})
	same("POST", "/threads/*/follow", thread, nil)
	same("DELETE", "/threads/*/follow", thread, nil)
	for _, path := range []string{"/messages/*", "/messages/*/delivery", "/messages/*/history"} {
		same("GET", path, message, nil)
	}
	same("PATCH", "/messages/*", message, object{"body": "mine"})
	same("DELETE", "/messages/*", message, nil)
	same("PUT", "/messages/*/reactions/x", message, nil)
	if a := w.must(200, eve, "GET", "/search?q=canary", nil); strings.Contains(string(a.raw), "Quay") {
		t.Errorf("search tells: %s", a.raw)
	}
	for _, path := range []string{"/admin/people", "/admin/partners", "/admin/audit"} {
		w.must(404, eve, "GET", path, nil)
	}
}

func TestListsGoOnWhereTheyStopped(t *testing.T) { onBoth(t, listsGoOnWhereTheyStopped) }

func listsGoOnWhereTheyStopped(t *testing.T, w *world) {
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	var want []string
	for range 7 {
		want = append(want, w.post(ana, thread, "again"))
	}
	var got []string
	for path := "/threads/" + thread + "/messages?limit=3"; path != ""; {
		a := w.must(200, ana, "GET", path, nil)
		var list api.List[api.Message]
		a.into(t, &list)
		for _, m := range list.Items {
			got = append(got, m.ID)
		}
		path = ""
		if link, next, ok := strings.Cut(a.header.Get("Link"), ">"); ok {
			if next != `; rel="next"` || list.NextCursor == "" {
				t.Errorf("Link: %s, next_cursor: %q", a.header.Get("Link"), list.NextCursor)
			}
			path = strings.TrimPrefix(link, "</api/v1")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.must(422, ana, "GET", "/threads/"+thread+"/messages?cursor=nonsense", nil)
	w.must(422, ana, "GET", "/threads/"+thread+"/messages?limit=201", nil)
	w.must(422, ana, "GET", "/threads/"+thread+"/messages?page=2", nil)
}

func TestUnreadAndFollowingAreOnesOwn(t *testing.T) { onBoth(t, unreadAndFollowingAreOnesOwn) }

func unreadAndFollowingAreOnesOwn(t *testing.T, w *world) {
	ana, ben := w.user("ana", false), w.user("ben", false)
	channel := w.channel(ana, "Harbour")
	w.must(201, ana, "POST", "/channels/"+channel+"/members", object{"address": ben.address, "role": "reader"})
	thread := w.thread(ana, channel, "Quay 4")
	first, _ := w.post(ana, thread, "one"), w.post(ana, thread, "two")
	see := func(u *user) (unread int64, following bool) {
		t.Helper()
		var got api.Thread
		w.must(200, u, "GET", "/threads/"+thread, nil).into(t, &got)
		return *got.Unread, *got.Following
	}
	w.must(204, ben, "POST", "/threads/"+thread+"/read", object{"up_to": first})
	w.must(204, ben, "POST", "/threads/"+thread+"/follow", nil)
	if unread, following := see(ben); unread != 1 || !following {
		t.Errorf("ben: unread %d, following %t", unread, following)
	}
	w.must(204, ben, "DELETE", "/threads/"+thread+"/follow", nil)
	if _, following := see(ben); following {
		t.Error("ben still follows")
	}
	if _, following := see(ana); !following {
		t.Error("the author follows no longer")
	}
}

func TestMembersComeChangeAndGo(t *testing.T) { onBoth(t, membersComeChangeAndGo) }

func membersComeChangeAndGo(t *testing.T, w *world) {
	ana, ben := w.user("ana", false), w.user("ben", false)
	channel := w.channel(ana, "Harbour")
	members := "/channels/" + channel + "/members"
	w.must(201, ana, "POST", members, object{"address": ben.address, "role": "reader"})
	w.must(409, ana, "POST", members, object{"address": ben.address})
	w.must(422, ana, "POST", members, object{"address": "nobody@" + kobo})
	w.must(422, ana, "POST", members, object{"address": "no address"})
	thread := w.thread(ana, channel, "Quay 4")
	if a := w.must(403, ben, "POST", "/threads/"+thread+"/messages", object{"body": "me too"}); a.text("code") != "role" {
		t.Errorf("%s", a.raw)
	}
	w.must(403, ben, "PATCH", members+"/"+ben.address, object{"role": "owner"})
	w.must(200, ana, "PATCH", members+"/"+ben.address, object{"role": "member"})
	w.post(ben, thread, "me too")
	var list api.List[api.Member]
	w.must(200, ben, "GET", members, nil).into(t, &list)
	if len(list.Items) != 2 {
		t.Errorf("%+v", list)
	}
	w.must(409, ana, "DELETE", members+"/"+ana.address, nil)
	w.must(204, ana, "DELETE", members+"/"+ben.address, nil)
	w.must(404, ben, "GET", "/threads/"+thread, nil)
	w.must(404, ana, "DELETE", members+"/"+ben.address, nil)
}

func TestOnlyAMemberServerThatIsNotTheHostCanBeRemoved(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, ben := w.user("ana", false), w.user("ben", false)
	servers := "/channels/" + w.channel(ana, "Harbour") + "/servers/"
	w.must(404, ben, "DELETE", servers+kobo, nil)
	w.must(404, ana, "DELETE", servers+"nobody.example", nil)
	if a := w.must(409, ana, "DELETE", servers+kobo, nil); a.text("code") != "is_host" {
		t.Errorf("%s", a.raw)
	}
}

func TestAnArchivedChannelTakesNothingNew(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "Quay 4")
	w.must(200, ana, "POST", "/channels/"+channel+"/archive", object{"archived": true})
	if a := w.must(409, ana, "POST", "/threads/"+thread+"/messages", object{"body": "x"}); a.text("code") != "archived" {
		t.Errorf("%s", a.raw)
	}
	w.must(200, ana, "POST", "/channels/"+channel+"/archive", object{"archived": false})
	w.post(ana, thread, "x")
}

func TestStateIsThatOfTheReplica(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	var before, after api.ChannelState
	w.must(200, ana, "GET", "/channels/"+channel+"/state", nil).into(t, &before)
	message := w.post(ana, w.thread(ana, channel, "Quay 4"), "x")
	w.must(200, ana, "GET", "/channels/"+channel+"/state", nil).into(t, &after)
	if before.StateHash == after.StateHash || len(after.Frontier) != 1 || after.Frontier[0].Hash != message {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
