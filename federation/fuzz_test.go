package federation

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"meridian/internal/cost"
)

// T75: the Signature header. What is taken has one spelling, and is read again as it was meant.
func FuzzParseSignature(f *testing.F) {
	good := signature{KeyID("havel.example", publicOf(testKey(1))), "hs2019", signedParts, base64.StdEncoding.EncodeToString(make([]byte, 64))}
	f.Add(good.String())
	f.Add(strings.ReplaceAll(good.String(), ",", ",  "))
	f.Add(strings.ReplaceAll(good.String(), "hs2019", "rsa-sha256"))
	f.Add(good.String() + "," + good.String())
	f.Add(`keyId="\"",algorithm=,headers=" ",signature="="`)
	f.Fuzz(func(t *testing.T, header string) {
		var s signature
		var err error
		cost.Hold(t, func() { s, err = parseSignature(header) })
		if err != nil {
			return
		}
		if again, err := parseSignature(s.String()); err != nil || again != s {
			t.Errorf("%q is taken as %+v, which is read as %+v, %v", header, s, again, err)
		}
		if strings.ReplaceAll(header, " ", "") != strings.ReplaceAll(reordered(header, s), " ", "") {
			t.Errorf("%q is taken as %q", header, s)
		}
	})
}

// reordered is the signature with its parameters in the order of the header.
func reordered(header string, s signature) string {
	parts := strings.Split(s.String(), ",")
	slices.SortFunc(parts, func(a, b string) int {
		name := func(part string) string { return part[:strings.IndexByte(part, '=')+1] }
		return strings.Index(header, name(a)+`"`) - strings.Index(header, name(b)+`"`)
	})
	return strings.Join(parts, ",")
}

// T75: server names and URLs. A name that is taken is that of its own URL and of no other.
func FuzzParseServerName(f *testing.F) {
	for _, name := range []string{
		"havel.example", "127.0.0.1:8001", "[2001:db8::1]:8443", "xn--bcher-kva.example", "a..b", "A.example", "havel.example.", "0x7f.1",
		"[::ffff:1.2.3.4]", "http://127.0.0.1:8001", "https://havel.example/", "https://havel.example:443", "xn--a", "ha\u200dvel.example",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cost.Hold(t, func() {
			if name, err := ServerNameFromURL(s); err == nil && strings.TrimSuffix(s, "/") != BaseURL(name) {
				t.Errorf("%q is taken for %q, which is reached as %q", s, name, BaseURL(name))
			}
		})
		name, err := ParseServerName(s)
		if err != nil {
			return
		}
		if back, err := ServerNameFromURL(BaseURL(name)); name != s || err != nil || back != name {
			t.Errorf("%q becomes %q, whose URL is that of %q, %v", s, name, back, err)
		}
	})
}

// T75: how a server introduces itself, the keys that it shows and how one follows another.
func FuzzCheckWellKnown(f *testing.F) {
	old, present := testKey(1), testKey(2)
	ring, err := Keyring{{Private: old}}.Renew("havel.example", bytes.NewReader(bytes.Repeat([]byte{7}, 64)), testNow(), false)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range []Keyring{{{Private: old}}, ring, {{Private: old}, {Private: present}}} {
		x := &Exchange{Options: Options{Server: "havel.example", Software: "test"}, own: own{ring: r}}
		body, err := marshal(x.introduction())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxWellKnown {
			return
		}
		var found acquainted
		var err error
		cost.Hold(t, func() { found, err = checkWellKnown("havel.example", body) })
		if err != nil {
			return
		}
		for _, k := range found.Keys {
			if k.ID != KeyID("havel.example", k.Public) {
				t.Errorf("key %q is taken under another id", k.ID)
			}
		}
		if pinned := eventKey("havel.example", publicOf(testKey(9))); found.leads(pinned) || found.shows(pinned) {
			t.Errorf("%s leads from a key that signed nothing", body)
		}
	})
}

// T75: compressed bodies. Whatever comes is inflated within the bound or refused.
func FuzzInflate(f *testing.F) {
	plain := []byte(strings.Repeat("header and content\n", 50))
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(plain)
	_ = w.Close()
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	packed := packer.EncodeAll(plain, nil)
	f.Add(true, zipped.Bytes())
	f.Add(false, packed)
	f.Add(false, zipped.Bytes())
	f.Fuzz(func(t *testing.T, gzipped bool, body []byte) {
		encoding := map[bool]string{true: "gzip", false: "zstd"}[gzipped]
		cost.Hold(t, func() {
			if out, err := inflate(encoding, body); err == nil && len(out) > MaxBody {
				t.Errorf("%d bytes became %d", len(body), len(out))
			}
		})
	})
}
