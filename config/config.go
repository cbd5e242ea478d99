// Package config is every setting of a Meridian server: its name, its default and its check.
// It reads one YAML file, the environment and the command line's flags into one value and
// refuses what is unknown, misspelt, empty or unsafe. It never opens a database, a socket or
// a connection, never writes but the file that `meridian init` asks for, and has no setting
// that turns a check off.
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// Federation modes.
const (
	// Allowlist exchanges events only with partners that an administrator allowed.
	Allowlist = "allowlist"
	// Open also accepts the first contact of servers nobody has named yet.
	Open = "open"
)

// Log formats.
const (
	// JSON writes each log record as one JSON object on one line.
	JSON = "json"
	// Text writes each log record as key=value pairs on one line.
	Text = "text"
)

// Config is the checked value of every setting. Only Load makes one.
type Config struct {
	// PublicURL is scheme, host and, where it is not the scheme's own, port; without a slash at the end.
	PublicURL string
	// Listen is the address, IP:PORT, that people and partners reach; port 0 lets the system choose.
	Listen string
	// AdminListen is the address, IP:PORT, of metrics, health and profiling.
	AdminListen string
	// DataDir is an absolute path of a directory that exists.
	DataDir string
	// Database is "sqlite:" and an absolute path, or a postgres:// URL that names sslmode.
	Database string
	// TLS is how this process ends TLS itself; its zero value leaves that to a proxy.
	TLS TLS
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	Federation     Federation
	Files          Files
	Limits         Limits
	Log            Log
}

// TLS names a certificate and its key, or says how to obtain them; never both.
type TLS struct {
	// CertFile and KeyFile are PEM files that belong together; both or neither are set.
	CertFile, KeyFile string
	ACME              ACME
}

// ACME obtains certificates for the public URL's host (RFC 8555) when Email is set.
type ACME struct {
	// Email is where the authority writes to; setting it accepts the authority's terms.
	Email string
	// Directory is the authority's https directory URL.
	Directory string
}

// Federation says whom this server exchanges events with.
type Federation struct {
	// Mode is Allowlist or Open.
	Mode string
	// AllowNetworks may be dialled although they are not globally routable.
	AllowNetworks []netip.Prefix
}

// Files bounds what is stored of files, all in bytes.
type Files struct {
	// MaxBytes is the largest file that is taken, from people and from partners.
	MaxBytes int
	// FetchBelow is up to what size files of partners are fetched before anybody asks for them.
	FetchBelow int
	// PersonQuota is for all that one person uploaded and still has in messages.
	PersonQuota int
	// PartnerQuota is for all that the people of one other server brought.
	PartnerQuota int
	// Quota is for all files together.
	Quota int
}

// Limits bound what one person, address or partner may use. All are at least 1.
type Limits struct {
	// BodyBytes is the largest request body that people's clients may send.
	BodyBytes int
	// PersonRate is requests a second for one signed-in person; bursts may reach ten times as many.
	PersonRate int
	// AnonymousRate is requests a second for one client address without a valid token; bursts as above.
	AnonymousRate int
	// PartnerRate is federation requests a second for one partner; bursts as above.
	PartnerRate int
	// PartnerEvents is events a second that the people of one partner may bring, in the long run; a thousand times
	// as many at once. An event longer than 4 KiB counts for each 4 KiB that it begins.
	PartnerEvents int
	// Sockets is how many WebSockets are open at once.
	Sockets int
	// SocketsPerPerson is how many of them belong to one person.
	SocketsPerPerson int
}

// Log says what is logged and how.
type Log struct {
	Level slog.Level
	// Format is JSON or Text.
	Format string
}

// Server is the name other servers know this one by: the host of PublicURL, with its port if it has one.
func (c Config) Server() string {
	_, host, _ := strings.Cut(c.PublicURL, "://")
	return host
}

// Load reads the YAML file at path (none when path is ""), then lays over it the MERIDIAN_*
// variables of environ (in the form of os.Environ), then flags by their dotted key, such as
// "log.level"; lists in either are separated by commas. Every error is one line that names
// the setting, where it was read, what is wrong and the remedy, and never a secret's value.
func Load(path string, environ []string, flags map[string]string) (Config, error) {
	c := defaults()
	r := newReader(&c)
	if err := r.file(path); err != nil {
		return Config{}, err
	}
	if err := r.environment(environ); err != nil {
		return Config{}, err
	}
	if err := r.flags(flags); err != nil {
		return Config{}, err
	}
	if c.Database == "" && c.DataDir != "" {
		c.Database = "sqlite:" + filepath.Join(c.DataDir, "meridian.db")
	}
	for _, check := range checks {
		if f := check(c); f != nil {
			return Config{}, r.located(f)
		}
	}
	if err := secretsInFile(c, path, r.where["database"]); err != nil {
		return Config{}, err
	}
	return c, nil
}

func defaults() Config {
	return Config{
		Listen:      "127.0.0.1:8008",
		AdminListen: "127.0.0.1:8009",
		TLS:         TLS{ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory"}},
		Federation:  Federation{Mode: Allowlist},
		Files: Files{
			MaxBytes:     256 << 20,
			FetchBelow:   25 << 20,
			PersonQuota:  10 << 30,
			PartnerQuota: 50 << 30,
			Quota:        200 << 30,
		},
		Limits: Limits{
			BodyBytes:        1 << 20,
			PersonRate:       50,
			AnonymousRate:    10,
			PartnerRate:      200,
			PartnerEvents:    500,
			Sockets:          20_000,
			SocketsPerPerson: 20,
		},
		Log: Log{Level: slog.LevelInfo, Format: JSON},
	}
}

// fault is what is wrong with one setting, before it is known where the setting was read.
type fault struct{ key, text string }

func faultf(key, format string, args ...any) *fault {
	return &fault{key, fmt.Sprintf(format, args...)}
}

func (f *fault) Error() string { return f.key + ": " + f.text }

// passwordIn reports whether a database URL carries a password, and whether that is empty.
func passwordIn(database string) (has, empty bool) {
	u, err := url.Parse(database)
	if err != nil || u.User == nil {
		return false, false
	}
	password, has := u.User.Password()
	return has, has && password == ""
}
