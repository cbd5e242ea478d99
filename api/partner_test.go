package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/api"
	"meridian/config"
	"meridian/federation"
	"meridian/internal/loopback"
	"meridian/server"
	"meridian/threads"
)

// site is a whole server, with an administrator.
type site struct {
	*world
	name    string
	options server.Options
	root    *user
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := loopback.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// newSite installs and runs a server. Its answers are held against the document of w.
func newSite(t testing.TB, w *world) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{name: freeAddress(t)}
	s.world = &world{t: t, api: w.api, url: "http://" + s.name, client: http.DefaultClient}
	var file bytes.Buffer
	if err := config.WriteDefault(&file, s.url, dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "meridian.yaml")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := federation.CreateKey(server.KeyFile(dir), rand.Reader); err != nil {
		t.Fatal(err)
	}
	settings, err := config.Load(path, nil, map[string]string{"admin_listen": freeAddress(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.options = server.Options{Config: settings, Log: slog.New(slog.DiscardHandler), Clock: time.Now, Version: "test"}
	s.run()
	t.Cleanup(func() { s.stop() })
	s.root = s.person("root", true)
	return s
}

func (s *site) run() {
	s.t.Helper()
	s.options.Registry = prometheus.NewRegistry()
	running, err := server.New(context.Background(), s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.eventually("up", func() bool {
		conn, err := net.Dial("tcp", s.name)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (s *site) eventually(what string, f func() bool) {
	s.t.Helper()
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	s.t.Fatalf("%s: not %s in time", s.name, what)
}

// person makes somebody of the site, by the administrator's own door.
func (s *site) person(name string, admin bool) *user {
	s.t.Helper()
	o := s.options
	o.Registry = prometheus.NewRegistry()
	var issued server.IssuedToken
	err := server.Attach(context.Background(), o, func(c *http.Client) error {
		if err := server.Call(context.Background(), c, "people.add", server.NewAccount{Name: name, Admin: admin}, nil); err != nil {
			return err
		}
		return server.Call(context.Background(), c, "tokens.create", server.TokenFor{Name: name}, &issued)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return &user{w: s.world, address: issued.Address, secret: issued.Token, token: issued.ID}
}

// befriend makes two sites partners, each comparing the other's fingerprint.
func befriend(a, b *site) {
	for _, pair := range [][2]*site{{a, b}, {b, a}} {
		here, there := pair[0], pair[1]
		var p api.Partner
		here.must(201, here.root, "POST", "/admin/partners", object{"name": there.name}).into(here.t, &p)
		if p.State != "pending" || p.Fingerprint == "" {
			here.t.Fatalf("%+v", p)
		}
	}
	for _, pair := range [][2]*site{{a, b}, {b, a}} {
		here, there := pair[0], pair[1]
		path := "/admin/partners/" + there.name
		print := here.must(200, here.root, "GET", path, nil).text("fingerprint")
		here.must(409, here.root, "POST", path+"/allow", object{"fingerprint": "not" + print})
		for range 2 {
			if a := here.must(200, here.root, "POST", path+"/allow", object{"fingerprint": print}); a.text("state") != "allowed" {
				here.t.Fatalf("%s", a.raw)
			}
		}
	}
}

// T71: a name that looks like another server's, here this one's own, is allowed only explicitly.
func TestAllowingAConfusableNameTakesAWord(t *testing.T) {
	s := newSite(t, newWorld(t, api.Limits{}))
	path := "/admin/partners/" + strings.ReplaceAll(s.name, "1", "l") + "/allow"
	if a := s.must(409, s.root, "POST", path, object{}); a.text("code") != "confusable" || !strings.Contains(string(a.raw), s.name) {
		t.Errorf("%s", a.raw)
	}
	if a := s.must(409, s.root, "POST", path, object{"confusable": true}); a.text("code") != "unknown_fingerprint" {
		t.Errorf("%s", a.raw)
	}
	s.must(201, s.root, "POST", "/admin/people", object{"name": "mila"})
	if a := s.must(409, s.root, "POST", "/admin/people", object{"name": "rni1a"}); a.text("code") != "confusable" {
		t.Errorf("%s", a.raw)
	}
}

// T71: people call themselves what they like, so no answer gives that name without the address, which has the
// domain.
func TestNoNameOfAPersonIsShownWithoutTheAddress(t *testing.T) {
	w := newWorld(t, api.Limits{})
	found := 0
	for name, schema := range w.api.Document().Components.Schemas.Map() {
		called := schema.Properties["name"]
		if called == nil || called.Description != "As they call themselves." {
			continue
		}
		found++
		if !slices.Contains(schema.Required, "address") {
			t.Errorf("%s tells how a person is called and not who it is", name)
		}
	}
	if found == 0 {
		t.Error("no answer tells how people call themselves")
	}
}

func TestOrganisationsBecomePartnersAndShareAChannel(t *testing.T) {
	w := newWorld(t, api.Limits{})
	kobo, havel := newSite(t, w), newSite(t, w)
	befriend(kobo, havel)
	ana, jan, eva := kobo.person("ana", false), havel.person("jan", false), havel.person("eva", false)
	channel := kobo.channel(ana, "Harbour")
	members := "/channels/" + channel + "/members"
	key := []string{"Idempotency-Key", "k"}
	for range 2 {
		if a := kobo.must(202, ana, "POST", members, object{"address": jan.address}, key...); a.text("state") != "invited" {
			t.Errorf("%s", a.raw)
		}
	}
	kobo.must(409, ana, "POST", members, object{"address": eva.address}, key...)
	kobo.must(202, ana, "POST", members, object{"address": eva.address, "role": "owner"})
	invitation := func(u *user) (i api.Invitation) {
		havel.eventually("invited", func() bool {
			var list api.List[api.Invitation]
			havel.must(200, u, "GET", "/invitations", nil).into(t, &list)
			if len(list.Items) == 0 {
				return false
			}
			i = list.Items[0]
			return len(list.Items) == 1
		})
		return i
	}
	first := invitation(jan)
	if first.Channel != channel || first.State != "pending" || first.Host != kobo.name {
		t.Errorf("%+v", first)
	}
	havel.must(404, eva, "POST", "/invitations/"+first.ID+"/accept", nil) // it is another's
	var invited api.List[api.Member]
	kobo.must(200, ana, "GET", members+"?state=invited", nil).into(t, &invited)
	if len(invited.Items) != 2 {
		t.Errorf("%+v", invited)
	}
	havel.must(200, jan, "POST", "/invitations/"+first.ID+"/accept", nil)
	havel.must(200, eva, "POST", "/invitations/"+invitation(eva).ID+"/accept", nil)
	havel.eventually("in", func() bool {
		return havel.send(jan, "GET", "/channels/"+channel, nil).status == 200 && havel.send(eva, "GET", "/channels/"+channel, nil).status == 200
	})
	conversation(t, kobo, havel, ana, jan, channel)
	commandsFromElsewhere(t, kobo, havel, eva, channel)
}

// conversation has both sides write and read.
func conversation(t *testing.T, kobo, havel *site, ana, jan *user, channel string) {
	t.Helper()
	l := havel.resumed(jan, havel.cursor(jan))
	thread := kobo.thread(ana, channel, "Quay 4")
	asked := kobo.post(ana, thread, "for @"+jan.address)
	for e := l.any(); e.Type != "message.posted"; e = l.any() {
	}
	answered := havel.must(201, jan, "POST", "/threads/"+thread+"/messages", object{"body": "here", "reply_to": asked}).text("id")
	kobo.eventually("told", func() bool { return kobo.send(ana, "GET", "/messages/"+answered, nil).status == 200 })
	havel.eventually("sure that it was delivered", func() bool {
		var to []api.Delivery
		havel.must(200, jan, "GET", "/messages/"+answered+"/delivery", nil).into(t, &to)
		return len(to) == 1 && to[0].Partner == kobo.name && to[0].State == "delivered"
	})
	var here, there api.ChannelState
	kobo.must(200, ana, "GET", "/channels/"+channel+"/state", nil).into(t, &here)
	havel.must(200, jan, "GET", "/channels/"+channel+"/state", nil).into(t, &there)
	if here.StateHash != there.StateHash {
		t.Errorf("states differ: %+v, %+v", here, there)
	}
	havel.eventually("acquainted", func() bool { return havel.send(jan, "GET", "/people/"+ana.address, nil).text("name") == "ana" })
}

// commandsFromElsewhere has an owner change what the host alone can write.
func commandsFromElsewhere(t *testing.T, kobo, havel *site, eva *user, channel string) {
	t.Helper()
	if a := havel.must(200, eva, "PATCH", "/channels/"+channel, object{"name": "Port"}); a.text("name") != "Port" {
		t.Errorf("%s", a.raw)
	}
	thread := havel.thread(eva, channel, "Quay 5")
	kobo.stop()
	a := havel.must(503, eva, "PATCH", "/channels/"+channel, object{"name": "Dock"})
	if a.text("code") == "internal" || a.header.Get("Retry-After") == "" {
		t.Errorf("Retry-After %q: %s", a.header.Get("Retry-After"), a.raw)
	}
	message := havel.post(eva, thread, "without the host")
	var to []api.Delivery
	havel.must(200, eva, "GET", "/messages/"+message+"/delivery", nil).into(t, &to)
	if len(to) != 1 || to[0].State != "queued" || to[0].Since == nil {
		t.Errorf("%+v", to)
	}
	havel.eventually("shown as undelivered", func() bool {
		var p api.Partner
		havel.must(200, havel.root, "GET", "/admin/partners/"+kobo.name, nil).into(t, &p)
		return p.Backlog > 0 && p.Oldest != nil
	})
	kobo.run()
	havel.eventually("delivered", func() bool {
		havel.must(200, eva, "GET", "/messages/"+message+"/delivery", nil).into(t, &to)
		return to[0].State == "delivered"
	})
}

func TestAdministratorsBlockAndSeePartners(t *testing.T) {
	w := newWorld(t, api.Limits{})
	kobo, havel := newSite(t, w), newSite(t, w)
	befriend(kobo, havel)
	if a := kobo.must(200, kobo.root, "POST", "/admin/partners/"+havel.name+"/block", nil); a.text("state") != "blocked" {
		t.Errorf("%s", a.raw)
	}
	var list api.List[api.Partner]
	kobo.must(200, kobo.root, "GET", "/admin/partners?state=blocked", nil).into(t, &list)
	if len(list.Items) != 1 || list.Items[0].Name != havel.name {
		t.Errorf("%+v", list)
	}
	kobo.must(422, kobo.root, "POST", "/admin/partners", object{"name": "NOT a name"})
	kobo.must(422, kobo.root, "POST", "/admin/partners", object{"name": kobo.name})
	kobo.must(404, kobo.root, "GET", "/admin/partners/unknown.example", nil)
	if a := kobo.must(503, kobo.root, "POST", "/admin/partners", object{"name": freeAddress(t)}); a.text("code") != "unreachable" {
		t.Errorf("%s", a.raw)
	}
	var accounts api.List[api.Account]
	kobo.must(201, kobo.root, "POST", "/admin/people", object{"name": "ana", "password": "correct horse", "zone": "Asia/Tokyo"})
	kobo.must(409, kobo.root, "POST", "/admin/people", object{"name": "ana"})
	kobo.must(422, kobo.root, "POST", "/admin/people", object{"name": "Not A Name"})
	kobo.must(422, kobo.root, "POST", "/admin/people", object{"name": "ben", "password": "short"})
	kobo.must(200, kobo.root, "GET", "/admin/people", nil).into(t, &accounts)
	if len(accounts.Items) != 2 || accounts.Items[0].Address != fmt.Sprintf("ana@%s", kobo.name) {
		t.Errorf("%+v", accounts)
	}
	kobo.must(201, nil, "POST", "/sessions", object{"name": "ana", "password": "correct horse"})
	var audit api.List[api.AuditEntry]
	kobo.must(200, kobo.root, "GET", "/admin/audit?limit=2", nil).into(t, &audit)
	if len(audit.Items) != 2 || audit.Items[0].What != "person.added" || audit.Items[1].What != "partner.blocked" ||
		audit.Items[1].Object != havel.name || threads.ServerOf(audit.Items[1].Who) != kobo.name || audit.Items[0].Seq != audit.Items[1].Seq+1 {
		t.Errorf("%+v", audit)
	}
	kobo.must(200, kobo.root, "GET", "/admin/audit?cursor="+audit.NextCursor, nil).into(t, &audit)
	if last := audit.Items[len(audit.Items)-1]; last.Seq != 1 || audit.NextCursor != "" {
		t.Errorf("the log ends with %+v", last)
	}
}

func TestAnAdministratorPausesAndHurriesAPartner(t *testing.T) {
	w := newWorld(t, api.Limits{})
	a, b := newSite(t, w), newSite(t, w)
	befriend(a, b)
	path := "/admin/partners/" + b.name
	for _, step := range []struct {
		verb   string
		paused bool
	}{{"pause", true}, {"retry", true}, {"resume", false}, {"resync", false}, {"block", false}} {
		for range 2 {
			var p api.Partner
			a.must(200, a.root, "POST", path+"/"+step.verb, nil).into(t, &p)
			if p.Paused != step.paused {
				t.Errorf("after %s: paused is %v", step.verb, p.Paused)
			}
		}
		a.must(404, a.root, "POST", "/admin/partners/nobody.example/pause", nil)
	}
	ben := a.person("ben", false)
	a.must(404, ben, "POST", path+"/pause", nil)
	var audit api.List[api.AuditEntry]
	a.must(200, a.root, "GET", "/admin/audit", nil).into(t, &audit)
	told := map[string]int{}
	for _, e := range audit.Items {
		if e.Object == b.name && threads.ServerOf(e.Who) == a.name {
			told[e.What]++
		}
	}
	for what, times := range map[string]int{"partner.paused": 2, "partner.retried": 2, "partner.resynced": 2, "partner.blocked": 1} {
		if told[what] != times {
			t.Errorf("%s stands %d times in the audit log, not %d: %v", what, told[what], times, told)
		}
	}
}
