package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// certify writes a certificate for 127.0.0.1 and its key into files.
func certify(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "meridian test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return pool
}

func TestTLSFilesAreServedAndPlainHTTPIsNot(t *testing.T) {
	at := newSite(t, "")
	dir := at.options.Config.DataDir
	c := &at.options.Config
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := certify(t, c.TLS.CertFile, c.TLS.KeyFile)
	at.start()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	answer, err := client.Get("https://" + at.name + "/.well-known/meridian")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.TLS.Version < tls.VersionTLS12 {
		t.Errorf("%s by TLS version %x", answer.Status, answer.TLS.Version)
	}
	if status := at.status(at.url+"/.well-known/meridian", ""); status != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered with %d", status)
	}
	if _, err := tls.Dial("tcp", at.name, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestMetricsTellOfEveryPart(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	a.start()
	b.start()
	token, thread := conversation(a)
	befriend(a, b)
	a.must(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]string{"body": "Counted."}, nil)
	a.eventually("in contact with B", func() bool {
		return strings.Contains(metricsOf(a), fmt.Sprintf("partner=%q", b.name))
	})
	scrape := metricsOf(a)
	for _, name := range []string{
		"meridian_http_requests_total{", "meridian_http_request_seconds_bucket{", "meridian_sockets_open 0",
		"meridian_journal_commits_total ", "meridian_journal_commit_events_bucket{", "meridian_journal_commit_seconds_bucket{",
		"meridian_journal_waiting_events 0", "meridian_go_sql_open_connections{", "process_resident_memory_bytes ", "go_goroutines ",
	} {
		if !strings.Contains(scrape, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}
	for _, secret := range []string{thread, "ana", "people/"} {
		if strings.Contains(scrape, secret) {
			t.Errorf("the metrics name %s", secret)
		}
	}
}

func metricsOf(at *site) string {
	at.t.Helper()
	answer, err := http.Get(at.admin + "/metrics")
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	return string(raw)
}

// series counts the samples of a scrape.
func series(scrape string) (n int) {
	for lines := bufio.NewScanner(strings.NewReader(scrape)); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "#") {
			n++
		}
	}
	return n
}

func TestStrangersMakeNoNewSeries(t *testing.T) {
	at := newSite(t, "")
	at.start()
	knock := func(n int) {
		for i := range n {
			r, err := http.NewRequest(fmt.Sprintf("VERB%d", i), fmt.Sprintf("%s/api/v1/%d/\xff?x=%d", at.url, i, i), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("User-Agent", fmt.Sprintf("client/%d \xfe", i))
			r.Header.Set("Signature", fmt.Sprintf(`keyId="https://server%d.example/keys/0123456789abcdef"`, i))
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			at.status(fmt.Sprintf("%s/federation/v1/%d", at.url, i), "")
		}
	}
	knock(20)
	metricsOf(at) // the first scrape makes series of its own
	before := series(metricsOf(at))
	knock(1000)
	if after := series(metricsOf(at)); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

func TestCertificatesAreObtainedForThePublicHostAlone(t *testing.T) {
	c := newSite(t, "").options.Config
	c.PublicURL = "https://meridian.acme.example"
	c.TLS.ACME.Email = "admin@acme.example"
	c.TLS.ACME.Directory = "https://127.0.0.1:1/directory" // nobody answers there
	shown, err := newCertificate(c)
	if err != nil {
		t.Fatal(err)
	}
	encryption := shown.tlsConfig()
	if !slices.Contains(encryption.NextProtos, "acme-tls/1") {
		t.Error("the authority's challenge is not answered")
	}
	_, err = encryption.GetCertificate(&tls.ClientHelloInfo{ServerName: "other.example"})
	if err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("another host: %v", err)
	}
	_, err = encryption.GetCertificate(&tls.ClientHelloInfo{ServerName: "meridian.acme.example"})
	if err == nil || strings.Contains(err.Error(), "not configured") {
		t.Errorf("the public host: %v", err)
	}
}
