package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

var bounds = flag.Bool("process.bounds", false, "exhaust the bounds of a real server from outside, and measure what is left for others")

// besieged is a server that ends TLS itself, with somebody honest on it.
type besieged struct {
	*house
	t       *testing.T
	address string
	thread  string
}

func newBesieged(t *testing.T) *besieged {
	t.Helper()
	if !*bounds {
		t.Skip("a campaign: make bounds")
	}
	dir := shortDir(t)
	cert, key := certificate(t, dir)
	h := install(t, dir, "", false)
	h.env = append(h.env, "MERIDIAN_PUBLIC_URL=https://"+h.name, "MERIDIAN_TLS_CERT_FILE="+cert, "MERIDIAN_TLS_KEY_FILE="+key,
		"MERIDIAN_LIMITS_ANONYMOUS_RATE=10")
	h.api = "https://" + h.name + "/api/v1"
	h.open(newHistory())
	b := &besieged{house: h, t: t, address: h.name}
	channel := h.owner.newChannel("Quay")
	var thread named
	h.owner.must(http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Crane 4"}, &thread)
	b.thread = thread.ID
	for i := range 200 {
		h.owner.must(http.MethodPost, "/threads/"+b.thread+"/messages", map[string]string{"body": fmt.Sprint(i, strings.Repeat(" and so on", 400))}, nil)
	}
	return b
}

// certificate writes a self-signed one for loopback.
func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: made}, "key.pem": {Type: "PRIVATE KEY", Bytes: kept}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

// honest is the 99th percentile of what somebody's posts take, one after the other.
func (b *besieged) honest(ctx context.Context) time.Duration {
	var took []time.Duration
	for n := 0; ctx.Err() == nil && n < 2000; n++ {
		begun := time.Now()
		b.owner.must(http.MethodPost, "/threads/"+b.thread+"/messages", map[string]string{"body": "As usual."}, nil)
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// gauge is a value of /metrics.
func (b *besieged) gauge(name string) float64 {
	b.t.Helper()
	answer, err := http.Get(b.admin + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			return n
		}
	}
	b.t.Fatalf("no metric %s", name)
	return 0
}

// resident is the server's memory in MiB, after it collected its garbage.
func (b *besieged) resident() float64 {
	b.t.Helper()
	answer, err := http.Get(b.admin + "/debug/pprof/heap?gc=1")
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return b.gauge("process_resident_memory_bytes") / (1 << 20)
}

func (b *besieged) connect() (*tls.Conn, error) {
	return tls.Dial("tcp", b.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
}

// T38: who is slow, anywhere in a request, is let go, and nobody else waits for them.
func TestWhoIsSlowIsLetGo(t *testing.T) {
	b := newBesieged(t)
	const many = 500
	quiet, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	floor := b.honest(quiet)
	cancel()
	goroutines := b.gauge("go_goroutines")
	for _, slow := range []struct {
		name string
		be   func() error
	}{
		{"says nothing, before TLS", func() error {
			c, err := net.Dial("tcp", b.address)
			return errors.Join(err, drip(c, ""))
		}},
		{"a header, a byte a second", b.slowly("GET /api/v1/server HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("a", 1000))},
		{"a body, a byte a second", b.slowly("POST /api/v1/sessions HTTP/1.1\r\nHost: " + b.address + "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")},
		{"an answer, a byte a second", b.slowReader},
	} {
		begun := time.Now()
		var all sync.WaitGroup
		for range many {
			all.Go(func() { _ = slow.be() })
		}
		busy, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		during := b.honest(busy)
		cancel()
		all.Wait()
		freed := time.Since(begun)
		b.eventually("rid of their goroutines", func() bool { return b.gauge("go_goroutines") <= goroutines+10 })
		t.Logf("%d connections: %s: the last is free after %s; p99 of posts %s, without them %s", many, slow.name, freed.Round(time.Second), during, floor)
		if freed > 90*time.Second {
			t.Errorf("%s: held for %s", slow.name, freed)
		}
	}
}

// slowly sends what a request begins with, then a byte a second, until the other hangs up.
func (b *besieged) slowly(begin string) func() error {
	return func() error {
		c, err := b.connect()
		return errors.Join(err, drip(c, begin))
	}
}

func drip(c net.Conn, begin string) error {
	if c == nil {
		return nil
	}
	defer c.Close()
	if _, err := io.WriteString(c, begin); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Second):
			if begin == "" {
				continue
			}
			if _, err := io.WriteString(c, "a"); err != nil {
				return err
			}
		}
	}
}

// slowReader asks for much and reads a byte a second.
func (b *besieged) slowReader() error {
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	over := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if _, err := fmt.Fprintf(over, "GET /api/v1/threads/%s/messages?limit=200 HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", b.thread, b.address, b.owner.token); err != nil {
		return err
	}
	one := make([]byte, 1)
	for range 40 { // what the system has received by the end, it would give for hours
		if _, err := c.Read(one); err != nil { // below TLS: what it gives at once is a whole record
			return err
		}
		time.Sleep(time.Second)
	}
	return nil
}

// T39: those who never sign in cost nothing that stays.
func TestStrangersLeaveNothingBehind(t *testing.T) {
	b := newBesieged(t)
	for range 2000 { // what a server grows by that is used for the first time
		b.stranger(0)
		b.stranger(1)
		b.stranger(2)
	}
	before, goroutines := b.resident(), b.gauge("go_goroutines")
	const many, atOnce = 50_000, 64
	begun := time.Now()
	var all sync.WaitGroup
	for w := range atOnce {
		all.Go(func() {
			for n := w; n < many; n += atOnce {
				b.stranger(n % 3)
			}
		})
	}
	all.Wait()
	b.eventually("rid of their goroutines", func() bool { return b.gauge("go_goroutines") <= goroutines+10 })
	time.Sleep(5 * time.Second)
	after := b.resident()
	t.Logf("%d strangers in %s: %.1f MiB resident, %.1f before", many, time.Since(begun).Round(time.Second), after, before)
	if after > before*1.1+4 {
		t.Errorf("%.1f MiB became %.1f", before, after)
	}

	idle := make([]net.Conn, 0, 2000)
	for range cap(idle) {
		if c, err := b.connect(); err == nil {
			idle = append(idle, c)
		}
	}
	t.Logf("an idle connection over TLS costs %.1f KiB", (b.resident()-after)*1024/float64(len(idle)))
	for _, c := range idle {
		_ = c.Close()
	}
}

// stranger connects and goes, or is refused: a request, or a WebSocket.
func (b *besieged) stranger(kind int) {
	c, err := b.connect()
	if err != nil {
		return
	}
	defer c.Close()
	switch kind {
	case 1:
		fmt.Fprintf(c, "GET /api/v1/me HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer nobody\r\nConnection: close\r\n\r\n", b.address)
	case 2:
		fmt.Fprintf(c, "GET /api/v1/stream HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", b.address)
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	default:
		return
	}
	_, _ = io.Copy(io.Discard, c)
}

// T40: what HTTP/2 lets a client ask for costs bounded time and memory, and nobody speaks it without TLS.
func TestFloodsOfFramesCostLittle(t *testing.T) {
	b := newBesieged(t)
	before := b.resident()
	for _, flood := range []struct {
		name string
		pour func(*http2.Framer, *hpack.Encoder, *bytes.Buffer) error
	}{
		{"headers that go on and on", goesOn},
		{"streams that are reset at once", resetsAtOnce},
		{"streams that stay open", stayOpen},
	} {
		cpu := b.gauge("process_cpu_seconds_total")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { b.pourFrames(flood.pour) })
		}
		all.Wait()
		b.eventually("served", func() bool { return b.owner.reads("/me", nil) }) // from the flood's own address it takes a moment
		time.Sleep(5 * time.Second)
		spent, after := b.gauge("process_cpu_seconds_total")-cpu, b.resident()
		t.Logf("ten connections with %s: %.1f s of CPU, %.1f MiB more", flood.name, spent, after-before)
		if spent > 60 || after > before+32 {
			t.Errorf("%s: %.1f s of CPU, %.1f MiB more", flood.name, spent, after-before)
		}
	}
}

