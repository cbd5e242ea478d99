package federation

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func headerAttacks() []attack {
	attacks := []attack{
		{name: "no Signature", reason: reasonMissing, keyed: true, after: func(*forgery) {}},
		{name: "Authorization instead", reason: reasonMissing, keyed: true, after: func(f *forgery) { f.set("Authorization", "Signature "+f.header()) }},
		written("empty Signature", reasonMalformed, func(string) string { return "" }),
		written("1 MB Signature", reasonMalformed, func(h string) string { return h + strings.Repeat(" ", 1<<20) + "x" }),
		written("1 MB key id", reasonMalformed, func(h string) string { return strings.Replace(h, "keyId=\"", "keyId=\""+strings.Repeat("k", 1<<20), 1) }),
		written("100,000 parameters", reasonMalformed, func(h string) string { return h + strings.Repeat(`,a="b"`, 100_000) }),
		written("a million commas", reasonMalformed, func(h string) string { return h + strings.Repeat(",", 1_000_000) }),
	}
	for _, name := range []string{"Host", "Date", "Digest", "Content-Type", "Signature"} {
		reason := reasonMalformed
		if name == "Host" {
			reason = "" // net/http answers 400
		}
		other := map[string]string{"Host": "third.example", "Date": "Mon, 23 Nov 2026 09:00:01 GMT", "Digest": digestOf(nil), "Content-Type": "text/plain", "Signature": `keyId="x",algorithm="hs2019",headers="date",signature="AA=="`}[name]
		repeat := func(value func(*forgery) string) func(*forgery) {
			return func(f *forgery) { f.lines = append(f.lines, [2]string{name, value(f)}) }
		}
		attacks = append(attacks,
			attack{name: name + " twice", reason: reason, after: repeat(func(f *forgery) string { return f.get(name) })},
			attack{name: name + " twice in other case", reason: reason, after: func(f *forgery) {
				f.lines = append(f.lines, [2]string{strings.ToUpper(name), f.get(name)})
			}},
			attack{name: name + " twice, differing", reason: reason, after: repeat(func(*forgery) string { return other })},
			attack{name: name + " twice, an empty one", reason: reason, after: repeat(func(*forgery) string { return "" })},
		)
		if name == "Signature" {
			continue
		}
		attacks = append(attacks,
			attack{name: name + " twice, both signed", reason: reason, before: repeat(func(f *forgery) string { return f.get(name) })},
			attack{name: "no " + name, reason: reason, after: func(f *forgery) { f.drop(name) }},
			attack{name: "no " + name + ", signed as empty", reason: reason, before: func(f *forgery) { f.drop(name) }},
			attack{name: "empty " + name, reason: cmp.Or(reason, reasonHost), before: func(f *forgery) { f.set(name, "") }},
			attack{name: "1 MB " + name, reason: "", before: func(f *forgery) { f.set(name, strings.Repeat("a", 1<<20)) }},
		)
	}
	return attacks
}

