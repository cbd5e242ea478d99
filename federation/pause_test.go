package federation_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"meridian/threads"
)

// counted counts the exchanges that arrive at a site.
func counted(s *site) *atomic.Int64 {
	n := &atomic.Int64{}
	s.handler.mu.Lock()
	defer s.handler.mu.Unlock()
	inner := s.handler.handler
	s.handler.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		inner.ServeHTTP(w, r)
	})
	return n
}

func TestWhileAPartnerIsPausedNothingIsSentOrFetched(t *testing.T) {
	ctx := context.Background()
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, thread, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	if _, err := a.exchange.PausePartner(ctx, threads.ByAdmin, b.name); err != nil {
		t.Fatal(err)
	}
	a.close() // a pause outlives a restart
	a.open()
	time.Sleep(50 * time.Millisecond)
	atB, seq := counted(b), b.channel(channel).Frontier()
	id := post(a, ana.ID, channel, thread, "Not yet.")
	post(b, ben.ID, channel, thread, "Nor this.")
	if _, err := b.exchange.RetryPartner(ctx, a.name); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "B is told that A pauses", func() bool {
		p, err := b.store.Partner(ctx, a.name)
		return err == nil && b.exchange.Current(p).Reason == "closed"
	})
	if n := atB.Load(); n != 0 {
		t.Errorf("%d exchanges reached the paused partner", n)
	}
	if a.channel(channel).Frontier()[0].Seq != 3 || len(b.channel(channel).Frontier()) != len(seq)+1 {
		t.Errorf("a has %v, b has %v", a.channel(channel).Frontier(), b.channel(channel).Frontier())
	}
	fate, err := a.store.Reading().Delivery(ctx, ana.ID, id)
	if err != nil || len(fate) != 1 || fate[0].State != "queued" || fate[0].Error == "" || fate[0].Remedy == "" {
		t.Errorf("the author is told %+v, %v", fate, err)
	}
	if _, err := a.exchange.ResumePartner(ctx, threads.ByAdmin, b.name); err != nil {
		t.Fatal(err)
	}
	same(t, channel, a, b)
}

func TestOnlyKnownPartnersArePausedAndHurried(t *testing.T) {
	a := newSite(t)
	for what, do := range map[string]func(context.Context, string) (threads.Partner, error){
		"pause": func(ctx context.Context, name string) (threads.Partner, error) {
			return a.exchange.PausePartner(ctx, threads.ByAdmin, name)
		},
		"resume": func(ctx context.Context, name string) (threads.Partner, error) {
			return a.exchange.ResumePartner(ctx, threads.ByAdmin, name)
		},
		"retry": a.exchange.RetryPartner, "resync": a.exchange.ResyncPartner,
	} {
		_, err := do(context.Background(), "nobody.example")
		var refused *threads.Error
		if !errors.As(err, &refused) || refused.Kind != threads.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What the partner lost behind our back, which no comparison of sums would ask about, comes with a resync.
func TestAResyncComparesWhatLooksEqual(t *testing.T) {
	ctx := context.Background()
	a, b := newSite(t), newSite(t)
	befriend(t, a, b)
	ana, ben := a.person("ana"), b.person("ben")
	channel, _, _ := found(a, ana.ID, "full")
	join(t, a, ana.ID, channel, b, ben)
	same(t, channel, a, b)
	eventually(t, time.Minute, "all is quiet", func() bool {
		n := counted(b)
		time.Sleep(300 * time.Millisecond)
		return n.Load() == 0
	})
	pulls := &atomic.Int64{}
	b.handler.mu.Lock()
	inner := b.handler.handler
	b.handler.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/federation/v1/pull" {
			pulls.Add(1)
		}
		inner.ServeHTTP(w, r)
	})
	b.handler.mu.Unlock()
	if _, err := a.exchange.RetryPartner(ctx, b.name); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if n := pulls.Load(); n != 0 {
		t.Errorf("a retry pulled %d times what is equal", n)
	}
	if _, err := a.exchange.ResyncPartner(ctx, b.name); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the channel is pulled", func() bool { return pulls.Load() > 0 })
	same(t, channel, a, b)
}
