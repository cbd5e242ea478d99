package federation

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// A zone answers name lookups over UDP on loopback, as the attacker who owns the names would.
type zone struct {
	mu      sync.Mutex
	records map[string]record
	asked   map[dnsmessage.Question]int
	missing netip.Addr // what names without a record resolve to
}

// A record is what a name resolves to: from the second lookup on to then, if that is set.
type record struct {
	alias       string // the answer comes by way of a CNAME
	first, then netip.Addr
	mapped      bool // an IPv4 address comes in a AAAA record, as ::ffff:a.b.c.d
}

func startZone(t *testing.T, missing netip.Addr) (*zone, *net.Resolver) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	z := &zone{records: map[string]record{}, asked: map[dnsmessage.Question]int{}, missing: missing}
	go z.serve(conn)
	return z, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z *zone) add(name string, r record) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name+"."] = r
}

func (z *zone) serve(conn net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(buf[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		answer := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionAvailable: true},
			Questions: query.Questions,
			Answers:   z.answers(query.Questions[0]),
		}
		if packed, err := answer.Pack(); err == nil {
			_, _ = conn.WriteTo(packed, from)
		}
	}
}

func (z *zone) answers(q dnsmessage.Question) []dnsmessage.Resource {
	z.mu.Lock()
	defer z.mu.Unlock()
	r, ok := z.records[strings.ToLower(q.Name.String())]
	if !ok {
		r = record{first: z.missing}
	}
	z.asked[q]++
	addr := r.first
	if r.then.IsValid() && z.asked[q] > 1 {
		addr = r.then
	}
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
	var all []dnsmessage.Resource
	if r.alias != "" {
		alias := dnsmessage.MustNewName(r.alias + ".")
		all = append(all, dnsmessage.Resource{Header: head, Body: &dnsmessage.CNAMEResource{CNAME: alias}})
		head.Name = alias
	}
	isV4 := addr.Is4() && !r.mapped
	if q.Type == dnsmessage.TypeA && isV4 {
		all = append(all, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
	}
	if q.Type == dnsmessage.TypeAAAA && !isV4 {
		all = append(all, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
	}
	return all
}
