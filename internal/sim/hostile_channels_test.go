package sim_test

import (
	"net/http"
	"testing"
)

func TestAMemberServerInOtherHandsIsHeardLikeAnyOther(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		if got := s.mal.push(s.house, s.mal.post(s.thread, "Honest so far.")); got.status != http.StatusOK || len(got.Refusals) > 0 || !s.shows("Honest so far.") {
			t.Fatalf("%+v", got)
		}
	})
}