func parameterAttacks() []attack {
	var attacks []attack
	for _, p := range []string{"keyId", "algorithm", "headers", "signature"} {
		attacks = append(attacks,
			attack{name: "no " + p, reason: reasonMalformed, before: func(f *forgery) {
				f.order = slices.DeleteFunc(f.order, func(o string) bool { return o == p })
			}},
			attack{name: p + " twice", reason: reasonMalformed, before: func(f *forgery) { f.order = append(f.order, p) }},
			written(p+" twice, differing", reasonMalformed, func(h string) string { return h + "," + p + `="x"` }),
			written(p+" twice, differing one first", reasonMalformed, func(h string) string { return p + `="x",` + h }),
			parameter(p+" empty", reasonMalformed, p, func(*forgery, string) string { return "" }),
			written(p+" in capitals", reasonMalformed, func(h string) string { return strings.Replace(h, p+"=", strings.ToUpper(p)+"=", 1) }),
			written(p+" with a space before =", reasonMalformed, func(h string) string { return strings.Replace(h, p+"=", p+" =", 1) }),
			written(p+" with a space after =", reasonMalformed, func(h string) string { return strings.Replace(h, p+"=", p+"= ", 1) }),
			written(p+" with a tab before", reasonMalformed, func(h string) string { return strings.Replace(","+h, ","+p+"=", ",\t"+p+"=", 1) }),
			written(p+" in doubled quotes", reasonMalformed, func(h string) string {
				at := strings.Index(h, p+`="`) + len(p) + 2
				end := at + strings.Index(h[at:], `"`)
				return h[:at] + `"` + h[at:end] + `"` + h[end:]
			}),
			written(p+" without quotes", reasonMalformed, func(h string) string {
				at := strings.Index(h, p+`="`) + len(p) + 1
				end := at + 1 + strings.Index(h[at+1:], `"`)
				return h[:at] + h[at+1:end] + h[end+1:]
			}),
			written(p+" in single quotes", reasonMalformed, func(h string) string {
				at := strings.Index(h, p+`="`) + len(p) + 1
				end := at + 1 + strings.Index(h[at+1:], `"`)
				return h[:at] + "'" + h[at+1:end] + "'" + h[end+1:]
			}),
		)
	}
	for _, extra := range []string{`created="1"`, `created=1`, `created=99999999999`, `expires="1"`, `expires=0`, `created="x"`, `nonce="a"`, `opaque="a"`, `=""`, ``, `""`, `keyId`} {
		attacks = append(attacks, written("also "+extra, reasonMalformed, func(h string) string { return h + "," + extra }))
	}
	return append(attacks,
		written("semicolons", reasonMalformed, func(h string) string { return strings.ReplaceAll(h, ",", ";") }),
		written("the scheme's word before it", reasonMalformed, func(h string) string { return "Signature " + h }),
		written("a comma in front", reasonMalformed, func(h string) string { return "," + h }),
		written("RFC 9421 form", reasonMalformed, func(string) string { return "sig1=:AAAA:" }),
		written("a control character", "", func(h string) string { return h + "\x01" }),
		written("not ASCII", reasonMalformed, func(h string) string { return strings.Replace(h, "keys", "kéys", 1) }),
		written("an escaped quote", reasonMalformed, func(h string) string { return strings.Replace(h, "keys", `k\"eys`, 1) }),
	)
}

func coverageAttacks() []attack {
	parts := strings.Fields(signedParts)
	var coverages []string
	for mask := range 1<<len(parts) - 1 { // every proper subset; the full one is the control
		var some []string
		for i, part := range parts {
			if mask&(1<<i) != 0 {
				some = append(some, part)
			}
		}
		coverages = append(coverages, strings.Join(some, " "))
	}
	for i := range parts {
		for j := range i {
			swapped := slices.Clone(parts)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			coverages = append(coverages, strings.Join(swapped, " "))
		}
		coverages = append(coverages, signedParts+" "+parts[i], parts[i]+" "+signedParts)
	}
	coverages = append(coverages, signedParts+" user-agent", signedParts+" (created)", signedParts+" (expires)", signedParts+" x-absent",
		strings.ToUpper(signedParts), strings.Replace(signedParts, "host", "Host", 1), strings.ReplaceAll(signedParts, " ", "  "),
		" "+signedParts, signedParts+" ", strings.ReplaceAll(signedParts, " ", "\t"), "(request-target)", "signature", "(response-status)", " ")
	var attacks []attack
	for _, c := range coverages {
		reason := reasonCoverage
		if c == "" {
			reason = reasonMalformed
		}
		if strings.Contains(c, "\t") {
			reason = "" // written as \t by %q: the backslash is refused
		}
		attacks = append(attacks, attack{name: fmt.Sprintf("covers %q", c), reason: reason, before: func(f *forgery) { f.sig["headers"] = c }})
	}
	return attacks
}

func algorithmAttacks(public ed25519.PublicKey) []attack {
	var attacks []attack
	for _, word := range []string{
		"rsa-sha256", "rsa-sha1", "rsa-sha512", "hmac-sha256", "hmac-sha512", "ecdsa-sha256", "ecdsa-sha512", "none", "NONE", "null", "HS2019",
		"Ed25519", "ED25519", "ed25519-sha512", "ed25519 ", " ed25519", "hs2019,ed25519", "ed448", "eddsa", "blake2b-256", "ed25519ph", "rsa-v1_5-sha256",
	} {
		reason := reasonAlgorithm
		if strings.Contains(word, ",") {
			reason = reasonMalformed
		}
		attacks = append(attacks, attack{name: "algorithm " + word, reason: reason, before: func(f *forgery) { f.sig["algorithm"] = word }})
	}
	for _, word := range []string{"hs2019", "ed25519", "hmac-sha256", "hmac-sha512"} {
		for size, sum := range map[int]func([]byte) []byte{
			32: func(text []byte) []byte { m := hmac.New(sha256.New, public); m.Write(text); return m.Sum(nil) },
			64: func(text []byte) []byte { m := hmac.New(sha512.New, public); m.Write(text); return m.Sum(nil) },
		} {
			reason := map[int]string{32: reasonMalformed, 64: reasonSignature}[size]
			if size == 64 && strings.HasPrefix(word, "hmac") {
				reason = reasonAlgorithm
			}
			attacks = append(attacks, attack{name: fmt.Sprintf("HMAC of %d bytes as %s", size, word), reason: reason, keyed: true, after: func(f *forgery) {
				text := fmt.Sprintf("(request-target): post %s\nhost: %s\ndate: %s\ndigest: %s\ncontent-type: %s",
					f.target, f.get("Host"), f.get("Date"), f.get("Digest"), f.get("Content-Type"))
				f.sig["algorithm"], f.sig["signature"] = word, base64.StdEncoding.EncodeToString(sum([]byte(text)))
				f.set("Signature", f.header())
			}})
		}
	}
	return attacks
}

