package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"meridian/config"
)

// certificateEvery is how often the files are looked at: whoever renews them
// tells nobody.
const certificateEvery = 5 * time.Second

// certificate is what this server shows to people and partners, from files that
// may be renewed while it runs, or from an authority by ACME. A nil one is that
// of a server behind a proxy or on loopback.
type certificate struct {
	files     config.TLS
	authority *autocert.Manager // nil for files

	mu    sync.Mutex
	shown *tls.Certificate
	stamp string // of the files that shown was read from
}

// newCertificate reads the files that the configuration names, where it does.
func newCertificate(c config.Config) (*certificate, error) {
	switch {
	case c.TLS.ACME.Email != "":
		return &certificate{authority: acmeManager(c)}, nil
	case c.TLS.CertFile == "":
		return nil, nil
	}
	k := &certificate{files: c.TLS}
	return k, k.read()
}

// acmeManager obtains and renews certificates for the public URL's host alone,
// by the tls-alpn-01 challenge (RFC 8737) on the public listener.
func acmeManager(c config.Config) *autocert.Manager {
	host := c.Server()
	if u, err := url.Parse(c.PublicURL); err == nil {
		host = u.Hostname()
	}
	return &autocert.Manager{
		Prompt:     autocert.AcceptTOS, // setting tls.acme.email accepts them
		Cache:      autocert.DirCache(filepath.Join(c.DataDir, "acme")),
		HostPolicy: autocert.HostWhitelist(host),
		Email:      c.TLS.ACME.Email,
		Client:     &acme.Client{DirectoryURL: c.TLS.ACME.Directory},
	}
}

// tlsConfig shows the certificate of the moment of each handshake; nil for a nil
// certificate.
func (k *certificate) tlsConfig() *tls.Config {
	if k == nil {
		return nil
	}
	t := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	if k.authority != nil {
		t = k.authority.TLSConfig()
	}
	t.MinVersion, t.GetCertificate = tls.VersionTLS12, k.show
	return t
}

func (k *certificate) show(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if k.authority == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.shown, nil
	}
	pair, err := k.authority.GetCertificate(hello)
	if err == nil && pair.Leaf != nil { // one that answers a challenge has none
		k.mu.Lock()
		k.shown = pair
		k.mu.Unlock()
	}
	return pair, err
}

// until is when the certificate ends; zero where none is known.
func (k *certificate) until() time.Time {
	if k == nil {
		return time.Time{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shown == nil {
		return time.Time{}
	}
	return k.shown.Leaf.NotAfter
}

// read takes up the files unless they are those that are shown already. A pair
// that does not fit together, as between the writing of two files, changes
// nothing.
func (k *certificate) read() error {
	stamp, err := stampOf(k.files.CertFile, k.files.KeyFile)
	if err != nil {
		return fmt.Errorf("tls.cert_file: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if stamp == k.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(k.files.CertFile, k.files.KeyFile)
	if err != nil {
		return fmt.Errorf("tls.cert_file: %w", err)
	}
	k.shown, k.stamp = &pair, stamp
	return nil
}

// stampOf changes when any of the files does.
func stampOf(files ...string) (stamp string, err error) {
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		stamp += fmt.Sprintln(info.ModTime().UnixNano(), info.Size())
	}
	return stamp, nil
}

// renew is the step that takes up renewed files; the old ones are shown until
// then.
func (s *Server) renew(_ context.Context, now time.Time) (time.Time, error) {
	before := s.certificate.until()
	if err := s.certificate.read(); err != nil {
		s.log.Error("the renewed certificate cannot be read; the old one is shown", "error", err,
			"remedy", "put a certificate and its own key into tls.cert_file and tls.key_file", "until", before)
	} else if until := s.certificate.until(); !until.Equal(before) {
		s.log.Info("certificate renewed", "until", until)
	}
	return now.Add(certificateEvery), nil
}

// registerCertificate shows operators when the certificate ends.
func registerCertificate(r prometheus.Registerer, k *certificate) error {
	if k == nil {
		return nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_certificate_expiry_timestamp_seconds", Help: "When this server's own certificate ends; 0 while none is known.",
	}, func() float64 {
		if until := k.until(); !until.IsZero() {
			return float64(until.Unix())
		}
		return 0
	})
	if err := r.Register(gauge); err != nil {
		return fmt.Errorf("register metrics of the certificate: %w", err)
	}
	return nil
}
