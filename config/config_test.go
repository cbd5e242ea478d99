package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmpopts.EquateComparable(netip.Prefix{})

// written is a configuration file with the given lines after a valid public_url and data_dir.
func written(t *testing.T, mode os.FileMode, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "meridian.yaml")
	text := "public_url: https://acme.example\ndata_dir: " + dir + "\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func TestDefaultsStandWhereNothingIsSaid(t *testing.T) {
	path := written(t, 0o644)
	got, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.PublicURL = "https://acme.example"
	want.DataDir = filepath.Dir(path)
	want.Database = "sqlite:" + filepath.Join(want.DataDir, "meridian.db")
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Error(diff)
	}
	if got.Server() != "acme.example" {
		t.Errorf("Server() = %q", got.Server())
	}
}

func TestEverySettingIsReadFromFileEnvironmentAndFlags(t *testing.T) {
	dir := t.TempDir()
	values := map[string]string{
		"public_url": "https://acme.example:8443", "listen": "0.0.0.0:8443", "admin_listen": "127.0.0.1:9",
		"data_dir": dir, "database": "postgres://meridian@db.acme.example/meridian?sslmode=verify-full",
		"trusted_proxies": "10.0.0.0/8, fd00::/8",
		"tls.acme.email":  "admin@acme.example", "tls.acme.directory": "https://ca.acme.example/dir",
		"federation.mode": "open", "federation.allow_networks": "192.168.7.0/24",
		"files.max_bytes": "5000", "files.fetch_below": "0", "files.person_quota": "6000", "files.partner_quota": "7000", "files.quota": "8000",
		"limits.body_bytes": "200000", "limits.person_rate": "1", "limits.anonymous_rate": "2",
		"limits.partner_rate": "3", "limits.partner_events": "6", "limits.sockets": "4", "limits.sockets_per_person": "5",
		"log.level": "warn", "log.format": "text",
	}
	want := Config{
		PublicURL: "https://acme.example:8443", Listen: "0.0.0.0:8443", AdminListen: "127.0.0.1:9", DataDir: dir,
		Database:       "postgres://meridian@db.acme.example/meridian?sslmode=verify-full",
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		TLS:            TLS{ACME: ACME{Email: "admin@acme.example", Directory: "https://ca.acme.example/dir"}},
		Federation:     Federation{Mode: Open, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}},
		Files:          Files{MaxBytes: 5000, PersonQuota: 6000, PartnerQuota: 7000, Quota: 8000},
		Limits:         Limits{BodyBytes: 200000, PersonRate: 1, AnonymousRate: 2, PartnerRate: 3, PartnerEvents: 6, Sockets: 4, SocketsPerPerson: 5},
		Log:            Log{Level: slog.LevelWarn, Format: Text},
	}
	for _, s := range new(Config).settings() { // two ways to have TLS: the files are in the test of TLS
		if _, ok := values[s.key]; !ok && !strings.HasPrefix(s.key, "tls.") {
			t.Errorf("this test leaves out %s", s.key)
		}
	}
	var environ, lines []string
	for key, value := range values {
		environ = append(environ, variable(key)+"="+value)
		if key == "trusted_proxies" || key == "federation.allow_networks" {
			value = "['" + strings.ReplaceAll(value, ", ", "', '") + "']"
		}
		lines = append(lines, key+": "+value)
	}
	file := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, load := range map[string]func() (Config, error){
		"file":        func() (Config, error) { return Load(file, nil, nil) },
		"environment": func() (Config, error) { return Load("", environ, nil) },
		"flags":       func() (Config, error) { return Load("", nil, values) },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compare); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFlagsOverrideTheEnvironmentWhichOverridesTheFile(t *testing.T) {
	path := written(t, 0o644, "log:", "  level: debug", "  format: text", "limits: {sockets: 7}")
	environ := []string{"PATH=/bin", "MERIDIAN_LOG_LEVEL=warn", "MERIDIAN_LOG_FORMAT=json"}
	got, err := Load(path, environ, map[string]string{"log.level": "error"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Log != (Log{Level: slog.LevelError, Format: JSON}) || got.Limits.Sockets != 7 {
		t.Errorf("got %+v, %d sockets", got.Log, got.Limits.Sockets)
	}
}

func TestTheDefaultFileLoadsToTheDefaults(t *testing.T) {
	for _, publicURL := range []string{"https://acme.example", "http://127.0.0.1:8001", "http://localhost", "http://[::1]:8001"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "meridian.yaml")
		var text strings.Builder
		if err := WriteDefault(&text, publicURL, dir); err != nil {
			t.Fatal(err)
		}
		load := func(content string) Config {
			t.Helper()
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Load(path, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", publicURL, err)
			}
			return c
		}
		commented := load(text.String())
		if commented.PublicURL != publicURL || commented.DataDir != dir {
			t.Errorf("%s: got %s in %s", publicURL, commented.PublicURL, commented.DataDir)
		}
		shown := regexp.MustCompile(`(?m)^( *)#([a-z_]+: \S)`).ReplaceAllString(text.String(), "$1$2")
		if diff := cmp.Diff(commented, load(shown), compare, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: a default shown in the file is not the default: %s", publicURL, diff)
		}
		for _, s := range new(Config).settings() {
			last := s.key[strings.LastIndexByte(s.key, '.')+1:]
			if !strings.Contains(text.String(), last+":") {
				t.Errorf("%s is not in the file", s.key)
			}
		}
	}
}

func TestTheDefaultFileIsNotWrittenForABadURLOrPath(t *testing.T) {
	for _, in := range [][2]string{{"http://acme.example", "/d"}, {"", "/d"}, {"https://acme.example", "d"}} {
		if err := WriteDefault(&strings.Builder{}, in[0], in[1]); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}
