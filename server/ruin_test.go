package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"os"
	"testing"

	"meridian/federation"
	"meridian/threads"
)

// ruin leaves a site that does not run nothing but its configuration: a new key has to be made. It
// returns the fingerprint of that.
func (at *site) ruin(database string) string {
	at.t.Helper()
	at.lose(database)
	path := KeyFile(at.options.Config.DataDir)
	if err := os.Remove(path); err != nil {
		at.t.Fatal(err)
	}
	key, err := federation.CreateKey(path, rand.Reader)
	if err != nil {
		at.t.Fatal(err)
	}
	return federation.Fingerprint(key.Public().(ed25519.PublicKey))
}

// T56, second drill: disk and key are lost. The administrators become partners again by the new
// key's fingerprint, which closes the old log; what the partner held of it stays there, and people go on
// together in another channel.
func TestAServerThatLostItsKeyTooIsAPartnerAgainAndItsOldLogIsClosed(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, ""), newSite(t, "")
			together(a, b)
			a.start()
			b.start()
			ana, ben := a.person("ana"), b.person("ben")
			befriend(a, b)
			var channel, thread item
			a.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Shared", "history": "full"}, &channel)
			invite(a, ana, b, ben, "ben@"+b.name, channel.ID)
			a.must(ana, http.MethodPost, "/channels/"+channel.ID+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &thread)
			b.holding(ben, thread.ID, 1)
			b.mustPost(ben, thread.ID, "two")
			a.holding(ana, thread.ID, 2)

			b.mustStop()
			fingerprint := b.ruin(database())
			b.start()
			a.mustOperate("partners.add", PartnerChange{Name: b.name}, nil)
			a.mustOperate("partners.allow", PartnerChange{Name: b.name, Fingerprint: fingerprint}, nil)
			for _, verb := range []string{"add", "allow"} {
				b.mustOperate("partners."+verb, PartnerChange{Name: a.name}, nil)
			}
			old := a.logsOf(channel.ID, b.name)
			a.eventually("closing the old log", func() bool { return a.closed(channel.ID, old[0].LogID) })
			ben = b.person("ben")
			next := share(a, ana, b, ben, "ben@"+b.name)
			var begun item
			a.must(ana, http.MethodPost, "/channels/"+next+"/threads", map[string]string{"title": "Pumps again", "body": "three"}, &begun)
			b.holding(ben, begun.ID, 1)
			b.mustPost(ben, begun.ID, "four")
			a.holding(ana, begun.ID, 2)
			if n := a.count(ana, thread.ID); n != 2 {
				t.Errorf("A shows %d messages of the old thread", n)
			}
		})
	}
}

// closed reports whether a log has a cut at the site.
func (at *site) closed(channel string, log threads.LogID) bool {
	at.t.Helper()
	c, err := at.running.store.Channel(at.t.Context(), channel)
	if err != nil {
		at.t.Fatal(err)
	}
	_, closed := c.CutOf(log)
	return closed
}
