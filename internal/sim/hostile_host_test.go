package sim_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"meridian/federation"
	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/server"
	"meridian/threads"
)

// ally makes two servers partners.
func ally(a, b *victim) {
	a.t.Helper()
	a.operate("partners.add", server.PartnerChange{Name: b.name}, nil)
	b.operate("partners.add", server.PartnerChange{Name: a.name}, nil)
	a.operate("partners.allow", server.PartnerChange{Name: b.name}, nil)
	b.operate("partners.allow", server.PartnerChange{Name: a.name}, nil)
}

// bring invites somebody of another server into a channel of a's, and that person accepts.
func bring(a *victim, owner, channel string, b *victim, address, token, role string) {
	a.t.Helper()
	a.must(owner, http.MethodPost, "/channels/"+channel+"/members", map[string]string{"address": address, "role": role}, nil)
	var asked struct {
		Items []struct{ ID, Channel string }
	}
	b.eventually("invited", func() bool {
		b.must(token, http.MethodGet, "/invitations", nil, &asked)
		return len(asked.Items) > 0
	})
	b.must(token, http.MethodPost, "/invitations/"+asked.Items[0].ID+"/accept", nil, nil)
	b.eventually("a member", func() bool {
		status, _ := b.call(token, http.MethodGet, "/channels/"+channel, nil)
		return status == http.StatusOK
	})
}

// unmask stops a server and is its name, key and idea of a channel in the hands of the test: from now
// on it says whatever that likes.
func unmask(v *victim, channel string) *enemy {
	v.t.Helper()
	v.stop()
	ring, err := federation.LoadKeyring(server.KeyFile(v.options.Config.DataDir))
	if err != nil {
		v.t.Fatal(err)
	}
	db, err := store.Open(context.Background(), store.Options{URL: v.options.Config.Database, Server: v.name})
	if err != nil {
		v.t.Fatal(err)
	}
	defer db.Close()
	state, err := db.Channel(context.Background(), channel)
	if err != nil || state == nil {
		v.t.Fatalf("the host's channel: %v", err)
	}
	return &enemy{t: v.t, name: v.name, key: ring[len(ring)-1].Private, state: state.Clone()}
}

// renames is a continuation of a control log in which an owner renames the channel.
func (e *enemy) renames(owner string, names ...string) (events []*threads.Event) {
	e.t.Helper()
	v := &threads.View{Channel: e.state.Clone(), Actor: owner, Pen: e.pen(time.Now())}
	v.Pen.Random = func() (b [16]byte) {
		_, _ = rand.Read(b[:])
		return b
	}
	for _, name := range names {
		if err := (threads.ChangeSettings{Channel: e.state.ID, Settings: threads.Settings{Name: name}}).Decide(v); err != nil {
			e.t.Fatal(err)
		}
	}
	return v.Events
}

// shownFork is a proof as GET /admin/forks shows it.
type shownFork struct {
	Channel, Server, Log, State, Detail, Remedy string
	Seq                                         int64
	Events                                      []string
	Found                                       *time.Time
}

func (h *victim) forks(admin string) []shownFork {
	h.t.Helper()
	var all struct{ Items []shownFork }
	h.must(admin, http.MethodGet, "/admin/forks", nil, &all)
	return all.Items
}

