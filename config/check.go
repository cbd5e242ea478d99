package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// checks look at the finished value, in this order; the first fault is the one reported.
var checks = []func(Config) *fault{
	checkPublicURL, checkListen, checkDataDir, checkDatabase, checkTLS, checkPlain,
}

var (
	hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// numeric is a last label that other software reads as part of an IPv4 address (WHATWG URL, "ends in a number").
	numeric = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

func checkPublicURL(c Config) *fault {
	const key = "public_url"
	if c.PublicURL == "" {
		return faultf(key, "missing; give the URL that people and partners use, such as https://meridian.acme.example")
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return faultf(key, "not an http or https URL; write it as https://meridian.acme.example")
	}
	if c.PublicURL != u.Scheme+"://"+u.Host {
		return faultf(key, "has more than scheme, host and port; write it as %s://%s", u.Scheme, u.Host)
	}
	if !canonicalHost(u) {
		return faultf(key, "host is not in its one spelling; write it in lower case, without a final dot, international names as xn--, ports without leading zeros")
	}
	if p := u.Port(); p == map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		return faultf(key, "names the port that %s has anyway; leave :%s out", u.Scheme, p)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return faultf(key, "plain http outside loopback; use https and set tls, or put a proxy that ends TLS in front")
	}
	return nil
}

func canonicalHost(u *url.URL) bool {
	name, host := u.Hostname(), u.Hostname()
	if ip, err := netip.ParseAddr(name); err == nil {
		host = ip.String()
		if ip.Is6() {
			host = "[" + host + "]"
		}
		if ip.Zone() != "" || ip.Is4In6() {
			return false
		}
	} else if len(name) > 253 || !hostname.MatchString(name) || numeric.MatchString(name) {
		return false
	}
	if p := u.Port(); p != "" {
		if !port(p) {
			return false
		}
		host += ":" + p
	}
	return u.Host == host
}

func port(s string) bool {
	a, err := netip.ParseAddrPort("127.0.0.1:" + s)
	return err == nil && a.Port() > 0 && fmt.Sprint(a.Port()) == s
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

func checkListen(c Config) *fault {
	for _, at := range []struct{ key, address string }{{"listen", c.Listen}, {"admin_listen", c.AdminListen}} {
		if _, err := netip.ParseAddrPort(at.address); err != nil {
			return faultf(at.key, "%s is not IP:PORT; write it as 127.0.0.1:8008, or 0.0.0.0:443 for every address", quoted(at.address))
		}
	}
	if c.Listen == c.AdminListen && netip.MustParseAddrPort(c.Listen).Port() != 0 {
		return faultf("admin_listen", "the same address as listen; give it a port of its own")
	}
	return nil
}

func checkDataDir(c Config) *fault {
	const key = "data_dir"
	switch {
	case c.DataDir == "":
		return faultf(key, "missing; give the absolute path of the directory that meridian init made")
	case !filepath.IsAbs(c.DataDir):
		return faultf(key, "%s is not an absolute path; begin it with /", quoted(c.DataDir))
	}
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return faultf(key, "%s does not exist; make it with meridian init", quoted(c.DataDir))
	case err != nil:
		return faultf(key, "cannot be looked at: %s", err)
	case !info.IsDir():
		return faultf(key, "%s is not a directory; name the one that meridian init made", quoted(c.DataDir))
	}
	return nil
}

func checkTLS(c Config) *fault {
	t := c.TLS
	files, acme := t.CertFile != "" || t.KeyFile != "", t.ACME.Email != ""
	switch {
	case !files && !acme:
		return nil
	case strings.HasPrefix(c.PublicURL, "http://"):
		return faultf("public_url", "is http although tls is set; write https")
	case files && acme:
		return faultf("tls.acme.email", "set together with tls.cert_file or tls.key_file; keep one of the two ways")
	case acme:
		return checkACME(c)
	case t.KeyFile == "":
		return faultf("tls.key_file", "missing although tls.cert_file is set; name the key's PEM file")
	case t.CertFile == "":
		return faultf("tls.cert_file", "missing although tls.key_file is set; name the certificate's PEM file")
	}
	return checkCertificate(t)
}

