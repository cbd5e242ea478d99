package api

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"meridian/internal/limit"
)

// Limits bound what clients can use up. The zero value of a field takes its
// default.
type Limits struct {
	BodyBytes        int // largest request body; 1 MiB
	FileBytes        int // largest file; 256 MiB
	PersonRate       int // requests a second for each person; 100
	AnonymousRate    int // requests a second for each client address without a valid token; 10
	Sockets          int // open WebSockets, all together; 10,000
	SocketsPerPerson int // open WebSockets of one person; 20
	SignIns          int // tries to sign in, a minute, for each client address, and ten times as many for each name; 10
	PasswordChecks   int // password checks at the same time; 2
}

func (l Limits) orDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.BodyBytes, 1 << 20},
		{&l.FileBytes, 256 << 20},
		{&l.PersonRate, 100},
		{&l.AnonymousRate, 10},
		{&l.Sockets, 10_000},
		{&l.SocketsPerPerson, 20},
		{&l.SignIns, 10},
		{&l.PasswordChecks, 2},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return l
}

// Bounds that no setting changes.
const (
	burstSeconds = 10  // a burst is what a rate gives in this time
	maxPage      = 200 // items of a list in one answer
	defaultPage  = 50
	maxKey       = 200 // bytes of an Idempotency-Key
	maxTransfers = 8   // of one person at a time
	maxLookUps   = 4   // of tokens from addresses that have used up their rate, at a time
)

// The rows of the table of limits.
const (
	perPerson = iota
	perAddress
	signInsOfAddress
	signInsOfName
	allSockets
	listenersOfPerson
	transfersOfPerson
	bodyBytes
	fileBytes
)

// Table lists what clients are turned away by. Every refusal for having too much
// is made of a row of it.
func (l Limits) Table() []limit.Limit {
	l = l.orDefaults()
	const many, long = http.StatusTooManyRequests, http.StatusRequestEntityTooLarge
	rate := func(name, of string, perSecond float64, most int) limit.Limit {
		return limit.Limit{Name: name, Of: of, PerSecond: perSecond, Most: most, Status: many, Code: "too_many_requests"}
	}
	signIns := float64(l.SignIns) / 60
	return []limit.Limit{
		perPerson:         rate("limits.person_rate", "requests of a person", float64(l.PersonRate), l.PersonRate*burstSeconds),
		perAddress:        rate("limits.anonymous_rate", "requests without a valid token from a client address", float64(l.AnonymousRate), l.AnonymousRate*burstSeconds),
		signInsOfAddress:  rate("sign-ins of an address", "tries to sign in from a client address", signIns, l.SignIns),
		signInsOfName:     rate("sign-ins of a name", "tries to sign in as somebody, and to change their password", 10*signIns, 10*l.SignIns),
		allSockets:        {Name: "limits.sockets", Of: "open WebSockets, all together", Most: l.Sockets, Retry: pingEvery, Status: http.StatusServiceUnavailable, Code: "too_many_sockets"},
		listenersOfPerson: {Name: "limits.sockets_per_person", Of: "open WebSockets and long polls of a person", Most: l.SocketsPerPerson, Retry: pingEvery, Status: many, Code: "too_many_listeners"},
		transfersOfPerson: {Name: "transfers", Of: "uploads and downloads of a person under way", Most: maxTransfers, Retry: comeBack, Status: many, Code: "too_many_transfers"},
		bodyBytes:         {Name: "limits.body_bytes", Of: "bytes of a request", Most: l.BodyBytes, Status: long, Code: "too_large"},
		fileBytes:         {Name: "files.max_bytes", Of: "bytes of a file", Most: l.FileBytes, Status: long, Code: "too_large"},
	}
}

// tooMuch is the refusal of what goes beyond a limit. It may be tried again after
// the wait or, where that is 0, after what the limit says.
func tooMuch(l limit.Limit, wait time.Duration, detail string) *Problem {
	p := refusal(l.Status, l.Code, detail)
	p.retry = max(wait, l.Retry)
	return p
}

// take uses one request of a caller's, or refuses it.
func take(b *limit.Buckets, caller string, now time.Time) error {
	wait := b.Of(caller).Take(now)
	if wait == 0 {
		return nil
	}
	return tooMuch(b.Limit(), wait, "too many requests; wait as long as Retry-After says")
}

// clientAddress is whom a request without a token is counted for: the address
// that connected or, where a trusted proxy did, the last one that no trusted
// proxy has. IPv6 counts by /64, which one subscriber holds whole.
func clientAddress(r *http.Request, trusted []netip.Prefix) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(trusted, addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
	}
	if addr.Is6() {
		return netip.PrefixFrom(addr.WithZone(""), 64).Masked().String()
	}
	return addr.String()
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
