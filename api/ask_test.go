package api_test

import (
	"testing"
	"time"

	"meridian/api"
)

// joined is another person of the same server, a member of a channel.
func (w *world) joined(owner *user, channel, name string) *user {
	w.t.Helper()
	u := w.user(name, false)
	w.must(201, owner, "POST", "/channels/"+channel+"/members", object{"address": u.address})
	return u
}

// asked is what became of an ask of the user.
func (w *world) asked(u *user, message string, of *user) api.Asked {
	w.t.Helper()
	var m api.Message
	w.must(200, u, "GET", "/messages/"+message, nil).into(w.t, &m)
	if m.Ask != nil {
		for _, one := range m.Ask.Of {
			if one.Person == of.address {
				return one
			}
		}
	}
	return api.Asked{}
}

func (w *world) waiting(u *user, view string) (messages []string) {
	w.t.Helper()
	var list api.List[api.Waiting]
	w.must(200, u, "GET", "/inbox?view="+view, nil).into(w.t, &list)
	for _, one := range list.Items {
		messages = append(messages, one.Message)
	}
	return messages
}

func TestAnAskWaitsUntilItIsAnsweredDeclinedOrWithdrawn(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		ana := w.user("ana", false)
		channel := w.channel(ana, "Pumps")
		ben, eva := w.joined(ana, channel, "ben"), w.joined(ana, channel, "eva")
		w.must(200, ben, "PATCH", "/me", object{"zone": "Asia/Tokyo"})
		thread := w.thread(ana, channel, "It leaks")
		ask := func(body object) string {
			return w.must(201, ana, "POST", "/threads/"+thread+"/messages", object{"body": "Which seal?", "ask": body}).text("id")
		}
		both := object{"of": []string{ben.address, eva.address}}
		first, second, third := ask(both), ask(both), ask(both)
		soon := w.now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		named := ask(object{"of": []string{ben.address}, "due": soon, "urgency": "urgent", "reason": "It is flooding."})

		if got := w.asked(eva, named, ben); !got.Due.Equal(soon) || got.Basis != "named" || got.State != "open" {
			t.Errorf("with a due instant of its own: %+v", got)
		}
		if got := w.asked(eva, first, ben); got.Basis != "zone" || got.Zone != "Asia/Tokyo" || !got.Due.After(w.now()) {
			t.Errorf("in ben's working time: %+v", got)
		}
		if got := w.waiting(ben, "asked"); len(got) != 4 || got[0] != named {
			t.Errorf("ben is asked %v, first %s", got, named)
		}
		if got := w.waiting(ana, "waiting"); len(got) != 7 || len(w.waiting(ana, "asked")) > 0 {
			t.Errorf("ana waits for %v", got)
		}

		reply := func(u *user, to string) string {
			return w.must(201, u, "POST", "/threads/"+thread+"/messages", object{"body": "The red one.", "reply_to": to}).text("id")
		}
		reply(ana, first)
		answer := reply(ben, first)
		reply(ben, first)
		if got := w.asked(ana, first, ben); got.State != "answered" || got.Answer != answer {
			t.Errorf("answered by %s: %+v", answer, got)
		}
		if got := w.asked(ana, first, eva); got.State != "open" {
			t.Errorf("eva has not answered: %+v", got)
		}
		w.must(204, ben, "DELETE", "/messages/"+answer, nil)
		if got := w.asked(ana, first, ben); got.State != "answered" {
			t.Errorf("the answer was erased: %+v", got)
		}
		w.must(200, ben, "POST", "/messages/"+second+"/decline", nil)
		w.must(200, ana, "POST", "/messages/"+second+"/withdraw", nil)
		if ben, eva := w.asked(ana, second, ben).State, w.asked(ana, second, eva).State; ben != "withdrawn" || eva != "withdrawn" {
			t.Errorf("withdrawn, ben's is %s and eva's %s", ben, eva)
		}
		w.must(200, eva, "POST", "/messages/"+third+"/decline", nil)
		if got := w.asked(ana, third, eva).State; got != "declined" {
			t.Errorf("declined, it is %s", got)
		}
		w.must(204, ana, "DELETE", "/messages/"+third, nil)
		if got := w.waiting(ben, "asked"); len(got) != 1 || got[0] != named {
			t.Errorf("in the end ben is asked %v", got)
		}
		if got := w.waiting(ana, "waiting"); len(got) != 2 {
			t.Errorf("in the end ana waits for %v", got)
		}
	})
}

func TestWhatCannotBeAskedIsRefusedWithTheField(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Pumps")
	ben, stranger := w.joined(ana, channel, "ben"), w.user("sam", false)
	thread := w.thread(ana, channel, "It leaks")
	plain := w.post(ana, thread, "Nothing asked.")
	for name, c := range map[string]struct {
		ask     object
		pointer string
	}{
		"yourself":        {object{"of": []string{ana.address}}, "/ask/of/0"},
		"no member":       {object{"of": []string{ben.address, stranger.address}}, "/ask/of/1"},
		"nobody known":    {object{"of": []string{"nobody@" + kobo}}, "/ask/of/0"},
		"twice":           {object{"of": []string{ben.address, ben.address}}, "/ask/of/1"},
		"nobody":          {object{"of": []string{}}, "/ask/of"},
		"another urgency": {object{"of": []string{ben.address}, "urgency": "soon"}, "/ask/urgency"},
		"past":            {object{"of": []string{ben.address}, "due": "2020-01-01T00:00:00Z"}, "/ask/due"},
		"urgent, unsaid":  {object{"of": []string{ben.address}, "urgency": "urgent"}, "/ask/reason"},
	} {
		var p api.Problem
		w.must(422, ana, "POST", "/threads/"+thread+"/messages", object{"body": "?", "ask": c.ask}).into(t, &p)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%s is refused with %+v", name, p)
		}
	}
	w.must(409, ben, "POST", "/messages/"+plain+"/decline", nil)
	w.must(409, ana, "POST", "/messages/"+plain+"/withdraw", nil)
	asking := w.must(201, ana, "POST", "/threads/"+thread+"/messages", object{"body": "?", "ask": object{"of": []string{ben.address}}}).text("id")
	w.must(403, ben, "POST", "/messages/"+asking+"/withdraw", nil)
	w.must(409, ana, "POST", "/messages/"+asking+"/decline", nil)
	w.must(404, stranger, "POST", "/messages/"+asking+"/decline", nil)
	w.must(422, ana, "GET", "/inbox?view=all", nil)
}
