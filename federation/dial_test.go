package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"code.dny.dev/ssrf"
)

// forbidden are addresses of every special-purpose kind. Many of them would reach this machine.
func forbidden() []netip.Addr {
	var all []netip.Addr
	for _, s := range []string{
		"127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "169.254.169.254",
		"172.16.0.1", "172.31.255.254", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1",
		"192.175.48.1", "198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::7f00:1",
		"100::1", "100:0:0:1::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:3::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1",
		"2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00::2", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
	} {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// canary counts the connections that reach a port of this machine by any loopback address.
type canary struct {
	port int
	hits atomic.Int64
}

func startCanary(t *testing.T) *canary {
	c := &canary{}
	server := &http.Server{
		ReadHeaderTimeout: time.Second,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "canary") }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				c.hits.Add(1)
			}
		},
	}
	t.Cleanup(func() { server.Close() })
	for _, address := range []string{"127.0.0.1", "127.0.0.2", "[::1]"} {
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, c.port))
		if err != nil {
			t.Fatal(err)
		}
		c.port = listener.Addr().(*net.TCPAddr).Port
		go func() { _ = server.Serve(listener) }()
	}
	return c
}

// startFront starts the server that may be dialled, and which then sends its visitors elsewhere:
// its path is the URL to redirect to, if there is one.
func startFront(t *testing.T) (url string, allow []netip.Prefix) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
}

