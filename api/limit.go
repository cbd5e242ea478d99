package api

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
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
	burstSeconds = 10     // a burst is what a rate gives in this time
	maxLimiters  = 10_000 // callers remembered by one limiter, the latest ones
	maxPage      = 200    // items of a list in one answer
	defaultPage  = 50
	maxKey       = 200 // bytes of an Idempotency-Key
)

// limiter gives each key its own rate.
type limiter struct {
	rate  rate.Limit
	burst int
	seen  *lru.Cache[string, *rate.Limiter]
}

func newLimiter(r rate.Limit, burst int) (*limiter, error) {
	seen, err := lru.New[string, *rate.Limiter](maxLimiters)
	return &limiter{rate: r, burst: burst, seen: seen}, err
}

// take uses one request of the key's. It refuses with 429 and the time to wait.
func (l *limiter) take(key string, now time.Time) error {
	own, ok := l.seen.Get(key)
	if !ok {
		own = rate.NewLimiter(l.rate, l.burst)
		if before, had, _ := l.seen.PeekOrAdd(key, own); had {
			own = before
		}
	}
	r := own.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	p := refusal(http.StatusTooManyRequests, "too_many_requests", "too many requests; wait as long as Retry-After says")
	p.retry = wait
	return p
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
