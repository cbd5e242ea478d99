package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// T63: renewed files are shown without a restart, a pair that does not fit together never.
func TestARenewedCertificateIsShownWithoutARestart(t *testing.T) {
	at := newSite(t, "")
	dir := at.options.Config.DataDir
	c := &at.options.Config
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := certify(t, c.TLS.CertFile, c.TLS.KeyFile)
	at.start()
	if !shows(at, first) {
		t.Fatal("the first certificate is not shown")
	}
	if !strings.Contains(metricsOf(at), "\nmeridian_certificate_expiry_timestamp_seconds 1.") {
		t.Error("no metric says when the certificate ends")
	}
	other, ofOther := filepath.Join(dir, "other.pem"), filepath.Join(dir, "otherkey.pem")
	second := certify(t, other, ofOther)
	move(t, other, c.TLS.CertFile) // the moment between two files
	time.Sleep(50 * time.Millisecond)
	if !shows(at, first) {
		t.Error("half a renewal ended the old certificate")
	}
	move(t, ofOther, c.TLS.KeyFile)
	at.eventually("showing the renewed certificate", func() bool { return shows(at, second) })
	if shows(at, first) {
		t.Error("the old certificate is still shown")
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// shows reports whether a client that trusts these roots alone is served.
func shows(at *site, roots *x509.CertPool) bool {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	answer, err := client.Get("https://" + at.name + "/.well-known/meridian")
	return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}