// pourFrames has f send what it likes on a connection, until it is done or hung up on.
func (b *besieged) pourFrames(f func(*http2.Framer, *hpack.Encoder, *bytes.Buffer) error) {
	c, err := tls.Dial("tcp", b.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	frames := http2.NewFramer(c, nil)
	var block bytes.Buffer
	if frames.WriteSettings() == nil {
		_ = f(frames, hpack.NewEncoder(&block), &block) // being hung up on is what is hoped for
	}
}

func request(to *hpack.Encoder, block *bytes.Buffer) []byte {
	block.Reset()
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/api/v1/server"}} {
		_ = to.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // into memory
	}
	return block.Bytes()
}

func goesOn(f *http2.Framer, to *hpack.Encoder, block *bytes.Buffer) error {
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request(to, block)}); err != nil {
		return err
	}
	for n := range 100_000 {
		block.Reset()
		_ = to.WriteField(hpack.HeaderField{Name: fmt.Sprint("x-", n), Value: strings.Repeat("a", 4000)})
		if err := f.WriteContinuation(1, false, block.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func resetsAtOnce(f *http2.Framer, to *hpack.Encoder, block *bytes.Buffer) error {
	for n := range uint32(10_000) {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: request(to, block), EndHeaders: true, EndStream: true}); err != nil {
			return err
		}
		if err := f.WriteRSTStream(2*n+1, http2.ErrCodeCancel); err != nil {
			return err
		}
	}
	return nil
}

func stayOpen(f *http2.Framer, to *hpack.Encoder, block *bytes.Buffer) error {
	for n := range uint32(10_000) {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: request(to, block), EndHeaders: true}); err != nil {
			return err
		}
	}
	return nil
}
