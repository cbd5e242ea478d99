package federation

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"code.dny.dev/ssrf"
)

// NewTransport returns a transport to partners that connects only to globally routable unicast
// addresses, by the registries of special-purpose addresses (RFC 6890), and to those in allow,
// where an administrator names private networks. The address is checked when it is dialled, after
// all name resolution, so no name, CNAME, redirect or second answer leads anywhere else; the error
// then satisfies errors.Is(err, ssrf.ErrProhibitedIP). Resolver nil is the system's.
//
// It uses no proxy, undoes no compression (a partner's answer must be inflated within limits), and
// bounds connections, waiting times and header sizes; the caller bounds each exchange as a whole by
// its context, and each body as it reads.
func NewTransport(allow []netip.Prefix, resolver *net.Resolver) *http.Transport {
	dialer := &net.Dialer{
		Timeout:  10 * time.Second,
		Resolver: resolver,
		Control:  newGuardian(allow).Safe,
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        8,
		MaxResponseHeaderBytes: 32 << 10,
	}
}

func newGuardian(allow []netip.Prefix) *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, prefix := range allow {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	// A partner's port is part of its name, so any may be dialled.
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

// NewClient returns a client that follows no redirect (the redirecting response is returned as it
// is), keeps no cookies, and ends every exchange, the reading of its body included, after total.
func NewClient(transport *http.Transport, total time.Duration) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       total,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
