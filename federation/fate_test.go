package federation_test

import (
	"sync"
	"testing"
	"time"

	"meridian/threads"
)

// fates are what authors of a site are told.
type fates struct {
	mu  sync.Mutex
	all []threads.Fate
}

func (f *fates) told(some []threads.Fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, some...)
}

// last is what was told last of a message at a partner.
func (f *fates) last(message threads.Hash) threads.Fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.all) - 1; i >= 0; i-- {
		if f.all[i].Message == message {
			return f.all[i]
		}
	}
	return threads.Fate{}
}

// stored is what an author who asks is answered.
func (s *site) stored(author string, message threads.Hash) threads.Outcome {
	s.t.Helper()
	all, err := s.store.Reading().Delivery(s.t.Context(), author, message)
	if err != nil || len(all) != 1 {
		s.t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

func TestAuthorsAreToldWhatBecameOfTheirMessages(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	// Told and asked come to the same, from the moment of being told.
	becomes := func(id threads.Hash, state string) {
		t.Helper()
		eventually(t, time.Minute, "told "+state, func() bool { return a.fates.last(id).State == state })
		told, stored := a.fates.last(id), a.stored(ana.ID, id)
		if told.Author != ana.ID || told.Channel != channel || told.Partner != b.name || stored.State != state {
			t.Errorf("told %+v, stored %+v", told, stored)
		}
		if (state == threads.OutcomeDelivered) != (told.Error == "" && told.Remedy == "") {
			t.Errorf("told %+v", told)
		}
	}
	becomes(post(a, ana.ID, channel, thread, "It arrives."), threads.OutcomeDelivered)

	b.close()
	late := post(a, ana.ID, channel, thread, "While you are away.")
	becomes(late, threads.OutcomeQueued)
	b.open()
	becomes(late, threads.OutcomeDelivered)

	b.handler.mu.Lock()
	b.handler.chokes = "arsenic"
	b.handler.mu.Unlock()
	poison := post(a, ana.ID, channel, thread, "arsenic")
	becomes(poison, threads.OutcomeRejected)
	b.handler.mu.Lock()
	b.handler.chokes = ""
	b.handler.mu.Unlock()
	if _, err := a.exchange.RetryPartner(t.Context(), b.name); err != nil {
		t.Fatal(err)
	}
	becomes(poison, threads.OutcomeDelivered)
}

// A partner that comes back fetches by itself what it lacks: its authors' messages count as delivered
// all the same.
func TestAuthorsAreToldOfWhatThePartnerFetched(t *testing.T) {
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	b.handler.set(true) // A cannot reach B, and B can reach A
	var ids []threads.Hash
	for range 5 {
		ids = append(ids, post(a, ana.ID, channel, thread, "Fetch me."))
	}
	eventually(t, time.Minute, "B has fetched them", func() bool {
		if _, err := b.exchange.RetryPartner(t.Context(), a.name); err != nil {
			t.Fatal(err)
		}
		return a.hash(channel) == b.hash(channel)
	})
	b.handler.set(false)
	for _, id := range ids {
		eventually(t, time.Minute, "told", func() bool { return a.fates.last(id).State == threads.OutcomeDelivered })
	}
}
