package api_test

import (
	"strings"
	"testing"

	"meridian/api"
)

// shared makes two sites partners with a channel of kobo's in which both have an
// owner.
func shared(t *testing.T) (kobo, havel *site, ana, eva *user, channel string) {
	t.Helper()
	w := newWorld(t, api.Limits{})
	kobo, havel = newSite(t, w), newSite(t, w)
	befriend(kobo, havel)
	ana, eva = kobo.person("ana", false), havel.person("eva", false)
	channel = kobo.channel(ana, "Harbour")
	kobo.must(202, ana, "POST", "/channels/"+channel+"/members", object{"address": eva.address, "role": "owner"})
	havel.accept(eva)
	havel.eventually("in", func() bool { return havel.send(eva, "GET", "/channels/"+channel, nil).status == 200 })
	return kobo, havel, ana, eva, channel
}

// accept has a person accept the one invitation that waits for them.
func (s *site) accept(u *user) {
	s.t.Helper()
	var list api.List[api.Invitation]
	s.eventually("invited", func() bool {
		s.must(200, u, "GET", "/invitations", nil).into(s.t, &list)
		return len(list.Items) > 0 && list.Items[0].State == "pending"
	})
	s.must(200, u, "POST", "/invitations/"+list.Items[0].ID+"/accept", nil)
}

func TestOwnersMoveAChannelToTheirOwnServer(t *testing.T) {
	kobo, havel, ana, eva, channel := shared(t)
	path := "/channels/" + channel + "/host"
	for _, there := range []string{havel.name, "stranger.example"} {
		if a := kobo.send(ana, "POST", path, object{"server": there}); a.status != 409 && a.status != 404 {
			t.Errorf("asked for %s elsewhere: %d %s", there, a.status, a.raw)
		}
	}
	for range 2 {
		if a := havel.must(200, eva, "POST", path, object{"server": havel.name}, "Idempotency-Key", "move"); a.text("host") != havel.name {
			t.Errorf("%s", a.raw)
		}
	}
	havel.must(409, eva, "POST", path, object{"server": kobo.name}, "Idempotency-Key", "move")
	kobo.eventually("told of the new host", func() bool { return kobo.must(200, ana, "GET", "/channels/"+channel, nil).text("host") == havel.name })
	if a := kobo.must(200, ana, "PATCH", "/channels/"+channel, object{"name": "Port"}); a.text("name") != "Port" {
		t.Errorf("a change asked for at the former host: %s", a.raw)
	}
}

func TestChannelGoesOnInASuccessorWhenItsHostIsLost(t *testing.T) {
	kobo, havel, ana, eva, channel := shared(t)
	jan := havel.person("jan", false)
	old := havel.thread(eva, channel, "Quay 3")
	message := havel.post(eva, old, "The capstan turns.")
	kobo.eventually("told of the thread", func() bool { return kobo.send(ana, "GET", "/messages/"+message, nil).status == 200 })
	havel.must(404, jan, "POST", "/channels/"+channel+"/successor", nil)
	havel.eventually("told who ana is", func() bool { return havel.send(eva, "GET", "/people/"+ana.address, nil).status == 200 })
	kobo.stop()
	var made api.Successor
	for range 2 {
		havel.must(201, eva, "POST", "/channels/"+channel+"/successor", nil, "Idempotency-Key", "on").into(t, &made)
	}
	if made.Channel.Follows != channel || made.Channel.Host != havel.name || made.Channel.Name != "Harbour" || len(made.Invited) != 1 || made.Invited[0] != ana.address {
		t.Errorf("%+v", made)
	}
	if a := havel.must(200, eva, "GET", "/channels/"+channel, nil); a.text("successor") != made.Channel.ID {
		t.Errorf("the old channel does not name its successor: %s", a.raw)
	}
	readOnly := func(s *site, u *user) {
		t.Helper()
		for path, body := range map[string]object{
			"/threads/" + old + "/messages":     {"body": "Still here?"},
			"/channels/" + channel + "/threads": {"title": "Still here?"},
		} {
			if a := s.must(409, u, "POST", path, body); a.text("code") != "succeeded" || !strings.Contains(a.text("detail"), made.Channel.ID) {
				t.Errorf("%s writes in the old channel: %s", u.address, a.raw)
			}
		}
		s.must(409, u, "PUT", "/messages/"+message+"/reactions/👍", nil)
		s.must(200, u, "GET", "/threads/"+old+"/messages", nil)
	}
	readOnly(havel, eva)
	kobo.run()
	kobo.post(ana, old, "Who is not asked in yet goes on here.")
	kobo.accept(ana)
	kobo.eventually("in the successor, which the old channel names", func() bool {
		return kobo.send(ana, "GET", "/channels/"+made.Channel.ID, nil).status == 200 &&
			kobo.must(200, ana, "GET", "/channels/"+channel, nil).text("successor") == made.Channel.ID
	})
	thread := kobo.thread(ana, made.Channel.ID, "Quay 4")
	havel.eventually("told", func() bool { return havel.send(eva, "GET", "/threads/"+thread, nil).status == 200 })
	readOnly(kobo, ana)
	kobo.post(ana, thread, "The capstan turns again.")
	var found api.List[api.Hit]
	if kobo.must(200, ana, "GET", "/search?q=capstan", nil).into(t, &found); len(found.Items) != 2 {
		t.Errorf("search finds %d messages in both channels together", len(found.Items))
	}
	havel.must(204, eva, "DELETE", "/messages/"+message, nil)
}