// T19: a real server that hosts a channel signs one history of it for one member and another for the
// next. Both find out in one comparison, by their own listeners, on either database: administrators and
// members are told, nothing is taken back, nobody changes members any more, conversation goes on, and a
// successor channel can be made.
func TestARealHostWithTwoHistoriesIsFoundOut(t *testing.T) {
	host, left, right := newVictim(t, ""), newVictim(t, ""), newVictim(t, pgtest.URL(t))
	for _, pair := range [][2]*victim{{host, left}, {host, right}, {left, right}} {
		ally(pair[0], pair[1])
	}
	owner, ana := host.person("ana")
	_, mia := left.person("mia")
	_, jan := right.person("jan")
	var channel shown
	host.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Works"}, &channel)
	bring(host, ana, channel.ID, left, "mia@"+left.name, mia, "owner")
	bring(host, ana, channel.ID, right, "jan@"+right.name, jan, "owner")
	left.operate("partners.pause", server.PartnerChange{Name: right.name}, nil) // until each has its history
	liar := unmask(host, channel.ID)
	fork := liar.state.Control.Seq + 1
	for _, told := range []struct {
		to     *victim
		events []*threads.Event
	}{{left, liar.renames(owner, "Left", "More left")}, {right, liar.renames(owner, "Right")}} {
		told.to.eventually("it takes its history", func() bool { // it may not have heard of its own joining yet
			got := liar.push(told.to, told.events...)
			return got.status == http.StatusOK && len(got.Refusals) == 0
		})
	}
	left.operate("partners.resume", server.PartnerChange{Name: right.name}, nil)
	sides := []struct {
		*victim
		person, name string
		proof        shownFork
	}{{victim: left, person: mia, name: "More left"}, {victim: right, person: jan, name: "Right"}}
	for i := range sides {
		s := &sides[i]
		admin := s.administrator()
		s.eventually("told of the fork", func() bool { return len(s.forks(admin)) == 1 })
		s.proof = s.forks(admin)[0]
		if p := s.proof; p.Channel != channel.ID || p.Server != host.name || p.Log != "control" || p.State != "stopped" ||
			p.Seq != fork || p.Found == nil || p.Detail == "" || p.Remedy == "" {
			t.Errorf("%s shows its administrator %+v", s.name, p)
		}
		if n := s.scrape()[`meridian_federation_forks_total{log="control"}`]; n != 1 {
			t.Errorf("%s counts %v proofs", s.name, n)
		}
		s.audited(admin, "log.forked")
		s.stopped(s.person, channel.ID, s.name)
	}
	if !slices.Equal(sides[0].proof.Events, sides[1].proof.Events) {
		t.Errorf("the proofs are of %v and %v", sides[0].proof.Events, sides[1].proof.Events)
	}
	var next struct{ Channel shown }
	left.must(mia, http.MethodPost, "/channels/"+channel.ID+"/successor", nil, &next)
	var asked struct {
		Items []struct{ ID, Channel string }
	}
	right.eventually("asked into the successor channel", func() bool {
		right.must(jan, http.MethodGet, "/invitations", nil, &asked)
		return slices.ContainsFunc(asked.Items, func(i struct{ ID, Channel string }) bool { return i.Channel == next.Channel.ID })
	})
}

// administrator makes one and is a token of theirs.
func (h *victim) administrator() string {
	h.t.Helper()
	var issued server.IssuedToken
	h.operate("people.add", server.NewAccount{Name: "root", Admin: true}, nil)
	h.operate("tokens.create", server.TokenFor{Name: "root"}, &issued)
	return issued.Token
}

// audited fails the test where the audit log has no entry of a kind.
func (h *victim) audited(admin, what string) {
	h.t.Helper()
	var log struct {
		Items []struct {
			What string
			At   time.Time
		}
	}
	h.must(admin, http.MethodGet, "/admin/audit?limit=200", nil, &log)
	for _, e := range log.Items {
		if e.What == what && time.Since(e.At) < time.Hour {
			return
		}
	}
	h.t.Errorf("%s: no %s in the audit log: %+v", h.name, what, log.Items)
}

// stopped fails the test where a member is not told that the channel's host has shown two histories,
// can change anything of it, or cannot go on talking.
func (h *victim) stopped(token, channel, name string) {
	h.t.Helper()
	type told struct {
		ID, Name string
		Forks    []struct{ Server, State, Detail string }
	}
	var one told
	var all struct{ Items []told }
	h.must(token, http.MethodGet, "/channels/"+channel, nil, &one)
	h.must(token, http.MethodGet, "/channels", nil, &all)
	for _, c := range append(all.Items, one) {
		if c.Name != name || len(c.Forks) != 1 || c.Forks[0].State != "stopped" || c.Forks[0].Detail == "" {
			h.t.Errorf("%s shows its members %+v", h.name, c)
		}
	}
	for _, change := range []struct {
		method, path string
		in           any
	}{
		{http.MethodPatch, "/channels/" + channel, map[string]string{"name": "Mine"}},
		{http.MethodPost, "/channels/" + channel + "/members", map[string]string{"address": "eve@nowhere.example", "role": "member"}},
		{http.MethodPost, "/channels/" + channel + "/host", map[string]string{"server": h.name}},
	} {
		var refused struct{ Code, Detail string }
		status, raw := h.call(token, change.method, change.path, change.in)
		if err := json.Unmarshal(raw, &refused); err != nil || status != http.StatusConflict || refused.Code != "host_forked" {
			h.t.Errorf("%s: %s %s: %d %s", h.name, change.method, change.path, status, raw)
		}
	}
	var thread shown
	h.must(token, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "We go on", "body": "As before."}, &thread)
}
