package federation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"meridian/threads"
)

// Results of a finding.
const (
	FindingGood    = "good"
	FindingBad     = "bad"
	FindingUnknown = "unknown" // what it needs went wrong before
)

// Finding is one thing that was looked at between this server and another.
type Finding struct {
	Check  string `json:"check"`  // of a closed set, in the order of Examine
	Result string `json:"result"` // good, bad or unknown
	Detail string `json:"detail"` // in plain words
	Remedy string `json:"remedy,omitempty"`
}

// The checks in their order; the last four are about how the other server reaches this one.
const (
	checkName      = "name"
	checkConnect   = "connection"
	checkTLS       = "tls"
	checkDocument  = "document"
	checkKey       = "key"
	checkClock     = "clock"
	checkHere      = "state_here"
	checkThere     = "state_there"
	checkSigned    = "signature"
	checkLarge     = "body_limit"
	checkBack      = "reached_back"
	checkOwnTLS    = "own_tls"
	checkSignedBy  = "signature_back"
	checkLargeBack = "own_body_limit"
)

// Days before its end from which a certificate is called bad.
const certificateWarning = 14

// clockWarning is how far clocks may lie apart; exchanges end at MaxClockDifference.
const clockWarning = 2 * time.Minute

// seen is how a server looked from here.
type seen struct {
	found     acquainted
	addresses []string
	connected string
	tls       *tls.ConnectionState
	date      string
	sent, got time.Time
	err       error
}

// look asks a server who it is over a connection of its own, and notes all that is met on the way.
func (x *Exchange) look(ctx context.Context, server string) seen {
	ctx, cancel := context.WithTimeout(ctx, backTime)
	defer cancel()
	by := x.Transport
	if t, ok := by.(*http.Transport); ok {
		t = t.Clone()
		t.DisableKeepAlives = true
		defer t.CloseIdleConnections()
		by = t
	}
	s := seen{sent: x.Clock()}
	var mu sync.Mutex // dialling goes on beside the request
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(d httptrace.DNSDoneInfo) {
			mu.Lock()
			defer mu.Unlock()
			for _, a := range d.Addrs[:min(len(d.Addrs), 8)] {
				s.addresses = append(s.addresses, a.String())
			}
		},
		GotConn: func(c httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			s.connected = c.Conn.RemoteAddr().String()
		},
	})
	found, answer, err := introduced(ctx, server, by)
	mu.Lock()
	defer mu.Unlock()
	s.found, s.err, s.got = found, err, x.Clock()
	if answer != nil {
		s.tls, s.date = answer.TLS, answer.Header.Get("Date")
	}
	out := s
	out.addresses = append([]string{}, s.addresses...)
	return out
}

// Examine looks at all that can stand between this server and another, in both directions, and says
// what helps. It changes nothing but what is known of the partner's clock and certificate. A name that
// cannot be a server's is refused.
func (x *Exchange) Examine(ctx context.Context, name string) ([]Finding, error) {
	if _, err := ParseServerName(name); err != nil {
		return nil, threads.Refuse(threads.Invalid, "invalid", "/name", err.Error())
	}
	if name == x.Server {
		return nil, threads.Refuse(threads.Invalid, "invalid", "/name", "is this server itself")
	}
	p, err := x.partner(ctx, name)
	if err != nil {
		return nil, err
	}
	e := &examination{x: x, partner: p, name: name}
	s := x.look(ctx, name)
	e.reach(s)
	e.here()
	if s.err != nil {
		e.unknown("it was not reached", checkThere, checkSigned, checkLarge, checkBack, checkOwnTLS, checkSignedBy, checkLargeBack)
		return e.findings, nil
	}
	e.roundTrip(ctx)
	return e.findings, nil
}

// examination gathers findings.
type examination struct {
	x        *Exchange
	partner  threads.Partner
	name     string
	findings []Finding
}

func (e *examination) good(check, format string, args ...any) {
	e.findings = append(e.findings, Finding{check, FindingGood, fmt.Sprintf(format, args...), ""})
}

