package sim_test

import (
	"net/http"
	"testing"

	"meridian/internal/store/pgtest"
)

// A scene is a victim with a channel, two member servers in the hands of the test, one of which will
// lie, and a stranger.
type scene struct {
	*victim
	ana, anaID               string // token and id of the owner of the channel
	mal, carol, stranger     *enemy
	channel, thread, message string
}

func newScene(t testing.TB, database string) *scene {
	t.Helper()
	s := &scene{victim: newVictim(t, database), mal: newEnemy(t), carol: newEnemy(t), stranger: newEnemy(t)}
	s.anaID, s.ana = s.person("ana")
	for _, e := range []*enemy{s.mal, s.carol} {
		s.befriend(e.name)
	}
	s.channel, s.thread, s.message = s.found("Pumps", "It leaks again.")
	s.admit(s.mal, s.channel)
	s.admit(s.carol, s.channel)
	s.mal.catchUp(s.victim)
	return s
}

// found makes a channel of ana's with a thread of one message.
func (s *scene) found(name, body string) (channel, thread, message string) {
	s.t.Helper()
	var made, begun shown
	s.must(s.ana, http.MethodPost, "/channels", map[string]string{"name": name}, &made)
	s.must(s.ana, http.MethodPost, "/channels/"+made.ID+"/threads", map[string]string{"title": name, "body": body}, &begun)
	return made.ID, begun.ID, s.messages(s.ana, begun.ID)[0].ID
}

// admit brings an enemy's person into a channel of ana's.
func (s *scene) admit(e *enemy, channel string) {
	s.t.Helper()
	s.must(s.ana, http.MethodPost, "/channels/"+channel+"/members", map[string]string{"address": "somebody@" + e.name, "role": "member"}, nil)
	e.accept(s.victim, channel)
	s.eventually("told who is at "+e.name, func() bool {
		status, _ := s.call(s.ana, http.MethodGet, "/people/somebody@"+e.name, nil)
		return status == http.StatusOK
	})
}

// shows reports whether ana sees a message with that text in the thread.
func (s *scene) shows(body string) bool {
	s.t.Helper()
	for _, m := range s.messages(s.ana, s.thread) {
		if m.Body == body {
			return true
		}
	}
	return false
}

// onBoth runs a test on SQLite and, where tests may take their time, on PostgreSQL.
func onBoth(t *testing.T, f func(t *testing.T, s *scene)) {
	t.Run("SQLite", func(t *testing.T) { f(t, newScene(t, "")) })
	if testing.Short() {
		return
	}
	t.Run("PostgreSQL", func(t *testing.T) { f(t, newScene(t, pgtest.URL(t))) })
}
