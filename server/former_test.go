package server

import (
	"net/http"
	"testing"
	"time"

	"meridian/threads"
)

// channelNow is what a site holds of a channel; nil for nothing.
func (at *site) channelNow(channel string) *threads.Channel {
	at.t.Helper()
	c, err := at.running.journal.Channel(at.t.Context(), channel)
	if err != nil {
		at.t.Fatal(err)
	}
	return c
}

// removes has a host remove a site, and waits until that one knows.
func (at *site) removes(token, channel string, other *site) {
	at.t.Helper()
	at.must(token, http.MethodDelete, "/channels/"+channel+"/servers/"+other.name, nil, nil)
	other.eventually("knowing that it was removed", func() bool { return !other.channelNow(channel).IsMember(other.name) })
}

// agreesAgain has a host that was set back go on once it is sure of its control log, and let in again
// whom it had removed: there is one history.
func (at *site) agreesAgain(token, channel string, other *site, guest, address string) {
	at.t.Helper()
	head := other.channelNow(channel).Control
	at.surely(channel, other)
	if c := at.channelNow(channel); c.Control != head || c.IsMember(other.name) {
		at.t.Errorf("sure of the control log at %d, %s; the removed holds %d, %s", c.Control.Seq, c.Control.Hash, head.Seq, head.Hash)
	}
	at.must(token, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Set back, and on"}, nil)
	at.must(token, http.MethodPost, "/channels/"+channel+"/members", newMember{Address: address}, nil)
	other.eventually("a member again", func() bool {
		time.Sleep(200 * time.Millisecond) // requests are counted
		var invitations list
		other.must(guest, http.MethodGet, "/invitations", nil, &invitations)
		for _, i := range invitations.Items {
			if i.State == threads.InvitationPending {
				other.must(guest, http.MethodPost, "/invitations/"+i.ID+"/accept", nil, nil)
			}
		}
		return other.channelNow(channel).IsMember(other.name)
	})
	at.eventually("of one state again", func() bool {
		c := other.channelNow(channel)
		return !c.Split() && at.stateHash(token, channel) == other.stateHash(guest, channel)
	})
}

// The host was put back to when a server that it has removed since was a member.
func TestAHostSetBackIsGivenItsControlLogByAFormerMember(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	a.mustStop()
	old := a.copyDatabase()
	a.start()
	a.must(ana, http.MethodPatch, "/channels/"+channel, map[string]string{"purpose": "Pumps and valves"}, nil)
	a.mustPost(ana, thread, "two")
	b.holding(ben, thread, 2)
	a.removes(ana, channel, b)
	a.mustStop()
	a.putDatabase(old)
	a.start()
	a.agreesAgain(ana, channel, b, ben, "ben@"+b.name)
	a.mustPost(ana, thread, "three") // not where the removed holds another message
	a.holding(ana, thread, 3)
	b.holding(ben, thread, 3)
	if c := b.channelNow(channel); len(c.Forked()) > 0 {
		t.Errorf("forked at %v", c.Forked())
	}
}

// The host was put back to before somebody joined whom it has removed since.
func TestAHostSetBackIsGivenItsControlLogByAFormerMemberThatItNeverKnew(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	together(a, b)
	a.start()
	b.start()
	ana, ben := a.person("ana"), b.person("ben")
	befriend(a, b)
	var made, thread item
	a.must(ana, http.MethodPost, "/channels", map[string]string{"name": "Shared"}, &made)
	a.must(ana, http.MethodPost, "/channels/"+made.ID+"/threads", map[string]string{"title": "Pumps", "body": "one"}, &thread)
	a.mustStop()
	old := a.copyDatabase()
	a.start()
	invite(a, ana, b, ben, "ben@"+b.name, made.ID)
	a.removes(ana, made.ID, b)
	a.mustStop()
	a.putDatabase(old)
	a.start()
	a.agreesAgain(ana, made.ID, b, ben, "ben@"+b.name)
}

// The host lost all but its key, and nobody is left in the channel: it comes back with its control log,
// and what was said there with whoever is let in again.
func TestAHostThatLostAllIsGivenAChannelByAFormerMember(t *testing.T) {
	a, b, ana, ben, channel, thread := pairOf(t)
	a.mustPost(ana, thread, "two")
	b.holding(ben, thread, 2)
	a.removes(ana, channel, b)
	a.mustStop()
	a.lose("")
	a.start()
	for _, verb := range []string{"add", "allow"} {
		a.mustOperate("partners."+verb, PartnerChange{Name: b.name}, nil)
	}
	a.eventually("given the channel back", func() bool { return a.channelNow(channel) != nil })
	a.eventually("told who its own people were", func() bool {
		p, err := a.running.store.PersonByAddress(t.Context(), "ana@"+a.name)
		return err == nil && !p.Local
	})
	ana = a.person("ana")
	a.agreesAgain(ana, channel, b, ben, "ben@"+b.name)
	a.holding(ana, thread, 2)
}