func signatureByteAttacks() []attack {
	decode := func(s string) []byte { raw, _ := base64.StdEncoding.DecodeString(s); return raw }
	var attacks []attack
	for i := range ed25519.SignatureSize {
		attacks = append(attacks, parameter(fmt.Sprintf("signature byte %d flipped", i), reasonSignature, "signature", func(_ *forgery, s string) string {
			raw := decode(s)
			raw[i] ^= 1 << (i % 8)
			return base64.StdEncoding.EncodeToString(raw)
		}))
	}
	recoded := func(name, reason string, change func(s string) string) attack {
		return parameter(name, reason, "signature", func(_ *forgery, s string) string { return change(s) })
	}
	return append(attacks,
		recoded("plus the group order", reasonSignature, func(s string) string { return base64.StdEncoding.EncodeToString(plusGroupOrder(decode(s))) }),
		recoded("zeros", reasonSignature, func(string) string { return base64.StdEncoding.EncodeToString(make([]byte, 64)) }),
		recoded("a byte short", reasonMalformed, func(s string) string { return base64.StdEncoding.EncodeToString(decode(s)[:63]) }),
		recoded("a byte long", reasonMalformed, func(s string) string { return base64.StdEncoding.EncodeToString(append(decode(s), 0)) }),
		recoded("twice", reasonMalformed, func(s string) string { return base64.StdEncoding.EncodeToString(append(decode(s), decode(s)...)) }),
		recoded("hexadecimal", reasonMalformed, func(s string) string { return hex.EncodeToString(decode(s)) }),
		recoded("no padding", reasonMalformed, func(s string) string { return strings.TrimRight(s, "=") }),
		recoded("more padding", reasonMalformed, func(s string) string { return s + "=" }),
		recoded("URL alphabet", reasonMalformed, func(s string) string { return "-_" + s[2:] }),
		recoded("a space in it", reasonMalformed, func(s string) string { return s[:8] + " " + s[8:] }),
		recoded("a space before", reasonMalformed, func(s string) string { return " " + s }),
		recoded("stray bits in the last digit", reasonMalformed, func(s string) string { return s[:85] + string(s[85]+1) + s[86:] }),
		recoded("not base64", reasonMalformed, func(string) string { return "!!!!" }),
		attack{name: "another key's signature", reason: reasonSignature, before: func(f *forgery) { f.key = testKey(9) }},
	)
}

// plusGroupOrder makes the other S that a careless verifier takes for the same signature.
func plusGroupOrder(sig []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	little := slices.Clone(sig[32:])
	slices.Reverse(little)
	sum := order.Add(order, new(big.Int).SetBytes(little)).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return append(slices.Clone(sig[:32]), sum...)
}