func get(client *http.Client, url string) (int, error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func hostOf(addr netip.Addr) string {
	if addr.Is4() {
		return addr.String()
	}
	return "[" + addr.String() + "]"
}

// dialRig is a client whose names an attacker resolves, and a port that it must not reach.
type dialRig struct {
	*zone
	*canary
	client *http.Client
	front  string
	port   string // the front's
}

func startDialRig(t *testing.T, allow ...netip.Prefix) dialRig {
	z, resolver := startZone(t, netip.MustParseAddr("127.0.0.1"))
	front, frontOnly := startFront(t)
	transport := NewTransport(append(frontOnly, allow...), resolver)
	t.Cleanup(transport.CloseIdleConnections)
	_, port, _ := strings.Cut(strings.TrimPrefix(front, "http://"), ":")
	return dialRig{zone: z, canary: startCanary(t), client: NewClient(transport, 5*time.Second), front: front, port: port}
}

func (rig dialRig) url(host string) string {
	return fmt.Sprintf("http://%s:%d/", host, rig.canary.port)
}

func TestForbiddenAddressesAreNeverReached(t *testing.T) {
	rig := startDialRig(t)
	following := &http.Client{Transport: rig.client.Transport, Timeout: 5 * time.Second}
	cells := 0
	refused := func(way string, client *http.Client, url string) {
		t.Helper()
		cells++
		if status, err := get(client, url); !errors.Is(err, ssrf.ErrProhibitedIP) {
			t.Errorf("%s: GET %s: %d, %v; want the address refused", way, url, status, err)
		}
	}
	for i, addr := range forbidden() {
		direct := rig.url(hostOf(addr))
		refused("direct", rig.client, direct)

		plain, mapped, alias, rebinding := fmt.Sprintf("a%d.test", i), fmt.Sprintf("aaaa%d.test", i), fmt.Sprintf("cname%d.test", i), fmt.Sprintf("re%d.test", i)
		rig.add(plain, record{first: addr})
		refused("A or AAAA record", rig.client, rig.url(plain))
		if addr.Is4() {
			rig.add(mapped, record{first: addr, mapped: true})
			refused("mapped in an AAAA record", rig.client, rig.url(mapped))
		}
		rig.add(alias, record{alias: "inside.test", first: addr})
		refused("CNAME", rig.client, rig.url(alias))

		redirect := rig.front + "/?to=" + direct
		if status, err := get(rig.client, redirect); err != nil || status != http.StatusTemporaryRedirect {
			t.Errorf("redirect to %s: %d, %v; want the redirect itself", direct, status, err)
		}
		refused("redirect followed", following, redirect)

		rig.add(rebinding, record{first: netip.MustParseAddr("127.0.0.9"), then: addr})
		if status, err := get(rig.client, "http://"+rebinding+":"+rig.port); err != nil || status != http.StatusOK {
			t.Errorf("first lookup of %s: %d, %v; want it answered by the allowed server", rebinding, status, err)
		}
		rig.client.CloseIdleConnections()
		refused("rebinding", rig.client, rig.url(rebinding))
	}
	if hits := rig.hits.Load(); hits != 0 {
		t.Errorf("the canary was reached %d times", hits)
	}
	t.Logf("%d attempts", cells)
}

// Whatever an odd spelling means to the resolver, here it means loopback.
func TestOddSpellingsOfLoopbackAreNotReached(t *testing.T) {
	rig := startDialRig(t)
	for _, host := range []string{
		"localhost", "localhost.", "LOCALHOST", "x.localhost", "127.1", "127.0.1", "127.0.0.1.", "127.0.0.01", "0177.0.0.1", "0x7f.1", "0x7f000001",
		"2130706433", "017700000001", "0", "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "loopback.test", "user@127.0.0.1", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]",
		"[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::1%25lo]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]",
	} {
		if status, err := get(rig.client, rig.url(host)); err == nil {
			t.Errorf("%s: answered %d", host, status)
		}
	}
	if hits := rig.hits.Load(); hits != 0 {
		t.Errorf("the canary was reached %d times", hits)
	}
}

func TestLoopbackIsReachedWhereItIsAllowed(t *testing.T) {
	rig := startDialRig(t, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	rig.add("direct.test", record{first: netip.MustParseAddr("127.0.0.2")})
	rig.add("mapped.test", record{first: netip.MustParseAddr("127.0.0.1"), mapped: true})
	rig.add("alias.test", record{alias: "inside.test", first: netip.MustParseAddr("::1")})
	hosts := []string{"127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "localhost", "direct.test", "mapped.test", "alias.test"}
	for _, host := range hosts {
		if status, err := get(rig.client, rig.url(host)); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d, %v", host, status, err)
		}
	}
	if hits := rig.hits.Load(); hits != int64(len(hosts)) {
		t.Errorf("the canary was reached %d times, want %d", hits, len(hosts))
	}
	if _, err := get(rig.client, "http://10.0.0.1:1/"); !errors.Is(err, ssrf.ErrProhibitedIP) {
		t.Errorf("10.0.0.1: %v; want it refused still", err)
	}
}

func TestPublicAddressesPassTheGuard(t *testing.T) {
	guardian := newGuardian(nil)
	for _, public := range []string{"1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.3.1", "198.20.0.1", "223.255.255.254", "2606:4700::1111", "2a00:1450::1", "2400::1"} {
		if err := guardian.SafeAddr(netip.MustParseAddr(public)); err != nil {
			t.Errorf("%s: %v", public, err)
		}
	}
}

func TestExchangeEndsAtItsTotalTime(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil { // a byte now and then, for ever
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}))
	defer server.Close()
	client := NewClient(NewTransport([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil), 500*time.Millisecond)
	status, err := get(client, server.URL)
	if status != http.StatusOK || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d, %v; want the body cut off by the deadline", status, err)
	}
}

func TestAnswersAreBoundedAndLeftAsTheyCame(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("X-Long", strings.Repeat("x", len(r.URL.RawQuery)*1024))
	}))
	defer server.Close()
	client := NewClient(NewTransport([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil), 5*time.Second)
	if status, err := get(client, server.URL); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v; want no compression asked for", status, err)
	}
	if status, err := get(client, server.URL+"?"+strings.Repeat("k", 64)); err == nil {
		t.Errorf("a header of 64 KiB was read: %d", status)
	}
}

func TestPartnersAreSpokenToOverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(r.ProtoMajor * 100) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := NewTransport([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	defer transport.CloseIdleConnections()
	if status, err := get(NewClient(transport, 5*time.Second), server.URL); err != nil || status != 200 {
		t.Errorf("%d, %v; want HTTP/2", status, err)
	}
}
