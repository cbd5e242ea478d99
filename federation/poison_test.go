package federation_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/federation"
	"meridian/threads"
)

// patience is how long the servers of this test wait for an answer; -poison.patience=30s is as they do
// outside of tests.
var patience = flag.Duration("poison.patience", time.Second, "how long servers wait for the answer to a push")

// T29: one message that a partner always fails on, however it does: its other messages and everybody
// else's arrive, and the administrator and the author see what became of the one.
func TestWhatOnePartnerAlwaysFailsOnReachesTheOthers(t *testing.T) {
	for what, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"400":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"413":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) },
		"500":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a broken connection":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"an answer that is none": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<p>Hello") },
		"no answer":              func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			poisoned(t, answer)
		})
	}
}

func poisoned(t *testing.T, fails func(http.ResponseWriter, *http.Request)) {
	ctx := context.Background()
	a, b, c := newSite(t), newSite(t), newSite(t)
	a.close()
	impatient := federation.NewTransport(onLoopback(), nil)
	impatient.ResponseHeaderTimeout = *patience
	a.transport = impatient
	a.open()
	befriend(t, a, b)
	befriend(t, a, c)
	ana, ben, cy := a.person("ana"), b.person("ben"), c.person("cy")
	var channels, talks []threads.Hash
	for range 3 {
		channel, thread, _ := found(a, ana.ID, "full")
		join(t, a, ana.ID, channel, b, ben)
		join(t, a, ana.ID, channel, c, cy)
		channels, talks = append(channels, channel), append(talks, thread)
	}
	for _, channel := range channels {
		same(t, channel, a, b, c)
	}
	b.meddle(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.HasSuffix(r.URL.Path, "/push") && bytes.Contains(body, []byte("arsenic")) {
			fails(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	begun := time.Now()
	poison := post(a, ana.ID, channels[0], talks[0], "arsenic")
	for i := range 5 {
		post(a, ana.ID, channels[1], talks[1], fmt.Sprint("water ", i))
		post(a, ana.ID, channels[2], talks[2], fmt.Sprint("tea ", i))
	}
	eventually(t, time.Minute, "the others have all at C and, but for the one channel, at B", func() bool {
		return a.hash(channels[0]) == c.hash(channels[0]) && a.hash(channels[1]) == b.hash(channels[1]) && a.hash(channels[2]) == b.hash(channels[2])
	})
	took := time.Since(begun)
	eventually(t, 2*time.Minute, "it is said what B does not take", func() bool {
		parked, _, err := a.store.PartnerChannels(ctx, b.name, threads.Page{})
		return err == nil && len(parked) == 1 && parked[0].Channel == channels[0] && parked[0].State == threads.ChannelRejected && parked[0].Error != "" && parked[0].Remedy != ""
	})
	eventually(t, time.Minute, "the metric says so", func() bool { return a.metric("meridian_partner_parked_channels", "partner="+b.name) == 1 })
	if n := a.metric("meridian_partner_parked_channels", "partner="+c.name); n != 0 {
		t.Errorf("%f channels are parked at C", n)
	}
	eventually(t, time.Minute, "C's delivery is written down", func() bool {
		all, err := a.store.Reading().Delivery(ctx, ana.ID, poison)
		return err == nil && slices.ContainsFunc(all, func(o threads.Outcome) bool { return o.State == threads.OutcomeDelivered })
	})
	outcomes, err := a.store.Reading().Delivery(ctx, ana.ID, poison)
	if err != nil || len(outcomes) != 2 {
		t.Fatalf("%+v, %v", outcomes, err)
	}
	for _, o := range outcomes {
		want := map[string]string{b.name: threads.OutcomeRejected, c.name: threads.OutcomeDelivered}[o.Partner]
		if o.State != want || (want == threads.OutcomeRejected) != (o.Error != "" && o.Remedy != "") {
			t.Errorf("the author is told %+v", o)
		}
	}
	t.Logf("the others arrived within %s", took.Round(time.Millisecond))
}
