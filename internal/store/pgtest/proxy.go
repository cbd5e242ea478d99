package pgtest

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Proxy stands between a server and its database, and fails as networks do.
type Proxy struct {
	mu       sync.Mutex
	database string // network and address, parted by a space
	conns    map[net.Conn]bool
	silenced bool
	cut      bool
}

// NewProxy listens on loopback until t ends, and returns the URL of the database
// through it. It passes everything on until it is told otherwise.
func NewProxy(t testing.TB, database string) (p *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p = &Proxy{database: "tcp " + u.Host, conns: map[net.Conn]bool{}}
	q := u.Query()
	if dir := q.Get("host"); dir != "" {
		p.database = "unix " + filepath.Join(dir, ".s.PGSQL.5432")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	q.Del("host")
	if u.User == nil {
		u.User = url.User(q.Get("user"))
	}
	u.Host, u.RawQuery = l.Addr().String(), q.Encode()
	go p.accept(l)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut(true)
	})
	return p, u.String()
}

func (p *Proxy) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		network, address, _ := strings.Cut(p.database, " ")
		p.mu.Unlock()
		out, err := net.Dial(network, address)
		if err != nil || !p.keep(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		go p.pass(in, out)
		go p.pass(out, in)
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if !p.cut {
			p.conns[c] = true
		}
	}
	return !p.cut
}

// pass copies until either side ends. What passes while the proxy is silent is
// swallowed for good: its connection never says anything again.
func (p *Proxy) pass(to io.WriteCloser, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	dead := false
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		dead = dead || p.silenced
		p.mu.Unlock()
		if dead {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Silence swallows all bytes from now on, connections staying as they are, or
// lets those of new connections pass again.
func (p *Proxy) Silence(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silenced = on
}

// Lead passes new connections on to another address, and ends those there are.
func (p *Proxy) Lead(address string) {
	p.Cut(true)
	p.mu.Lock()
	p.database = "tcp " + address
	p.mu.Unlock()
	p.Cut(false)
}

// Cut ends all connections and refuses new ones, or takes them again.
func (p *Proxy) Cut(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = on
	if on {
		for c := range p.conns {
			_ = c.Close()
		}
		clear(p.conns)
	}
}
