package server

import (
	"net/http"
	"strings"
	"testing"
)

// T18: a person is erased at every member: name, address and all texts, here and
// at the partner, and nobody gets the address again.
func TestAnErasedPersonIsGoneEverywhere(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) { anErasedPersonIsGone(t, newSite(t, database()), newSite(t, "")) })
	}
}

// administrator makes an administrator and is their token.
func (at *site) administrator(name string) string {
	at.t.Helper()
	var issued IssuedToken
	at.mustOperate("people.add", NewAccount{Name: name, Admin: true}, nil)
	at.mustOperate("tokens.create", TokenFor{Name: name}, &issued)
	return issued.Token
}

func anErasedPersonIsGone(t *testing.T, a, b *site) {
	a.start()
	b.start()
	ana, ben, root := a.person("ana"), b.person("ben"), a.administrator("root")
	befriend(a, b)
	channel := share(a, ana, b, ben, "ben@"+b.name)
	a.must(ana, http.MethodPost, "/channels/"+channel+"/members", newMember{Address: "root@" + a.name, Role: "owner"}, nil)
	var thread, theirs item
	a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pump", "body": "A canary in the pump."}, &thread)
	texts := func(at *site, token string) (bodies []string) {
		var found list
		at.must(token, http.MethodGet, "/threads/"+thread.ID+"/messages", nil, &found)
		for _, m := range found.Items {
			bodies = append(bodies, m.Body)
		}
		return bodies
	}
	b.eventually("holding the thread", func() bool { return b.status(b.url+"/api/v1/threads/"+thread.ID, ben) == http.StatusOK })
	b.must(ben, http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "An answer stays."}, &theirs)
	b.eventually("knowing ana", func() bool { return b.status(b.url+"/api/v1/people/ana@"+a.name, ben) == http.StatusOK })

	if status := b.call(ben, http.MethodDelete, "/admin/people/ana@"+a.name, nil, nil); status != http.StatusNotFound {
		t.Errorf("erased by who is no administrator: %d", status)
	}
	a.mustOperate("people.erase", Named{Name: "ana"}, nil)
	if status := a.status(a.url+"/api/v1/me", ana); status != http.StatusUnauthorized {
		t.Errorf("their token: %d", status)
	}
	b.eventually("without ana's texts", func() bool { return len(texts(b, ben)) == 1 })
	for at, token := range map[*site]string{a: root, b: ben} {
		if got := texts(at, token); len(got) != 1 || got[0] != "An answer stays." {
			t.Errorf("%s shows %v", at.name, got)
		}
		if status := at.status(at.url+"/api/v1/people/ana@"+a.name, token); status != http.StatusNotFound {
			t.Errorf("%s knows the address: %d", at.name, status)
		}
		var hits list
		at.must(token, http.MethodGet, "/search?q=canary", nil, &hits)
		if len(hits.Items) > 0 {
			t.Errorf("%s finds %v", at.name, hits.Items)
		}
		if hash := at.stateHash(token, channel); hash != a.stateHash(root, channel) {
			t.Errorf("%s has another state", at.name)
		}
	}
	if err := a.operate("people.add", NewAccount{Name: "ana"}, nil); err == nil || !strings.Contains(err.Error(), "erased") {
		t.Errorf("the address is given again: %v", err)
	}
	var ledger struct {
		Items []struct {
			Kind     string
			Receipts []struct{ Partner, State string }
		}
	}
	a.eventually("the partner's receipt", func() bool {
		a.must(root, http.MethodGet, "/admin/erasures", nil, &ledger)
		return len(ledger.Items) == 1 && ledger.Items[0].Kind == "person.erased" &&
			len(ledger.Items[0].Receipts) == 1 && ledger.Items[0].Receipts[0].State == "confirmed"
	})
	if status := b.call(ben, http.MethodGet, "/admin/erasures", nil, nil); status != http.StatusNotFound {
		t.Errorf("the ledger to who is no administrator: %d", status)
	}
}

// T18: who erased a message sees what each partner said, or that it is away.
func TestTheLedgerSaysWhoIsSilent(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	a.start()
	b.start()
	ana, ben, eve := a.person("ana"), b.person("ben"), a.person("eve")
	befriend(a, b)
	channel := share(a, ana, b, ben, "ben@"+b.name)
	var thread item
	a.must(ana, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Pump", "body": "first"}, &thread)
	b.eventually("holding the thread", func() bool { return b.status(b.url+"/api/v1/threads/"+thread.ID, ben) == http.StatusOK })
	message := a.tryPost(ana, thread.ID, "a mistake")
	b.eventually("holding the message", func() bool { return b.status(b.url+"/api/v1/messages/"+message, ben) == http.StatusOK })
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	a.must(ana, http.MethodDelete, "/messages/"+message, nil, nil)
	state := func() string {
		var erasure struct {
			Receipts []struct{ Partner, State, Error, Remedy string }
		}
		a.must(ana, http.MethodGet, "/messages/"+message+"/erasure", nil, &erasure)
		if len(erasure.Receipts) != 1 || erasure.Receipts[0].Partner != b.name {
			t.Fatalf("%+v", erasure)
		}
		if r := erasure.Receipts[0]; r.State == "unreachable" && (r.Error == "" || r.Remedy == "") {
			t.Errorf("%+v says not why", r)
		}
		return erasure.Receipts[0].State
	}
	a.eventually("saying that the partner is away", func() bool { return state() == "unreachable" })
	if status := a.call(eve, http.MethodGet, "/messages/"+message+"/erasure", nil, nil); status != http.StatusNotFound {
		t.Errorf("to somebody else: %d", status)
	}
	b.start()
	a.eventually("saying that the partner erased it", func() bool { return state() == "confirmed" })
}