func targetAttacks() []attack {
	attacks := []attack{
		{name: "other method", reason: reasonSignature, after: func(f *forgery) { f.method = "GET" }},
		{name: "other path", reason: reasonSignature, after: func(f *forgery) { f.target = "/federation/v1/pull" }},
		{name: "a query added", reason: reasonSignature, after: func(f *forgery) { f.target += "?a=b" }},
		{name: "a query removed", reason: reasonSignature, before: func(f *forgery) { f.signedAs = f.target + "?a=b" }},
		{name: "absolute form", reason: reasonTarget, before: func(f *forgery) { f.signedAs, f.target = f.target, "http://"+f.get("Host")+f.target }},
		{name: "absolute form of another host", reason: reasonTarget, before: func(f *forgery) { f.signedAs, f.target = f.target, "http://third.example"+f.target }},
	}
	for _, method := range []string{"post", "Post", "PUT", "DELETE", "CONNECT", "OPTIONS", "PATCH", "QUERY", "P0ST"} {
		attacks = append(attacks, attack{name: "method " + method, reason: reasonTarget, before: func(f *forgery) { f.method = method }})
	}
	for raw, decoded := range map[string]string{
		"/federation%2fv1/push":           "/federation/v1/push",
		"/federation%2Fv1/push":           "/federation/v1/push",
		"%2ffederation/v1/push":           "",
		"/federation/v1/push%3fa=b":       "/federation/v1/push?a=b",
		"/federation/v1/push%3Fa=b":       "/federation/v1/push?a=b",
		"/federation/v1/push%0a":          "/federation/v1/push\n",
		"/federation/v1/push%0d%0a":       "/federation/v1/push\r\n",
		"/federation/v1/push%0Ahost:%20x": "/federation/v1/push\nhost: x",
		"/federation/v1/push%00":          "/federation/v1/push\x00",
		"/federation/v1/push%20":          "/federation/v1/push ",
		"/federation/v1/p%75sh":           "/federation/v1/push",
		"/federation/v1/%2e%2e/push":      "/federation/v1/../push",
		"/federation/v1/push%23x":         "/federation/v1/push#x",
		"/federation/v1/push%25":          "/federation/v1/push%",
		"/federation/v1/push%":            "",
		"/federation/v1/p%c3%bcsh":        "/federation/v1/püsh",
		"/federation/v1/püsh":             "/federation/v1/püsh",
		"/federation/v1//push":            "/federation/v1//push",
		"//federation/v1/push":            "//federation/v1/push",
		"/federation/v1/./push":           "/federation/v1/./push",
		"/federation/v1/x/../push":        "/federation/v1/x/../push",
		"/federation/v1/push/":            "/federation/v1/push/",
		"/federation/v1/push/.":           "/federation/v1/push/.",
		"/federation/v1/push?":            "/federation/v1/push",
		"/federation/v1/push?a=%2f":       "/federation/v1/push?a=%2f",
		"/federation/v1/push?a=b?c":       "/federation/v1/push?a=b?c",
		"/federation/v1/push?a=b;c":       "/federation/v1/push?a=b;c",
		"/federation/v1/push?a=b+c":       "/federation/v1/push?a=b+c",
		"/federation/v1/push#x":           "/federation/v1/push#x",
		"/federation/v1/push;a=b":         "/federation/v1/push;a=b",
		"/federation/v1/push:1":           "/federation/v1/push:1",
		"/federation/v1/push\\x":          "/federation/v1/push\\x",
		"/federation/v1/push\x7f":         "",
		"/federation/v1/a b":              "",
		"/":                               "/",
		"*":                               "*",
		"":                                "",
		"/" + strings.Repeat("a", 1024):   "/" + strings.Repeat("a", 1024),
	} {
		reason := reasonTarget
		if decoded == "" {
			reason = "" // net/http answers 400
		}
		for _, under := range []string{decoded, raw} { // as the plain library reads it, and as it was sent
			attacks = append(attacks, attack{name: fmt.Sprintf("target %.60q signed as %.60q", raw, under), reason: reason, before: func(f *forgery) { f.target, f.signedAs = raw, under }})
		}
	}
	return attacks
}

