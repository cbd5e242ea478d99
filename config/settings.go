package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// setting ties a dotted key to its place in a Config.
type setting struct {
	key   string
	field field
	doc   string
}

// field parses a setting's value and shows it in YAML. A scalar is given exactly one string.
type field struct {
	list bool
	set  func([]string) error
	show func() string
}

// settings lists every key there is, in the order of the default file.
func (c *Config) settings() []setting {
	return []setting{
		{"public_url", text(&c.PublicURL), "The URL that people and partners use: scheme, host and port. The host names this\nserver in every event for ever. http is for loopback alone."},
		{"listen", text(&c.Listen), "IP:PORT for people and partners. Without tls it is loopback, or trusted_proxies is set."},
		{"admin_listen", text(&c.AdminListen), "IP:PORT for metrics, health and profiling. Keep it away from strangers."},
		{"data_dir", text(&c.DataDir), "Keys, the embedded database and files: an absolute path, back it up."},
		{"database", text(&c.Database), "sqlite:/absolute/path, or postgres://user@host/name?sslmode=verify-full.\nDefault: sqlite:meridian.db in data_dir. A password here makes this file a secret (chmod 600)."},
		{"trusted_proxies", networks(&c.TrustedProxies), "Networks of reverse proxies, whose X-Forwarded-For is believed."},
		{"tls.cert_file", text(&c.TLS.CertFile), "PEM certificate chain; with key_file, this process ends TLS itself."},
		{"tls.key_file", text(&c.TLS.KeyFile), "PEM key, readable by its owner only."},
		{"tls.acme.email", text(&c.TLS.ACME.Email), "Instead of files: obtain certificates for the public URL's host. The address is\ngiven to the authority, and giving it accepts the authority's terms."},
		{"tls.acme.directory", text(&c.TLS.ACME.Directory), "The certificate authority's directory."},
		{"federation.mode", oneOf(&c.Federation.Mode, Allowlist, Open), "allowlist: only partners an administrator allowed. open: also first contacts."},
		{"federation.allow_networks", networks(&c.Federation.AllowNetworks), "Private networks that partners may be dialled in."},
		{"files.max_bytes", whole(&c.Files.MaxBytes, 1<<10, 64<<30), "Largest file, from people and from partners, in bytes."},
		{"files.fetch_below", whole(&c.Files.FetchBelow, 0, 64<<30), "Files of partners up to this size are fetched at once; larger ones when somebody\nasks for them. In bytes."},
		{"files.person_quota", whole(&c.Files.PersonQuota, 1<<10, 1<<50), "Files that one person uploaded, together, in bytes."},
		{"files.partner_quota", whole(&c.Files.PartnerQuota, 1<<10, 1<<50), "Files that the people of one other server brought, together, in bytes."},
		{"files.quota", whole(&c.Files.Quota, 1<<10, 1<<50), "All files together, in bytes. They lie in data_dir."},
		{"limits.body_bytes", whole(&c.Limits.BodyBytes, 128<<10, 16<<20), "Largest request body from people's clients, in bytes."},
		{"limits.person_rate", whole(&c.Limits.PersonRate, 1, 1_000_000), "Requests a second for each person; bursts of ten times as many pass."},
		{"limits.anonymous_rate", whole(&c.Limits.AnonymousRate, 1, 1_000_000), "Requests a second for each client address without a valid token."},
		{"limits.partner_rate", whole(&c.Limits.PartnerRate, 1, 1_000_000), "Federation requests a second for each partner."},
		{"limits.partner_events", whole(&c.Limits.PartnerEvents, 1, 1_000_000), "Events a second that are taken of each partner, a thousand times as many at once;\nwhat is more waits there. One longer than 4 KiB counts for each 4 KiB that it begins."},
		{"limits.sockets", whole(&c.Limits.Sockets, 1, 1_000_000), "Open WebSockets, all together."},
		{"limits.sockets_per_person", whole(&c.Limits.SocketsPerPerson, 1, 1_000_000), "Open WebSockets of one person."},
		{"log.level", level(&c.Log.Level), "debug, info, warn or error."},
		{"log.format", oneOf(&c.Log.Format, JSON, Text), "json or text."},
	}
}

// variable is the key's name in the environment.
func variable(key string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func text(p *string) field {
	return field{
		set: func(v []string) error {
			*p = v[0]
			return nil
		},
		show: func() string { return strconv.Quote(*p) },
	}
}

func oneOf(p *string, allowed ...string) field {
	return field{
		set: func(v []string) error {
			if !slices.Contains(allowed, v[0]) {
				return fmt.Errorf("%s is not one of %s", quoted(v[0]), strings.Join(allowed, ", "))
			}
			*p = v[0]
			return nil
		},
		show: func() string { return *p },
	}
}

func whole(p *int, least, most int) field {
	return field{
		set: func(v []string) error {
			n, err := strconv.Atoi(v[0])
			if err != nil {
				return fmt.Errorf("%s is not a whole number; give one from %d to %d", quoted(v[0]), least, most)
			}
			if n < least || n > most {
				return fmt.Errorf("%d is out of range; give a number from %d to %d", n, least, most)
			}
			*p = n
			return nil
		},
		show: func() string { return strconv.Itoa(*p) },
	}
}

func level(p *slog.Level) field {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return field{
		set: func(v []string) error {
			l, ok := levels[v[0]]
			if !ok {
				return fmt.Errorf("%s is not one of debug, info, warn, error", quoted(v[0]))
			}
			*p = l
			return nil
		},
		show: func() string { return strings.ToLower(p.String()) },
	}
}

func networks(p *[]netip.Prefix) field {
	return field{
		list: true,
		set: func(values []string) error {
			parsed := make([]netip.Prefix, 0, len(values))
			for _, v := range values {
				n, err := network(v)
				if err != nil {
					return err
				}
				parsed = append(parsed, n)
			}
			*p = parsed
			return nil
		},
		show: func() string {
			var names []string
			for _, n := range *p {
				names = append(names, strconv.Quote(n.String()))
			}
			return "[" + strings.Join(names, ", ") + "]"
		},
	}
}

// network parses a CIDR. It must be no wider than the widest private network, so that
// no list can stand for "everyone".
func network(s string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return n, fmt.Errorf("%s is not a network; write it as 10.1.0.0/16 or 10.1.2.3/32", quoted(s))
	}
	if n != n.Masked() {
		return n, fmt.Errorf("%s has bits beyond its length; write %s", quoted(s), n.Masked())
	}
	widest := 8
	if n.Addr().Is6() {
		widest = 7
	}
	if n.Addr().Is4In6() || n.Bits() < widest {
		return n, fmt.Errorf("%s is too wide or mapped; name the networks themselves, at most /8 (IPv4) or /7 (IPv6)", quoted(s))
	}
	return n, nil
}

// quoted shows a value that is no secret, bounded and on one line.
func quoted(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strconv.Quote(s)
}
