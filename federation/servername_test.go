package federation

import (
	"strings"
	"testing"

	"golang.org/x/net/idna"
	"pgregory.net/rapid"
)

// canonicalNames are spellings that are accepted as they stand, with the URL each one means.
func canonicalNames() map[string]string {
	return map[string]string{
		"acme.example":               "https://acme.example",
		"a.example":                  "https://a.example",
		"acme":                       "https://acme",
		"3com.example":               "https://3com.example",
		"1.2.3.example":              "https://1.2.3.example",
		"acme.example:8443":          "https://acme.example:8443",
		"acme.example:1":             "https://acme.example:1",
		"acme.example:80":            "https://acme.example:80",
		"acme.example:65535":         "https://acme.example:65535",
		"sub.acme-corp.example":      "https://sub.acme-corp.example",
		"a-b-c.example":              "https://a-b-c.example",
		"xn--bcher-kva.example":      "https://xn--bcher-kva.example",
		"xn--strae-oqa.example":      "https://xn--strae-oqa.example",
		"strasse.example":            "https://strasse.example",
		"xn--wgv71a119e.example":     "https://xn--wgv71a119e.example",
		"acme.xn--p1ai":              "https://acme.xn--p1ai",
		"xn--e1afmkfd.xn--p1ai:8443": "https://xn--e1afmkfd.xn--p1ai:8443",
		"8.8.8.8":                    "https://8.8.8.8",
		"8.8.8.8:8443":               "https://8.8.8.8:8443",
		"10.0.0.7":                   "https://10.0.0.7",
		"223.255.255.254":            "https://223.255.255.254",
		"[2606:4700::1111]":          "https://[2606:4700::1111]",
		"[2606:4700::1111]:8443":     "https://[2606:4700::1111]:8443",
		"[2a00:1:2:3:4:5:6:7]":       "https://[2a00:1:2:3:4:5:6:7]",
		"[fd00::2]":                  "https://[fd00::2]",
		"localhost":                  "http://localhost",
		"localhost:8001":             "http://localhost:8001",
		"127.0.0.1":                  "http://127.0.0.1",
		"127.0.0.1:8001":             "http://127.0.0.1:8001",
		"127.0.0.2:8001":             "http://127.0.0.2:8001",
		"127.255.255.254:8001":       "http://127.255.255.254:8001",
		"[::1]":                      "http://[::1]",
		"[::1]:8001":                 "http://[::1]:8001",
		"localhost.example":          "https://localhost.example",
		"127.0.0.1.example":          "https://127.0.0.1.example",

		strings.Repeat("a", 63) + ".example":           "https://" + strings.Repeat("a", 63) + ".example",
		strings.Repeat("abcdefghi.", 19) + "acme:9999": "https://" + strings.Repeat("abcdefghi.", 19) + "acme:9999",
	}
}

