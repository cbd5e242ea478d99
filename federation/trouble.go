package federation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// What can stand between this server and another, in one word each: the closed set of reasons in
// metrics, alerts and the log.
const (
	troubleName       = "name"                    // does not resolve
	troubleAddress    = "address"                 // may not be dialled
	troubleRefused    = "connection_refused"      // nobody listens
	troubleTimeout    = "timeout"                 // no answer in time
	troubleNetwork    = "network"                 // broken off, no route and the like
	troubleExpired    = "certificate_expired"     // or not valid yet
	troubleOtherName  = "certificate_name"        // is for another name
	troubleSelfSigned = "certificate_self_signed" // vouched for by nobody
	troubleChain      = "certificate_chain"       // shown without what links it to an authority
	troubleAuthority  = "certificate_authority"   // of an authority that is unknown here
	troubleTLS        = "tls"                     // anything else about TLS
	troubleAnswer     = "answer"                  // not that of a Meridian server, or of this one
	troubleStranger   = "not_allowed"             // its administrators have not allowed this server
	troubleClosed     = "closed"                  // they blocked it, put it on hold or paused it
	troubleClock      = "clock"                   // the clocks are too far apart
	troubleSignature  = "signature"               // does not arrive as it was sent
	troubleBusy       = "busy"                    // asks to be left alone for a while
	troubleRefusal    = "refusal"                 // refuses what is asked
	troubleHere       = "stopped_here"            // blocked, on hold or paused here
)

// trouble is why a server is not exchanged with, for administrators.
type trouble struct{ reason, text, remedy string }

// diagnose says in plain words why an exchange with a server failed.
func diagnose(server string, err error) trouble {
	var p *Problem
	if errors.As(err, &p) {
		return refusalOf(server, p)
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return certificateTrouble(server, cert)
	}
	if t, ok := networkTrouble(server, err); ok {
		return t
	}
	var record tls.RecordHeaderError
	var alert tls.AlertError
	if errors.As(err, &record) || errors.As(err, &alert) || strings.Contains(err.Error(), "tls: ") {
		return trouble{
			troubleTLS, "no encrypted connection with " + server + " comes about: " + brief(err),
			"its administrators have to look at its tls settings, or those of the proxy in front of it",
		}
	}
	return trouble{
		troubleAnswer, server + " is reached, but what it answers is not understood: " + brief(err),
		"check that a Meridian server is behind this name, and compare the versions of both",
	}
}

func networkTrouble(server string, err error) (trouble, bool) {
	var dns *net.DNSError
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork):
		return trouble{
			troubleAddress, server + " resolves to an address that is not public, which is not dialled: " + brief(err),
			"if it is in a network of yours, name that in federation.allow_networks; else its DNS entry is wrong",
		}, true
	case errors.As(err, &dns):
		return trouble{
			troubleName, "the name " + server + " does not resolve: " + brief(dns),
			"check its spelling and its DNS entry, and this machine's resolver",
		}, true
	case errors.Is(err, syscall.ECONNREFUSED):
		return trouble{
			troubleRefused, "nobody listens at " + server,
			"its administrators have to start it, or to open its port; it is tried again for ever",
		}, true
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return trouble{
			troubleTimeout, server + " did not answer in time",
			"check the network and firewalls between you and whether it is overloaded; it is tried again for ever",
		}, true
	case errors.As(err, &op) && !strings.Contains(op.Op, "error"), isEnd(err):
		return trouble{
			troubleNetwork, "the connection with " + server + " failed: " + brief(err),
			"check that it runs, and the network between you; it is tried again for ever",
		}, true
	}
	return trouble{}, false
}

// certificateTrouble tells apart what can be wrong with a certificate.
func certificateTrouble(server string, err *tls.CertificateVerificationError) trouble {
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	var unknown x509.UnknownAuthorityError
	if len(err.UnverifiedCertificates) == 0 {
		return trouble{troubleTLS, server + " shows no certificate", "its administrators have to look at its tls settings"}
	}
	leaf := err.UnverifiedCertificates[0]
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return trouble{
			troubleExpired, fmt.Sprintf("the certificate of %s is good from %s to %s only", server, day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter)),
			"its administrators have to renew it, and both to have their clocks right; delivery goes on by itself after that",
		}
	case errors.As(err, &other):
		return trouble{
			troubleOtherName, fmt.Sprintf("the certificate of %s is for another name: %s", server, firstBytes(strings.Join(leaf.DNSNames, ", "), 200)),
			"its administrators have to obtain one for " + server + ", or the name leads to another machine than it should",
		}
	case errors.As(err, &unknown) && bytes.Equal(leaf.RawIssuer, leaf.RawSubject):
		return trouble{
			troubleSelfSigned, "the certificate of " + server + " is self-signed: nobody vouches for it",
			"its administrators have to obtain one from an authority (tls.acme does it by itself)",
		}
	case errors.As(err, &unknown) && len(err.UnverifiedCertificates) == 1:
		return trouble{
			troubleChain, fmt.Sprintf("the certificate of %s, issued by %.100q, is shown without the rest of its chain", server, leaf.Issuer.String()),
			"its administrators have to give tls.cert_file the whole chain (often named fullchain.pem)",
		}
	case errors.As(err, &unknown):
		return trouble{
			troubleAuthority, fmt.Sprintf("the certificate of %s comes from an authority that is unknown here: %.100q", server, leaf.Issuer.String()),
			"its administrators have to obtain one from a public authority, or you to install theirs on this machine",
		}
	}
	return trouble{troubleTLS, "the certificate of " + server + " is not good: " + brief(err), "its administrators have to look at it"}
}

// refusalOf is what a server's refusal of a whole exchange means for an administrator here.
func refusalOf(server string, p *Problem) trouble {
	said := server + " says: " + firstBytes(p.Detail, 300)
	switch {
	case p.Code == codeStoppedHere:
		return trouble{troubleHere, p.Detail, "`partner resume` takes it up again"}
	case p.Code == "unknown_server" || p.Code == "not_partner":
		return trouble{troubleStranger, said, "its administrators have to add and allow this server as a partner"}
	case p.Code == "signature_"+reasonDate:
		return trouble{troubleClock, said, "set the clocks of both servers right"}
	case strings.HasPrefix(p.Code, "signature_"):
		return trouble{troubleSignature, said, "a proxy in front of it changes Host, path or body, or its key for this server is another: `partner doctor` says which"}
	case p.Code == "blocked" || p.Code == "on_hold" || p.Code == "paused":
		return trouble{troubleClosed, said, "ask its administrators"}
	case p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable:
		return trouble{troubleBusy, said, "nothing: it is busy and is tried again"}
	case p.Code == codeStatus:
		return trouble{troubleAnswer, said, "something else than a Meridian server answers there, such as a proxy: its administrators have to look"}
	}
	return trouble{troubleRefusal, said, "compare the versions of both servers"}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// brief is an error on one line of bounded length.
func brief(err error) string {
	return firstBytes(strings.Join(strings.Fields(err.Error()), " "), 300)
}

// isEnd reports whether a connection ended before an answer came.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