func valueAttacks() []attack {
	now := testNow()
	signedDates := map[string]string{
		"six minutes ago": now.Add(-6 * time.Minute).Format(http.TimeFormat), "in six minutes": now.Add(6 * time.Minute).Format(http.TimeFormat),
		"a day ago": now.Add(-24 * time.Hour).Format(http.TimeFormat), "1970": "Thu, 01 Jan 1970 00:00:00 GMT", "2038": "Tue, 19 Jan 2038 03:14:08 GMT",
		"9999": "Fri, 31 Dec 9999 23:59:59 GMT", "RFC 850": now.Format("Monday, 02-Jan-06 15:04:05 GMT"), "asctime": now.Format(time.ANSIC),
		"RFC 3339": now.Format(time.RFC3339), "numeric zone": now.Format(time.RFC1123Z), "UTC": now.Format("Mon, 02 Jan 2006 15:04:05 UTC"),
		"small letters": strings.ToLower(now.Format(http.TimeFormat)), "no weekday": now.Format("02 Jan 2006 15:04:05 GMT"),
		"wrong weekday": "Sun, 23 Nov 2026 09:00:00 GMT", "fraction": now.Format("Mon, 02 Jan 2006 15:04:05.000 GMT"),
		"Unix": fmt.Sprint(now.Unix()), "leap second": "Mon, 23 Nov 2026 08:59:60 GMT", "no date": "now", "two spaces": "Mon,  23 Nov 2026 09:00:00 GMT",
	}
	signedHosts := []string{"third.example", "127.0.0.1", "127.0.0.1:1", "localhost", "kobo.example"}
	digest := digestOf([]byte(forgedBody))
	sum512 := sha512.Sum512([]byte(forgedBody))
	signedDigests := map[string]string{
		"of nothing": digestOf(nil), "SHA-512": "SHA-512=" + base64.StdEncoding.EncodeToString(sum512[:]), "small letters": strings.Replace(digest, "SHA", "sha", 1),
		"no algorithm": digest[len("SHA-256="):], "MD5": "MD5=1B2M2Y8AsgTpgAmY7PhCfg==", "two": digest + "," + digest, "two algorithms": "MD5=AAAA," + digest,
		"no padding": strings.TrimRight(digest, "="), "only the word": "SHA-256=", "RFC 9530 form": "sha-256=:" + digest[len("SHA-256="):] + ":", "space": strings.Replace(digest, "=", "= ", 1),
		"one digit": digest[:12] + string(digest[12]^1) + digest[13:],
	}
	var attacks []attack
	for name, date := range signedDates {
		attacks = append(attacks, attack{name: "date " + name, reason: reasonDate, before: func(f *forgery) { f.set("Date", date) }})
	}
	for _, host := range signedHosts {
		attacks = append(attacks,
			attack{name: "host " + host, reason: reasonHost, before: func(f *forgery) { f.set("Host", host) }},
			attack{name: "host signed as " + host, reason: reasonSignature, before: func(f *forgery) { f.set("Host", host) }, after: func(f *forgery) { f.set("Host", f.self) }})
	}
	for name, d := range signedDigests {
		attacks = append(attacks, attack{name: "digest " + name, reason: reasonDigest, before: func(f *forgery) { f.set("Digest", d) }})
	}
	for name, body := range map[string]string{"empty": "", "shorter": forgedBody[:7], "longer": forgedBody + " ", "other": `{"v":2}` + "\n", "twice": forgedBody + forgedBody} {
		attacks = append(attacks, attack{name: "body " + name, reason: reasonDigest, after: func(f *forgery) { f.body = body }})
	}
	for _, name := range []string{"Date", "Digest", "Content-Type"} {
		value := map[string]string{"Date": now.Add(time.Second).Format(http.TimeFormat), "Digest": digestOf([]byte("x")), "Content-Type": "application/json"}[name]
		attacks = append(attacks, attack{name: name + " changed", reason: reasonSignature, after: func(f *forgery) { f.set(name, value) }})
	}
	return attacks
}

// badKeys are pinned under key ids of their own, as a damaged store might hand them out.
func badKeys() map[string]ed25519.PublicKey {
	der, err := x509.MarshalPKIXPublicKey(publicOf(testKey(1)))
	if err != nil {
		panic(err)
	}
	return map[string]ed25519.PublicKey{
		"nil": nil, "empty": {}, "1": make([]byte, 1), "31": make([]byte, 31), "33": make([]byte, 33), "64": ed25519.PublicKey(testKey(1)), "der": der,
		"rsa": make([]byte, 294),
	}
}