// refusedNames are other spellings of hosts, grouped by what is wrong with them.
func refusedNames() map[string][]string {
	return map[string][]string{
		"case":      {"ACME.example", "Acme.Example", "acme.EXAMPLE", "LOCALHOST:8001", "XN--BCHER-KVA.example", "xn--bcher-KVA.example", "[2606:4700::111A]", "[FD00::2]"},
		"dots":      {"", ".", "acme.example.", ".acme.example", "acme..example", "localhost.", "8.8.8.8.", "acme.example.:8443", "acme。example", "acme．example", "acme｡example"},
		"port":      {"acme.example:", "acme.example:0", "acme.example:00443", "acme.example:443", "acme.example:0443", "acme.example:65536", "acme.example:+8443", "acme.example:-1", "acme.example:8443 ", "acme.example: 8443", "acme.example:0x20", "acme.example:８４４３", "acme.example:https", "acme.example:1:2", "acme.example:99999999999999999999", "127.0.0.1:80", "127.0.0.1:443", "localhost:80", "[::1]:80", "[::1]:", "[::1]8001", ":8443", "acme.example:8443:"},
		"URL parts": {"https://acme.example", "http://127.0.0.1:8001", "//acme.example", "acme.example/", "acme.example/x", "acme.example\\x", "acme.example?x", "acme.example#x", "user@acme.example", "user:pw@acme.example", "@acme.example", "acme.example@evil.example", "acme.example%2f", "acme.example%2Fx", "acme%2eexample", "%61cme.example", "acme.example%00"},
		"blanks":    {" acme.example", "acme.example ", "acme .example", "acme.example\n", "\tacme.example", "acme.example\r\nHost: x", "acme.example\x00", "acme.example\x7f", "acme\u00a0.example"},
		"letters":   {"acme_corp.example", "_acme.example", "acme!.example", "acme*.example", "*.example", "acme,example", "acme;example", "acme.example&", "acme(1).example", "~acme.example", "acme'.example", "acme\".example", "acme|.example", "acme^.example", "acme$.example"},
		"hyphens":   {"-acme.example", "acme-.example", "acme.-example", "acme.example-", "ab--cd.example", "-", "xn--.example"},
		"Unicode":   {"bücher.example", "BÜCHER.example", "bu\u0308cher.example", "straße.example", "аcme.example", "ａｃｍｅ.example", "acme\u200d.example", "acme\u200b.example", "acme\u00ad.example", "ac\u202eme.example", "日本語.example", "ıcloud.example", "acme.ｅxample", "\u212acme.example", "acme\xff.example", "ⓐcme.example"},
		"punycode": {
			"xn--acme-.example", "xn--Bcher-kva.example", "xn--bcher-.example", "xn--a.example", "xn--0.example", "xn--99999999.example", "xn--xn--bcher-kva-.example", "xn--bcher-kva-.example",
			punycode("Bücher"), punycode("ａcme"), punycode("ac\u00adme"), punycode("acme\u200d"), punycode("bu\u0308cher"), punycode("acmé_corp"), punycode("-acmé"), punycode("ab--é"), punycode("ac\u202eme"), punycode("\u0301acme"), punycode("aא"), punycode("①acme"), punycode("acme。é"),
		},
		"IPv4":   {"127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "017700000001", "0177.0.0.1", "127.0.0.01", "127.000.000.001", "1.2.3.4.5", "256.1.1.1", "1.2.3", "8.8.8.8.8", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "acme.1", "acme.0x7f", "１２７.0.0.1", "127。0。0。1", "[127.0.0.1]", "+127.0.0.1"},
		"IPv6":   {"::1", "::1:8001", "2606:4700::1111", "[::1", "::1]", "[]", "[]:8001", "[[::1]]", "[::1]]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::01]", "[2606:4700:0::1111]", "[2606:4700:0:0:0:0:0:1111]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::1]", "[2001:0:7f00:1::1]", "[fe80::1]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[2606:4700::1111%1]", "[::1%lo]", "[ff02::1]", "[fec0::1]", "[100::1]", "[v1.fe80::a]", "[::1]x", "x[::1]", "[2606:4700::1111]:443"},
		"length": {strings.Repeat("a", 64) + ".example", strings.Repeat("abcdefghi.", 20) + "example", strings.Repeat("a.", 1<<19) + "example"},
	}
}

// punycode encodes a label as it stands, whether or not a valid name may hold it.
func punycode(label string) string {
	ascii, err := idna.Punycode.ToASCII(label)
	if err != nil {
		panic(err)
	}
	return ascii + ".example"
}

func TestServerNameHasOneSpelling(t *testing.T) {
	for name, url := range canonicalNames() {
		got, err := ParseServerName(name)
		if err != nil || got != name {
			t.Errorf("ParseServerName(%q) = %q, %v; want it as it stands", name, got, err)
		}
		if got := BaseURL(name); got != url {
			t.Errorf("BaseURL(%q) = %q, want %q", name, got, url)
		}
		for _, u := range []string{url, url + "/"} {
			if got, err := ServerNameFromURL(u); err != nil || got != name {
				t.Errorf("ServerNameFromURL(%q) = %q, %v; want %q", u, got, err, name)
			}
		}
	}
}

func TestOtherSpellingsOfAServerNameAreRefused(t *testing.T) {
	count := 0
	for kind, names := range refusedNames() {
		for _, name := range names {
			count++
			if got, err := ParseServerName(name); err == nil || got != "" {
				t.Errorf("%s: ParseServerName(%.80q) = %.80q, %v; want a refusal", kind, name, got, err)
			}
			for _, scheme := range []string{"https://", "http://"} {
				if strings.HasSuffix(name, "/") {
					continue // a final slash belongs to the URL there
				}
				if got, err := ServerNameFromURL(scheme + name); err == nil || got != "" {
					t.Errorf("%s: ServerNameFromURL(%.80q) = %.80q, %v; want a refusal", kind, scheme+name, got, err)
				}
			}
		}
	}
	if count < 120 {
		t.Errorf("only %d spellings were tried", count)
	}
}

func TestPublicURLMustBeTheOnePartnersUse(t *testing.T) {
	for _, u := range []string{
		"", "acme.example", "//acme.example", "https:acme.example", "https:/acme.example", "https:///acme.example", "https://",
		"http://acme.example", "http://10.0.0.7", "http://[fd00::2]", "http://0.0.0.0:8001", "http://localhost.example",
		"https://localhost", "https://127.0.0.1:8001", "https://[::1]", "HTTPS://acme.example", "Https://acme.example", "ftp://acme.example",
		"ws://acme.example", "https://acme.example//", "https://acme.example/meridian", "https://acme.example/?", "https://acme.example?",
		"https://acme.example#", "https://acme.example/#", "https://@acme.example", "https://u@acme.example", "https://u:p@acme.example",
		"https://acme.example/..", "https://acme.example\\", "https://acme.example:443", "https://acme.example:443/", " https://acme.example",
		"https://acme.example ", "https://https://acme.example", "http://127.0.0.1:80",
	} {
		if got, err := ServerNameFromURL(u); err == nil || got != "" {
			t.Errorf("ServerNameFromURL(%q) = %q, %v; want a refusal", u, got, err)
		}
	}
}

// Whatever is typed: what is accepted is one name, with one URL, which leads back to it.
func TestAcceptedNamesAndTheirURLsAreOneToOne(t *testing.T) {
	known := make([]string, 0)
	for name := range canonicalNames() {
		known = append(known, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(
			rapid.SampledFrom(known),
			rapid.StringMatching(`[a-zA-Z0-9.:\[\]%@/-]{1,24}`),
			rapid.StringMatching(`\[[0-9a-f:]{2,20}\](:[0-9]{1,5})?`),
			rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]{1,5})?`),
			rapid.StringMatching(`xn--[a-z0-9-]{1,12}\.example`),
			rapid.String(),
		).Draw(t, "name")
		got, err := ParseServerName(name)
		if err != nil {
			return
		}
		if back, err := ServerNameFromURL(BaseURL(got)); got != name || err != nil || back != name {
			t.Fatalf("%q was accepted as %q, and its URL %q led back to %q, %v", name, got, BaseURL(got), back, err)
		}
		if upper := strings.ToUpper(name); upper != name {
			if _, err := ParseServerName(upper); err == nil {
				t.Fatalf("%q and %q are both accepted", name, upper)
			}
		}
	})
}
