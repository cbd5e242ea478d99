package server

import (
	"net/http"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
)

// T55: while the database is away people are told so with a 503 and nothing is
// acknowledged; when it is back the server goes on without a restart, and what was
// repeated under its key is stored once.
func TestADatabaseThatIsAwayIsSaidSoAndComesBack(t *testing.T) {
	proxy, through := pgtest.NewProxy(t, pgtest.URL(t))
	at := newSite(t, through)
	at.start()
	ana := at.person("ana")
	var channel, thread item
	at.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Own"}, &channel)
	at.must(ana, http.MethodPost, "/channels/"+channel.ID+"/threads", map[string]string{"title": "Hello"}, &thread)

	for _, key := range []string{"first", "second"} {
		proxy.Cut(true)
		if status := at.tryOnce(ana, thread.ID, key); status != http.StatusServiceUnavailable {
			t.Errorf("a post while the database is away: %d", status)
		}
		at.eventually("unready", func() bool { return at.status(at.admin+"/readyz", "") == http.StatusServiceUnavailable })
		proxy.Cut(false)
		begun := time.Now()
		at.eventually("storing again", func() bool { return at.tryOnce(ana, thread.ID, key) == http.StatusCreated })
		at.eventually("ready again", func() bool { return at.status(at.admin+"/readyz", "") == http.StatusOK })
		t.Logf("back after %s", time.Since(begun).Round(time.Millisecond))
	}
	if n := at.count(ana, thread.ID); n != 2 {
		t.Errorf("%d messages of 2 keys", n)
	}
}