func (e *examination) bad(check, detail, remedy string) {
	e.findings = append(e.findings, Finding{check, FindingBad, detail, remedy})
}

func (e *examination) unknown(why string, checks ...string) {
	for _, c := range checks {
		e.findings = append(e.findings, Finding{c, FindingUnknown, "not looked at: " + why, ""})
	}
}

// reach is how far this server gets towards the other.
func (e *examination) reach(s seen) {
	order := []string{checkName, checkConnect, checkTLS, checkDocument, checkKey, checkClock}
	failed := len(order)
	if s.err != nil {
		t := diagnose(e.name, s.err)
		failed = failedAt(t.reason)
		defer func() {
			e.bad(order[failed], t.text, t.remedy)
			e.unknown("the check before it failed", order[failed+1:]...)
		}()
	}
	for _, check := range order[:failed] {
		switch check {
		case checkName:
			e.named(s)
		case checkConnect:
			e.good(check, "connected to %s", s.connected)
		case checkTLS:
			e.encrypted(checkTLS, e.name, certificateSeen(s.tls))
		case checkDocument:
			e.good(check, "it says that it is %s, with key %s", e.name, Fingerprint(s.found.newest().Public))
		case checkKey:
			e.pinned(s.found)
		case checkClock:
			e.clock(s)
		}
	}
}

// failedAt is the place among the checks of reach at which a trouble shows.
func failedAt(reason string) int {
	switch {
	case reason == troubleName || reason == troubleAddress:
		return 0
	case reason == troubleTLS || strings.HasPrefix(reason, "certificate_"):
		return 2
	case reason == troubleAnswer:
		return 3
	}
	return 1
}

func (e *examination) named(s seen) {
	host, _, _ := splitPort(e.name)
	if len(s.addresses) == 0 || net.ParseIP(host) != nil {
		e.good(checkName, "%s may be dialled", e.name)
		return
	}
	e.good(checkName, "%s resolves to %s", host, strings.Join(s.addresses, ", "))
}

// encrypted judges a certificate that has been verified by whom it was shown to.
func (e *examination) encrypted(check, whose string, c *wireCertificate) {
	if c == nil {
		e.good(check, "not used: %s is on loopback", whose)
		return
	}
	until, err := time.Parse(time.RFC3339, c.Until)
	if days := int(until.Sub(e.x.Clock()).Hours() / 24); err == nil && days < certificateWarning {
		e.bad(check, fmt.Sprintf("the certificate of %s ends in %d days, on %s", whose, days, day(until)),
			"renew it, and look why that did not happen by itself")
		return
	}
	e.good(check, "the certificate of %s, by %s, with %d in its chain, is good until %s", whose, c.Issuer, c.Chain, day(until))
}

func (e *examination) pinned(found acquainted) {
	switch {
	case e.partner.Key.ID == "":
		e.good(checkKey, "none is pinned here yet; compare the fingerprint above with its administrators")
	case found.shows(e.partner.Key):
		e.good(checkKey, "it shows the key that is pinned here")
	default:
		e.bad(checkKey, "it shows another key than the pinned one, "+Fingerprint(e.partner.Key.Public),
			"ask its administrators by another way whether they changed it; if so, allow it again with the new fingerprint")
	}
}

func (e *examination) clock(s seen) {
	theirs, err := http.ParseTime(s.date)
	if err != nil {
		e.bad(checkClock, "its answer has no Date", "its administrators have to look whether a proxy takes it away")
		return
	}
	apart := theirs.Sub(s.sent.Add(s.got.Sub(s.sent) / 2)).Round(time.Second)
	if apart.Abs() > clockWarning {
		e.bad(checkClock, fmt.Sprintf("its clock is %s from this one; at %s exchanges end", apart, MaxClockDifference), "set the clocks of both servers right (NTP)")
		return
	}
	e.good(checkClock, "its clock is %s from this one", apart)
}

