package federation_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"meridian/federation"
)

// authority issues certificates by way of an intermediate one, as public authorities do.
type authority struct {
	t            testing.TB
	root, middle *x509.Certificate
	rootKey, key *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.root, a.rootKey = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Test Root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	a.middle, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Test Intermediate"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.root, a.rootKey)
	return a
}

// sign makes a certificate, by itself where there is no parent.
func (a *authority) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if parent == nil {
		parent, by = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-90 * 24 * time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(90 * 24 * time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// issue is a certificate with its chain; change makes it a worse one.
func (a *authority) issue(host string, change func(*x509.Certificate)) *tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{DNSNames: []string{host}, Subject: pkix.Name{CommonName: host}}
	if change != nil {
		change(template)
	}
	leaf, key := a.sign(template, a.middle, a.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, a.middle.Raw}, PrivateKey: key, Leaf: leaf}
}

// selfSigned is one that nobody vouches for.
func (a *authority) selfSigned(host string) *tls.Certificate {
	leaf, key := a.sign(&x509.Certificate{DNSNames: []string{host}, Subject: pkix.Name{CommonName: host}}, nil, nil)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// secured is a site with a name of its own, reached by TLS alone.
type secured struct {
	*site
	host, port string
	authority  *authority
	idle       func() // ends its idle connections

	mu     sync.Mutex
	shown  *tls.Certificate
	routes map[string]string // where others' names lead from here, else to loopback
}

// dial connects to where a name leads.
func (s *secured) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	to, ok := s.routes[address]
	s.mu.Unlock()
	if !ok {
		_, port, _ := net.SplitHostPort(address)
		to = "127.0.0.1:" + port
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

// route leads a name elsewhere from here; "" leads it home again.
func (s *secured) route(name, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.routes[name] = to; to == "" {
		delete(s.routes, name)
	}
	s.idle()
}

func (s *secured) show(c *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = c
}

func (s *secured) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown, nil
}

// newSecured makes a site that trusts the authority.
func newSecured(t *testing.T, a *authority, host string) *secured {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	s := &secured{host: host, port: port, authority: a, shown: a.issue(host, nil), routes: map[string]string{}}
	transport := federation.NewTransport(onLoopback(), nil)
	transport.DialContext = s.dial
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	s.idle = transport.CloseIdleConnections
	board := &switchboard{}
	front := &http.Server{Handler: board, TLSConfig: &tls.Config{GetCertificate: s.certificate}, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = front.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = front.Close() })
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.site = &site{
		t: t, name: host + ":" + port, key: key, ring: federation.Keyring{{Private: key}}, handler: board,
		path: "sqlite:" + filepath.Join(t.TempDir(), "meridian.db"), now: time.Now, transport: transport,
	}
	s.open()
	t.Cleanup(func() { s.close() })
	return s
}
