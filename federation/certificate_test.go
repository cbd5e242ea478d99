package federation_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/threads"
)

// ledger takes a log, for tests to read.
type ledger struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *ledger) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// metric is the value of a metric with labels as they are written, 0 where there is none.
func (s *site) metric(name string, labels ...string) (sum float64) {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			all := ""
			for _, l := range m.GetLabel() {
				all += " " + l.GetName() + "=" + l.GetValue() + " "
			}
			matches := true
			for _, l := range labels {
				matches = matches && strings.Contains(all, " "+l+" ")
			}
			if matches {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// T63: whatever is wrong with a partner's certificate, what is for it waits, the alarm says which it
// is, and a contact of the partner after the renewal brings everything.
func TestABadCertificateDelaysAndLosesNothing(t *testing.T) {
	a := newAuthority(t)
	for reason, worsen := range map[string]func(*secured) *tls.Certificate{
		"certificate_expired": func(s *secured) *tls.Certificate {
			return a.issue(s.host, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
		},
		"certificate_name": func(s *secured) *tls.Certificate {
			return a.issue(s.host, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} })
		},
		"certificate_self_signed": func(s *secured) *tls.Certificate { return a.selfSigned(s.host) },
		"certificate_chain": func(s *secured) *tls.Certificate {
			c := a.issue(s.host, nil)
			c.Certificate = c.Certificate[:1]
			return c
		},
		"certificate_authority": func(s *secured) *tls.Certificate { return newAuthority(t).issue(s.host, nil) },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			kobo, havel := newSecured(t, a, "kobo.example"), newSecured(t, a, "havel.example")
			said := &ledger{}
			kobo.close()
			kobo.said = said
			kobo.open()
			befriend(t, kobo.site, havel.site)
			ana, ben := kobo.person("ana"), havel.person("ben")
			channel, thread, _ := found(kobo.site, ana.ID, "full")
			join(t, kobo.site, ana.ID, channel, havel.site, ben)
			same(t, channel, kobo.site, havel.site)
			until := havel.shown.Leaf.NotAfter.Unix()
			if got := kobo.metric("meridian_partner_certificate_expiry_timestamp_seconds", "partner="+havel.name); got != float64(until) {
				t.Errorf("the metric says %f, the certificate ends %d", got, until)
			}

			havel.show(worsen(havel))
			kobo.idle()
			var posted []threads.Hash
			for range 20 {
				posted = append(posted, post(kobo.site, ana.ID, channel, thread, "Queued."))
			}
			eventually(t, time.Minute, "the alarm says which it is", func() bool {
				kobo.idle() // a connection from before would still do
				if _, err := kobo.exchange.ResyncPartner(t.Context(), havel.name); err != nil {
					t.Fatal(err)
				}
				return kobo.metric("meridian_partner_trouble", "partner="+havel.name, "reason="+reason) == 1
			})
			p, err := kobo.store.Partner(context.Background(), havel.name)
			if err != nil {
				t.Fatal(err)
			}
			p = kobo.exchange.Current(p)
			if p.Error == "" || p.Remedy == "" || p.Reason != reason || time.Until(p.NextTry) > time.Hour {
				t.Errorf("the administrator sees %+v", p.Exchange)
			}
			if fate := kobo.stored(ana.ID, posted[19]); fate.State != threads.OutcomeQueued {
				t.Errorf("the author is told %+v", fate)
			}
			if !strings.Contains(said.String(), "reason="+reason) || !strings.Contains(said.String(), "remedy=") {
				t.Errorf("the log says %s", said)
			}
			time.Sleep(200 * time.Millisecond)

			havel.show(a.issue(havel.host, nil))
			if _, err := havel.exchange.RetryPartner(context.Background(), kobo.name); err != nil { // as it does by itself every minute
				t.Fatal(err)
			}
			begun := time.Now()
			same(t, channel, kobo.site, havel.site)
			t.Logf("all there %s after the partner's next contact", time.Since(begun).Round(time.Millisecond))
			for _, id := range posted {
				eventually(t, time.Minute, "delivered", func() bool { return kobo.stored(ana.ID, id).State == threads.OutcomeDelivered })
			}
			if kobo.metric("meridian_partner_trouble", "partner="+havel.name) != 0 {
				t.Error("the alarm goes on")
			}
		})
	}
}