// here is what administrators of this server decided.
func (e *examination) here() {
	switch p := e.partner; {
	case p.State == "":
		e.bad(checkHere, "it is not known here", "partner add, compare fingerprints, partner allow")
	case p.State == threads.PartnerBlocked:
		e.bad(checkHere, "it is blocked here", "partner allow takes it up again")
	case p.Paused:
		e.bad(checkHere, "the exchange with it is paused here", "partner resume")
	case p.Hold != "":
		e.bad(checkHere, "it is on hold here: "+p.Hold, "ask its administrators, then partner allow with the fingerprint that they confirm")
	case p.State == threads.PartnerPending:
		e.bad(checkHere, "it is pending here: only channels that both are members of are exchanged", "compare fingerprints, then partner allow")
	default:
		e.good(checkHere, "it is allowed here")
	}
}

// roundTrip sends signed requests there, and learns what became of those sent back.
func (e *examination) roundTrip(ctx context.Context) {
	answer, err := e.x.check(ctx, e.name, 0, true)
	if err != nil {
		var p *Problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound && p.Code == "not_found" {
			e.unknown("that server does not know this exchange", checkThere, checkSigned, checkLarge, checkBack, checkOwnTLS, checkSignedBy, checkLargeBack)
			return
		}
		t := diagnose(e.name, err)
		at, left := checkSigned, checkThere
		if t.reason == troubleStranger || t.reason == troubleClosed {
			at, left = checkThere, checkSigned
		}
		e.bad(at, t.text, t.remedy)
		e.unknown("a signed request was not answered", left, checkLarge, checkBack, checkOwnTLS, checkSignedBy, checkLargeBack)
		return
	}
	if answer.Partner == string(threads.PartnerAllowed) {
		e.good(checkThere, "this server is allowed there")
	} else {
		e.bad(checkThere, "this server is "+answer.Partner+" there: only channels that both are members of are exchanged", "its administrators have to allow this server")
	}
	e.good(checkSigned, "a signed request arrives as it was sent: %s%s", answer.Host, answer.Target)
	if _, err := e.x.check(ctx, e.name, MaxBody, false); err != nil {
		t := diagnose(e.name, err)
		e.bad(checkLarge, fmt.Sprintf("a body of %d MiB does not arrive: %s", MaxBody>>20, t.text), largeRemedy("in front of "+e.name))
	} else {
		e.good(checkLarge, "a body of %d MiB arrives", MaxBody>>20)
	}
	e.back(answer.Back)
}

func largeRemedy(where string) string {
	return "a proxy " + where + " has to pass bodies of 4 MiB (nginx: client_max_body_size 5m) and 30 seconds"
}

// back is how the other server reaches this one.
func (e *examination) back(b *checkedBack) {
	if b == nil || b.Soon {
		e.unknown("it called back a moment ago, or is too old to; try again in a few seconds", checkBack, checkOwnTLS, checkSignedBy, checkLargeBack)
		return
	}
	if b.Document != nil {
		at, left := checkBack, checkOwnTLS
		if failedAt(b.Document.Reason) == 2 {
			at, left = checkOwnTLS, checkBack
		}
		e.bad(at, e.name+" cannot ask this server who it is: "+b.Document.Detail, "start this server, look at its public_url, DNS entry, certificate, firewall and proxy")
		e.unknown("the other server did not get so far", left, checkSignedBy, checkLargeBack)
		return
	}
	e.good(checkBack, "%s reaches this server under its name", e.name)
	e.encrypted(checkOwnTLS, e.x.Server, b.Certificate)
	if b.Signed != nil {
		e.bad(checkSignedBy, "its signed request is not answered here: "+b.Signed.Detail, "a proxy in front of this server must pass Host, path and body on unchanged; else look at the states above")
		e.unknown("a small one is not answered", checkLargeBack)
		return
	}
	e.good(checkSignedBy, "its signed request arrives as it was sent")
	if b.Large != nil {
		e.bad(checkLargeBack, "its body of 4 MiB does not arrive: "+b.Large.Detail, largeRemedy("in front of this server"))
		return
	}
	e.good(checkLargeBack, "its body of 4 MiB arrives")
}