func checkACME(c Config) *fault {
	if a, err := mail.ParseAddress(c.TLS.ACME.Email); err != nil || a.Address != c.TLS.ACME.Email {
		return faultf("tls.acme.email", "not a mail address; write it as admin@acme.example")
	}
	if u, err := url.Parse(c.TLS.ACME.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return faultf("tls.acme.directory", "not an https URL; leave it out, or give the authority's directory")
	}
	u, _ := url.Parse(c.PublicURL)
	if _, err := netip.ParseAddr(u.Hostname()); err == nil || loopback(u.Hostname()) {
		return faultf("tls.acme.email", "no authority certifies the host of public_url; give that a domain name, or use tls.cert_file")
	}
	return nil
}

func checkCertificate(t TLS) *fault {
	for _, file := range []struct{ key, path string }{{"tls.cert_file", t.CertFile}, {"tls.key_file", t.KeyFile}} {
		info, err := os.Stat(file.path)
		if err != nil {
			return faultf(file.key, "%s; name a file that the server's user can read", err)
		}
		if file.key == "tls.key_file" && info.Mode().Perm()&0o077 != 0 {
			return faultf(file.key, "%s can be read by others (mode %04o); chmod 600 it", quoted(file.path), info.Mode().Perm())
		}
	}
	if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
		return faultf("tls.cert_file", "and tls.key_file do not serve together: %s; give PEM files that do", err)
	}
	return nil
}

// checkPlain keeps a listener without TLS away from strangers.
func checkPlain(c Config) *fault {
	withTLS := c.TLS.CertFile != "" || c.TLS.ACME.Email != ""
	if withTLS || netip.MustParseAddrPort(c.Listen).Addr().IsLoopback() || len(c.TrustedProxies) > 0 {
		return nil
	}
	return faultf("listen", "reaches beyond loopback without TLS; set tls, or name the proxy that ends TLS in trusted_proxies")
}

// checkDatabase admits no parameter that could weaken durability or move the file elsewhere unseen.
func checkDatabase(c Config) *fault {
	const key = "database"
	if path, ok := strings.CutPrefix(c.Database, "sqlite:"); ok {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "?#%\x00") {
			return faultf(key, "not sqlite: and a plain absolute path; write it as sqlite:/var/lib/meridian/meridian.db")
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return faultf(key, "the directory of the sqlite file does not exist; make it, or leave database out to use data_dir")
		}
		return nil
	}
	u, err := url.Parse(c.Database)
	if err != nil || u.Scheme != "postgres" {
		return faultf(key, "neither sqlite:/absolute/path nor a postgres:// URL; write one of them")
	}
	if _, empty := passwordIn(c.Database); empty {
		return faultf(key, "the password in the URL is empty; give it, or leave the colon out")
	}
	return checkPostgresParameters(u)
}

func checkPostgresParameters(u *url.URL) *fault {
	const key = "database"
	allowed := []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "user", "password", "dbname", "search_path", "connect_timeout", "application_name"}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return faultf(key, "the part after ? is not name=value pairs; write them as sslmode=verify-full&connect_timeout=5")
	}
	for name, values := range parameters {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			return faultf(key, "the URL parameter %s is unknown or given twice; allowed once each: %s", quotedKey(name), strings.Join(allowed, ", "))
		}
		if values[0] == "" {
			return faultf(key, "the URL parameter %s is empty; give a value or leave it out", name)
		}
	}
	switch parameters.Get("sslmode") {
	case "verify-full", "verify-ca", "require", "disable":
		return nil
	case "":
		return faultf(key, "the postgres URL names no sslmode; add sslmode=verify-full, or sslmode=disable on a loopback or a unix socket")
	}
	return faultf(key, "the sslmode is not one of verify-full, verify-ca, require, disable")
}

// secretsInFile refuses a configuration file that others can read while it holds a password.
func secretsInFile(c Config, path, databaseAt string) error {
	u, err := url.Parse(c.Database)
	if path == "" || err != nil || !strings.HasPrefix(databaseAt, path+":") {
		return nil
	}
	if has, _ := passwordIn(c.Database); !has && !u.Query().Has("password") {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s: database: holds a password in a file that others can read (mode %04o); chmod 600 it", databaseAt, mode)
	}
	return nil
}
