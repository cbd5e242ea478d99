package config

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// WriteDefault writes to w the file that `meridian init` leaves behind: publicURL and dataDir
// set, every other setting commented out with its default. A server on loopback also listens
// at its URL's port and may dial loopback, where its partners must be. It fails when publicURL
// is not one that Load takes, or dataDir is not an absolute path.
func WriteDefault(w io.Writer, publicURL, dataDir string) error {
	c := defaults()
	c.PublicURL, c.DataDir = publicURL, dataDir
	if f := checkPublicURL(c); f != nil {
		return f
	}
	if !filepath.IsAbs(dataDir) {
		return faultf("data_dir", "%s is not an absolute path; begin it with /", quoted(dataDir))
	}
	c.Database = "sqlite:" + filepath.Join(dataDir, "meridian.db")
	live := map[string]bool{"public_url": true, "data_dir": true}
	if u, _ := url.Parse(publicURL); u.Scheme == "http" {
		c.listenAt(u)
		live["listen"], live["federation.allow_networks"] = true, true
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# Meridian's settings. A line that begins with #key shows a default; remove the # to change it.\n"+
		"# Each one is also a variable: %s for log.level, for example.\n", variable("log.level"))
	section := ""
	for _, s := range c.settings() {
		section = writeSetting(out, s, section, live[s.key])
	}
	return out.Flush()
}

// listenAt makes a loopback server reachable at its own URL and able to reach others like it.
func (c *Config) listenAt(u *url.URL) {
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil { // localhost
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	c.Listen = netip.AddrPortFrom(ip, netip.MustParseAddrPort("0.0.0.0:"+port).Port()).String()
	c.Federation.AllowNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// writeSetting writes one setting under its section's header and returns the section it is in.
func writeSetting(w io.Writer, s setting, section string, live bool) string {
	parts := strings.Split(s.key, ".")
	here := strings.Join(parts[:len(parts)-1], ".")
	indent := strings.Repeat("  ", len(parts)-1)
	fmt.Fprintln(w)
	if here != section && here != "" {
		fmt.Fprintf(w, "%s%s:\n", indent[2:], parts[len(parts)-2])
	}
	for line := range strings.SplitSeq(s.doc, "\n") {
		fmt.Fprintf(w, "%s# %s\n", indent, line)
	}
	mark := "#"
	if live {
		mark = ""
	}
	value := s.field.show()
	if value == `""` {
		value = ""
	}
	fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%s%s%s: %s", indent, mark, parts[len(parts)-1], value), " "))
	return here
}
