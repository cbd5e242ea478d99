// Package federation exchanges signed history with partner servers: it names them, dials them,
// signs what it asks of them and checks who asks something of us.
//
// It never believes a name, an address, a key or a time because a request states it, never repairs
// what it is sent, never signs what another server composed, and decides nothing about
// conversations: that is package threads.
package federation

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// MaxServerName is the longest server name in bytes. It is below DNS's own limit so that the ids
// made from a name (people, keys) stay within the protocol's 256 bytes.
const MaxServerName = 200

// ParseServerName returns s if it is the one canonical spelling of a server's host[:port], and an
// error that says how to write it otherwise. It never repairs a spelling: two servers must never
// find themselves under one name, nor one server under two.
//
// A host is a lower-case ASCII name (international names in their valid punycode form, RFC 5891),
// an IPv4 address in dotted decimals, or an IPv6 address in brackets, in the form of RFC 5952 and
// without zone. A port is decimal, 1 to 65535, without leading zeros, and left out where it is the
// default of the name's URL (see [BaseURL]).
func ParseServerName(s string) (string, error) {
	if len(s) > MaxServerName {
		return "", fmt.Errorf("server name is %d bytes long: at most %d are allowed", len(s), MaxServerName)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			return "", fmt.Errorf("server name %q: only visible ASCII is allowed; write an international name in its punycode form (xn--…)", s)
		}
	}
	host, port, hasPort := splitPort(s)
	if err := checkHost(host); err != nil {
		return "", fmt.Errorf("server name %q: %w", s, err)
	}
	if hasPort {
		if err := checkPort(port, isLoopback(host)); err != nil {
			return "", fmt.Errorf("server name %q: %w", s, err)
		}
	}
	return s, nil
}

// ServerNameFromURL returns the name of the server with this public URL. The URL must be exactly
// what [BaseURL] makes of the name, with or without a final slash: https, or http on a loopback
// host; no user, path, query or fragment. Anything else is an error that says what to change.
func ServerNameFromURL(publicURL string) (string, error) {
	authority, isHTTPS := strings.CutPrefix(publicURL, "https://")
	if !isHTTPS {
		var isHTTP bool
		if authority, isHTTP = strings.CutPrefix(publicURL, "http://"); !isHTTP {
			return "", fmt.Errorf("public URL %.300q: must begin with https:// (or http:// on a loopback host)", publicURL)
		}
	}
	authority = strings.TrimSuffix(authority, "/")
	if strings.ContainsAny(authority, "/\\?#@") {
		return "", fmt.Errorf("public URL %.300q: only scheme, host and port are allowed; leave out user, path, query and fragment", publicURL)
	}
	name, err := ParseServerName(authority)
	if err != nil {
		return "", fmt.Errorf("public URL %.300q: %w", publicURL, err)
	}
	if want := BaseURL(name); strings.TrimSuffix(publicURL, "/") != want {
		return "", fmt.Errorf("public URL %.300q: partners reach this host as %s; write that (plain http is for loopback hosts, and these have nothing else)", publicURL, want)
	}
	return name, nil
}

// BaseURL returns the URL under which the server of this canonical name answers, without a final
// slash: http for localhost and loopback addresses, https for every other host.
func BaseURL(name string) string {
	if host, _, _ := splitPort(name); isLoopback(host) {
		return "http://" + name
	}
	return "https://" + name
}

// splitPort cuts after the host; the colons within an IPv6 address's brackets are the host's.
func splitPort(s string) (host, port string, hasPort bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || colon < strings.LastIndexByte(s, ']') {
		return s, "", false
	}
	return s[:colon], s[colon+1:], true
}

func checkPort(port string, loopback bool) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("port %q: must be a number from 1 to 65535 without sign or leading zeros", port)
	}
	if n == 443 || loopback && n == 80 {
		return fmt.Errorf("port %d is the default: leave it out", n)
	}
	return nil
}

func checkHost(host string) error {
	if strings.HasPrefix(host, "[") {
		return checkIPv6(host)
	}
	labels := strings.Split(host, ".")
	// Resolvers read a name that ends in a number as an IPv4 address in one of its many old forms.
	if last := labels[len(labels)-1]; last != "" && last[0] >= '0' && last[0] <= '9' {
		return checkIPv4(host)
	}
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	if ascii, err := idna.Registration.ToASCII(host); err != nil || ascii != host {
		return fmt.Errorf("host %q is not a valid domain name (RFC 5891)", host)
	}
	return nil
}

func checkLabel(label string) error {
	if label == "" || len(label) > 63 {
		return fmt.Errorf("each part of a host name has 1 to 63 characters, and none follows the last dot")
	}
	for i := range len(label) {
		c := label[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return fmt.Errorf("character %q in the host: only a to z, 0 to 9, hyphens and dots are allowed", c)
		}
	}
	return nil
}

func checkIPv4(host string) error {
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is4() || addr.String() != host {
		return fmt.Errorf("host %q: an IPv4 address is four decimal numbers without leading zeros", host)
	}
	if inAny(addr, "0.0.0.0/8", "224.0.0.0/3") {
		return fmt.Errorf("host %q is not the address of one server", host)
	}
	return nil
}

func checkIPv6(host string) error {
	addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
	if err != nil || !addr.Is6() || "["+addr.String()+"]" != host {
		return fmt.Errorf("host %q: an IPv6 address stands in brackets, in its shortest lower-case form (RFC 5952)", host)
	}
	// Teredo, 6to4, mapped and translated addresses are second names of IPv4 hosts; a link-local
	// address names a host only together with a zone.
	if addr.Zone() != "" || !inAny(addr, "::1/128", "2000::/3", "fc00::/7") || inAny(addr, "2001::/32", "2002::/16") {
		return fmt.Errorf("host %q is not an address by which every partner finds this one server", host)
	}
	return nil
}

func inAny(addr netip.Addr, prefixes ...string) bool {
	for _, p := range prefixes {
		if netip.MustParsePrefix(p).Contains(addr) {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}