func keyAttacks() []attack {
	var attacks []attack
	for id := range badKeys() {
		attacks = append(attacks, attack{name: "pinned key " + id, reason: reasonKey, before: func(f *forgery) { f.sig["keyId"] = id }})
	}
	for name, change := range map[string]func(string) string{
		"in capitals":   strings.ToUpper,
		"of a stranger": func(string) string { return KeyID("stranger.example", publicOf(testKey(9))) },
		"of other host": func(string) string { return KeyID("third.example", publicOf(testKey(1))) },
		"with slash":    func(id string) string { return id + "/" },
		"with fragment": func(id string) string { return id + "#main-key" },
		"over http":     func(id string) string { return strings.Replace(id, "https", "http", 1) },
		"with port":     func(id string) string { return strings.Replace(id, "/keys", ":443/keys", 1) },
		"escaped":       func(id string) string { return strings.Replace(id, "keys", "%6beys", 1) },
		"a digit less":  func(id string) string { return id[:len(id)-1] },
		"a path":        func(string) string { return "../../etc/passwd" },
		"SQL":           func(string) string { return "'OR'1'='1" },
		"only the host": func(string) string { return "havel.example" },
	} {
		attacks = append(attacks, attack{name: "key id " + name, reason: reasonUnknownKey, before: func(f *forgery) { f.sig["keyId"] = change(f.sig["keyId"]) }})
	}
	return append(attacks,
		attack{name: "another partner's key id", reason: reasonSignature, before: func(f *forgery) { f.sig["keyId"] = KeyID("third.example", publicOf(testKey(3))) }},
		attack{name: "a key id of 257 bytes", reason: reasonMalformed, before: func(f *forgery) { f.sig["keyId"] = strings.Repeat("k", 257) }},
		attack{name: "a space in the key id", reason: reasonMalformed, before: func(f *forgery) { f.sig["keyId"] += " x" }},
	)
}

// controls are requests that differ from the plain one and are as good.
func controls() []attack {
	return []attack{
		{name: "plain"},
		{name: "the word ed25519", before: func(f *forgery) { f.sig["algorithm"] = "ed25519" }},
		{name: "parameters in other order", before: func(f *forgery) { slices.Reverse(f.order) }},
		written("spaces after commas", "", func(h string) string { return strings.ReplaceAll(h, ",", ",  ") }),
		{name: "a query", before: func(f *forgery) { f.target += "?channel=a_b-c&limit=5" }},
		{name: "GET without body", before: func(f *forgery) {
			f.method, f.body = "GET", ""
			f.set("Digest", digestOf(nil))
		}},
		{name: "five minutes slow", before: func(f *forgery) { f.set("Date", testNow().Add(-5*time.Minute+time.Second).Format(http.TimeFormat)) }},
		{name: "header lines nobody signs", after: func(f *forgery) { f.set("User-Agent", "meridian"); f.set("Authorization", `Signature keyId="x"`) }},
	}
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// T06: no mutant of a signature is accepted, and trying costs little.
func TestForgedRequestsAreRefused(t *testing.T) {
	key, server := testKey(1), "havel.example"
	pinned := map[string]Key{
		KeyID(server, publicOf(key)):                 {Server: server, Public: publicOf(key)},
		KeyID("third.example", publicOf(testKey(3))): {Server: "third.example", Public: publicOf(testKey(3))},
	}
	for id, public := range badKeys() {
		pinned[id] = Key{Server: "damaged.example", Public: public}
	}
	tgt := startTarget(t, func(keyID string) (Key, error) {
		if k, ok := pinned[keyID]; ok {
			return k, nil
		}
		return Key{}, ErrUnknownKey
	})
	attacks := slices.Concat(headerAttacks(), parameterAttacks(), coverageAttacks(), algorithmAttacks(publicOf(key)),
		signatureByteAttacks(), targetAttacks(), valueAttacks(), keyAttacks())
	if len(attacks) < 200 {
		t.Errorf("only %d forgeries were tried", len(attacks))
	}
	before := processorTime(t)
	for _, a := range attacks {
		status, said := tgt.send(t, tgt.forge(key, server, a))
		if status < 400 || a.reason != "" && said != a.reason {
			t.Errorf("%s: answered %d %q, want a refusal for %q", a.name, status, said, a.reason)
		}
	}
	t.Logf("each took %s of the processor, with what sending it took", (processorTime(t)-before)/time.Duration(len(attacks)))
	if tgt.accepted != 0 || tgt.panics != 0 {
		t.Errorf("%d forgeries accepted, %d panics", tgt.accepted, tgt.panics)
	}
	for _, reason := range SignatureReasons() {
		if tgt.reasons[reason] == 0 {
			t.Errorf("no forgery was refused for %q", reason)
		}
		delete(tgt.reasons, reason)
	}
	if len(tgt.reasons) > 0 {
		t.Errorf("reasons beyond the published ones: %v", tgt.reasons)
	}
	// The attacks prove something only if what they vary is accepted.
	for i, a := range controls() {
		if status, said := tgt.send(t, tgt.forge(key, server, a)); status != http.StatusOK || tgt.accepted != i+1 {
			t.Errorf("control %s: answered %d %q", a.name, status, said)
		}
	}
	t.Logf("%d forgeries refused, %d controls accepted", len(attacks), tgt.accepted)
}
