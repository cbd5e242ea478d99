package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certificate writes a self-signed certificate and its key, and returns their paths.
func certificate(t *testing.T, keyMode os.FileMode) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"acme.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	write := func(path, kind string, content []byte, mode os.FileMode) {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	write(cert, "CERTIFICATE", der, 0o644)
	write(key, "PRIVATE KEY", pkcs8, keyMode)
	return cert, key
}

func TestCertificateFilesThatBelongTogetherAreTaken(t *testing.T) {
	cert, key := certificate(t, 0o600)
	c, err := Load(written(t, 0o644, "listen: 0.0.0.0:443", "tls:", "  cert_file: "+cert, "  key_file: "+key), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.CertFile != cert || c.TLS.KeyFile != key {
		t.Errorf("got %+v", c.TLS)
	}
}

// Row T61 of the acceptance list: what is wrong is refused with one line that names the key and the remedy.
func TestBadConfigurationIsRefusedWithOneLineThatNamesTheKey(t *testing.T) {
	const hidden = "hunter2"
	cert, key := certificate(t, 0o600)
	_, otherKey := certificate(t, 0o600)
	_, worldKey := certificate(t, 0o644)
	_, groupKey := certificate(t, 0o640)
	secretPostgres := "postgres://meridian:" + hidden + "@db.acme.example/m"
	rows := []struct {
		name    string
		lines   []string          // of the file, after public_url and data_dir
		environ []string          // over it
		flags   map[string]string // over that
		want    []string          // in the error
	}{
		{name: "unknown key", lines: []string{"colour: blue"}, want: []string{"meridian.yaml:3: colour: unknown setting", "remove it"}},
		{name: "typo", lines: []string{"admin_lisen: 127.0.0.1:1"}, want: []string{":3: admin_lisen:", "did you mean admin_listen?"}},
		{name: "typo in a section", lines: []string{"federation:", "  mod: open"}, want: []string{":4: federation.mod:", "did you mean federation.mode?"}},
		{name: "unknown section", lines: []string{"federated:", "  mode: open"}, want: []string{":3: federated: unknown"}},
		{name: "unknown debug switch", lines: []string{"debug: true"}, want: []string{"debug: unknown setting"}},
		{name: "no such check to turn off", lines: []string{"federation: {insecure: true}"}, want: []string{"federation.insecure: unknown setting"}},
		{name: "key from a later version", lines: []string{"smtp: {host: mail.acme.example}"}, want: []string{"smtp: unknown setting"}},
		{name: "control characters in a key", lines: []string{`"a\nb\e[0m": 1`}, want: []string{`"a\nb\x1b[0m": unknown setting`}},
		{name: "case", lines: []string{"Listen: 127.0.0.1:1"}, want: []string{"Listen: unknown setting", "did you mean listen?"}},
		{name: "given twice", lines: []string{"log: {level: info}", "log.level: warn"}, want: []string{"log.level: given twice"}},
		{name: "duplicate key", lines: []string{"listen: 127.0.0.1:1", "listen: 127.0.0.1:2"}, want: []string{":4: ", "listen"}},
		{name: "section as a value", lines: []string{"log: loud"}, want: []string{":3: log: must hold keys and values"}},
		{name: "value as a section", lines: []string{"listen: {port: 80}"}, want: []string{":3: listen: must be plain text"}},
		{name: "list as a value", lines: []string{"listen: [a, b]"}, want: []string{":3: listen: must be one value"}},
		{name: "value as a list", lines: []string{"trusted_proxies: 10.0.0.0/8"}, want: []string{":3: trusted_proxies: must be a list"}},
		{name: "anchor", lines: []string{"listen: &a 127.0.0.1:1"}, want: []string{":3: listen: must be plain text"}},
		{name: "not YAML", lines: []string{"log: [" + hidden}, want: []string{"not YAML"}},
		{name: "two documents", lines: []string{"---", "listen: 127.0.0.1:1"}, want: []string{"several YAML documents"}},
		{name: "empty value", lines: []string{"listen:"}, want: []string{":3: listen: empty; give a value"}},
		{name: "empty item", lines: []string{`trusted_proxies: [""]`}, want: []string{":3: trusted_proxies: empty"}},

		{name: "unknown variable", environ: []string{"MERIDIAN_LISTEM=127.0.0.1:1"}, want: []string{"environment MERIDIAN_LISTEM: unknown setting", "did you mean MERIDIAN_LISTEN?"}},
		{name: "empty variable", environ: []string{"MERIDIAN_DATABASE="}, want: []string{"environment MERIDIAN_DATABASE: database: empty"}},
		{name: "bad variable", environ: []string{"MERIDIAN_LOG_LEVEL=loud"}, want: []string{"MERIDIAN_LOG_LEVEL: log.level:", "debug, info, warn, error"}},
		{name: "unknown flag", flags: map[string]string{"log.levl": "info"}, want: []string{"flag log.levl: unknown setting", "did you mean log.level?"}},
		{name: "bad flag", flags: map[string]string{"listen": "here"}, want: []string{`flag: listen: "here" is not IP:PORT`}},

		{name: "no public_url", flags: map[string]string{"public_url": ""}, want: []string{"public_url: empty"}},
		{name: "plain http", flags: map[string]string{"public_url": "http://acme.example"}, want: []string{"public_url: plain http outside loopback", "use https"}},
		{name: "plain http to a private network", flags: map[string]string{"public_url": "http://10.0.0.1"}, want: []string{"public_url: plain http outside loopback"}},
		{name: "other scheme", flags: map[string]string{"public_url": "ftp://acme.example"}, want: []string{"public_url: not an http or https URL"}},
		{name: "no scheme", flags: map[string]string{"public_url": "acme.example"}, want: []string{"public_url: not an http or https URL"}},
		{name: "path", flags: map[string]string{"public_url": "https://acme.example/chat"}, want: []string{"public_url: has more than", "https://acme.example"}},
		{name: "slash", flags: map[string]string{"public_url": "https://acme.example/"}, want: []string{"public_url: has more than"}},
		{name: "user", flags: map[string]string{"public_url": "https://a:" + hidden + "@acme.example"}, want: []string{"public_url: has more than"}},
		{name: "upper case", flags: map[string]string{"public_url": "https://Acme.example"}, want: []string{"public_url: host is not in its one spelling"}},
		{name: "final dot", flags: map[string]string{"public_url": "https://acme.example."}, want: []string{"public_url: host"}},
		{name: "international name", flags: map[string]string{"public_url": "https://bücher.example"}, want: []string{"public_url: host", "xn--"}},
		{name: "number as a host", flags: map[string]string{"public_url": "https://2130706433"}, want: []string{"public_url: host"}},
		{name: "long IPv6", flags: map[string]string{"public_url": "https://[0:0::1]:8001"}, want: []string{"public_url: host"}},
		{name: "IPv6 zone", flags: map[string]string{"public_url": "https://[fe80::1%25eth0]:8001"}, want: []string{"public_url: has more than"}},
		{name: "default port", flags: map[string]string{"public_url": "https://acme.example:443"}, want: []string{"public_url: names the port", "leave :443 out"}},
		{name: "port with a zero", flags: map[string]string{"public_url": "https://acme.example:0443"}, want: []string{"public_url: host"}},
		{name: "port beyond", flags: map[string]string{"public_url": "https://acme.example:65536"}, want: []string{"public_url: host"}},

		{name: "listen without a port", lines: []string{"listen: 127.0.0.1"}, want: []string{":3: listen:", "IP:PORT"}},
		{name: "listen by name", lines: []string{"admin_listen: localhost:1"}, want: []string{":3: admin_listen:", "IP:PORT"}},
		{name: "listeners collide", lines: []string{"admin_listen: 127.0.0.1:8008"}, want: []string{"admin_listen: the same address as listen"}},
		{name: "plain listener for all", lines: []string{"listen: 0.0.0.0:8008"}, want: []string{":3: listen: reaches beyond loopback without TLS", "trusted_proxies"}},

		{name: "relative data_dir", flags: map[string]string{"data_dir": "data"}, want: []string{"data_dir:", "absolute path"}},
		{name: "missing data_dir", flags: map[string]string{"data_dir": "/nonexistent/meridian"}, want: []string{"data_dir:", "does not exist", "meridian init"}},
		{name: "data_dir is a file", flags: map[string]string{"data_dir": cert}, want: []string{"data_dir:", "not a directory"}},

		{name: "other database", lines: []string{"database: mysql://" + hidden + "@h/d"}, want: []string{":3: database: neither sqlite:"}},
		{name: "database is not a URL", lines: []string{"database: 'postgres://u:" + hidden + "%zz@h/d'"}, want: []string{":3: database: neither"}},
		{name: "relative sqlite", lines: []string{"database: sqlite:m.db"}, want: []string{":3: database: not sqlite: and a plain absolute path"}},
		{name: "sqlite with pragmas", lines: []string{"database: sqlite:/tmp/m.db?_pragma=synchronous(OFF)"}, want: []string{":3: database: not sqlite:"}},
		{name: "sqlite in no directory", lines: []string{"database: sqlite:/nonexistent/m.db"}, want: []string{":3: database:", "does not exist"}},
		{name: "no sslmode", lines: []string{"database: " + secretPostgres}, want: []string{":3: database:", "add sslmode=verify-full"}},
		{name: "bad sslmode", lines: []string{"database: " + secretPostgres + "?sslmode=prefer"}, want: []string{":3: database: the sslmode is not one of"}},
		{name: "empty password", lines: []string{"database: postgres://m:@h/d?sslmode=disable"}, want: []string{":3: database: the password in the URL is empty"}},
		{name: "empty parameter", lines: []string{"database: postgres://h/d?sslmode=disable&password="}, want: []string{":3: database: the URL parameter password is empty"}},
		{name: "durability turned off", lines: []string{"database: postgres://h/d?sslmode=disable&synchronous_commit=off"}, want: []string{":3: database: the URL parameter synchronous_commit is unknown"}},
		{name: "password in a readable file", lines: []string{"database: " + secretPostgres + "?sslmode=require"}, want: []string{":3: database: holds a password", "chmod 600"}},
		{name: "password parameter in a readable file", lines: []string{"database: postgres://h/d?sslmode=require&password=" + hidden}, want: []string{":3: database: holds a password", "chmod 600"}},

		{name: "no CIDR", lines: []string{"trusted_proxies: [10.0.0.1]"}, want: []string{`:3: trusted_proxies: "10.0.0.1" is not a network`, "10.1.2.3/32"}},
		{name: "CIDR out of range", lines: []string{"federation: {allow_networks: [10.0.0.0/33]}"}, want: []string{":3: federation.allow_networks:", "not a network"}},
		{name: "CIDR with host bits", lines: []string{"federation: {allow_networks: [10.0.0.1/8]}"}, want: []string{"federation.allow_networks:", "write 10.0.0.0/8"}},
		{name: "everyone trusted", lines: []string{"trusted_proxies: [0.0.0.0/0]"}, want: []string{"trusted_proxies:", "too wide"}},
		{name: "everyone dialled", lines: []string{`federation: {allow_networks: ["::/0"]}`}, want: []string{"federation.allow_networks:", "too wide"}},
		{name: "mapped CIDR", lines: []string{`federation: {allow_networks: ["::ffff:10.0.0.0/104"]}`}, want: []string{"federation.allow_networks:", "mapped"}},

		{name: "bad mode", lines: []string{"federation:", "  mode: opne"}, want: []string{`:4: federation.mode: "opne" is not one of allowlist, open`}},
		{name: "bad level", lines: []string{"log: {level: verbose}"}, want: []string{"log.level:", "debug, info, warn, error"}},
		{name: "bad format", lines: []string{"log: {format: xml}"}, want: []string{"log.format:", "json, text"}},
		{name: "limit is no number", lines: []string{"limits: {sockets: many}"}, want: []string{"limits.sockets:", "not a whole number"}},
		{name: "limit is a fraction", lines: []string{"limits: {sockets: 1.5}"}, want: []string{"limits.sockets:", "not a whole number"}},
		{name: "limit turned off", lines: []string{"limits: {person_rate: 0}"}, want: []string{"limits.person_rate:", "out of range", "from 1"}},
		{name: "negative limit", lines: []string{"limits: {body_bytes: -1}"}, want: []string{"limits.body_bytes:", "out of range"}},
		{name: "limit beyond integers", lines: []string{"limits: {sockets: 99999999999999999999}"}, want: []string{"limits.sockets:", "not a whole number"}},

		{name: "missing certificate", lines: []string{"tls: {cert_file: /nonexistent/c.pem, key_file: " + key + "}"}, want: []string{":3: tls.cert_file:", "no such file"}},
		{name: "missing key", lines: []string{"tls: {cert_file: " + cert + ", key_file: /nonexistent/k.pem}"}, want: []string{":3: tls.key_file:", "no such file"}},
		{name: "certificate alone", lines: []string{"tls: {cert_file: " + cert + "}"}, want: []string{"tls.key_file: missing although tls.cert_file is set"}},
		{name: "key alone", lines: []string{"tls: {key_file: " + key + "}"}, want: []string{"tls.cert_file: missing although tls.key_file is set"}},
		{name: "world-readable key", lines: []string{"tls: {cert_file: " + cert + ", key_file: " + worldKey + "}"}, want: []string{":3: tls.key_file:", "mode 0644", "chmod 600"}},
		{name: "group-readable key", lines: []string{"tls: {cert_file: " + cert + ", key_file: " + groupKey + "}"}, want: []string{":3: tls.key_file:", "mode 0640", "chmod 600"}},
		{name: "another's key", lines: []string{"tls: {cert_file: " + cert + ", key_file: " + otherKey + "}"}, want: []string{":3: tls.cert_file: and tls.key_file do not serve together"}},
		{name: "TLS for plain http", flags: map[string]string{"public_url": "http://127.0.0.1:8001", "tls.cert_file": cert, "tls.key_file": key}, want: []string{"public_url: is http although tls is set"}},
		{name: "files and ACME", lines: []string{"tls: {cert_file: " + cert + ", key_file: " + key + ", acme: {email: a@acme.example}}"}, want: []string{"tls.acme.email: set together"}},
		{name: "ACME address", lines: []string{"tls: {acme: {email: admin}}"}, want: []string{"tls.acme.email: not a mail address"}},
		{name: "ACME over http", lines: []string{"tls: {acme: {email: a@acme.example, directory: 'http://ca.example'}}"}, want: []string{"tls.acme.directory: not an https URL"}},
		{name: "ACME for an address", flags: map[string]string{"public_url": "https://192.0.2.1", "tls.acme.email": "a@acme.example"}, want: []string{"tls.acme.email: no authority certifies"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c, err := Load(written(t, 0o644, row.lines...), row.environ, row.flags)
			if err == nil {
				t.Fatalf("taken: %+v", c)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("%q is more than one plain line", err)
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%q shows a secret", err)
			}
		})
	}
}

func TestAFileThatIsNotThereIsNamed(t *testing.T) {
	_, err := Load("/nonexistent/meridian.yaml", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/meridian.yaml: no such configuration file") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(t.TempDir(), nil, nil); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a directory: got %v", err)
	}
}

func TestNothingAtAllAsksForThePublicURL(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", empty} {
		if _, err := Load(path, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "public_url: missing") {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

func TestAPasswordMayStandInAPrivateFileOrTheEnvironment(t *testing.T) {
	const database = "postgres://m:hunter2@db.acme.example/m?sslmode=verify-full"
	if _, err := Load(written(t, 0o600, "database: "+database), nil, nil); err != nil {
		t.Errorf("private file: %v", err)
	}
	if _, err := Load(written(t, 0o644), []string{"MERIDIAN_DATABASE=" + database}, nil); err != nil {
		t.Errorf("environment: %v", err)
	}
}

func FuzzLoadNeverPanicsAndNeverSpreadsOverLines(f *testing.F) {
	f.Add("log: {level: info}")
	f.Add("federation:\n  allow_networks: [10.0.0.0/8]")
	f.Add("? [a]\n: b")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "meridian.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, nil, nil); err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("more than one plain line: %q", err)
		}
	})
}
