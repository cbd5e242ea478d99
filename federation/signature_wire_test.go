package federation

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A target is a real server whose only handler verifies, and counts what came of it.
type target struct {
	name     string // its server name, an address on loopback
	mu       sync.Mutex
	accepted int
	panics   int
	reasons  map[string]int
}

func startTarget(t *testing.T, keys func(string) (Key, error)) *target {
	tgt := &target{reasons: map[string]int{}}
	server := httptest.NewUnstartedServer(nil)
	tgt.name = server.Listener.Addr().String()
	verifier := NewVerifier(tgt.name, keys)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tgt.mu.Lock()
		defer tgt.mu.Unlock()
		defer func() {
			if p := recover(); p != nil {
				tgt.panics++
				panic(p)
			}
		}()
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			_, err = verifier.Verify(r, body, testNow())
		}
		if err != nil {
			tgt.reasons[reasonOf(err)]++
			http.Error(w, reasonOf(err), http.StatusUnauthorized)
			return
		}
		tgt.accepted++
	})
	server.Config.MaxHeaderBytes = 8 << 20 // so that the oversized ones reach the verifier
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return tgt
}

// send writes raw bytes to the server and returns the answer's status and first line of body.
func (tgt *target) send(t *testing.T, raw []byte) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", tgt.name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() { // the server may answer, and close, before it has read everything
		defer close(written)
		_, _ = conn.Write(raw)
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	defer res.Body.Close()
	line, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	conn.Close()
	<-written
	return res.StatusCode, strings.TrimSpace(string(line))
}

// A forgery is a request as it goes over the wire, with the freedom to be wrong in any way.
type forgery struct {
	method, target string
	self           string      // the server name of the one attacked
	lines          [][2]string // header lines in order; Signature is appended by seal
	body           string
	key            ed25519.PrivateKey
	sig            map[string]string // parameters
	order          []string          // parameters in the order written
	signedAs       string            // request target put under the signature, if not the one sent
}

func (f *forgery) get(name string) string {
	for _, l := range f.lines {
		if strings.EqualFold(l[0], name) {
			return l[1]
		}
	}
	return ""
}

func (f *forgery) set(name, value string) {
	for i, l := range f.lines {
		if l[0] == name {
			f.lines[i][1] = value
			return
		}
	}
	f.lines = append(f.lines, [2]string{name, value})
}

func (f *forgery) drop(name string) {
	f.lines = slices.DeleteFunc(f.lines, func(l [2]string) bool { return l[0] == name })
}

// seal signs what the headers parameter says, as a lax verifier would read it: whoever takes the
// sender's word on coverage would accept the result.
func (f *forgery) seal() {
	var text []string
	for _, part := range strings.Fields(strings.ToLower(f.sig["headers"])) {
		if part == "(request-target)" {
			text = append(text, part+": "+strings.ToLower(f.method)+" "+cmp.Or(f.signedAs, f.target))
			continue
		}
		var values []string
		for _, l := range f.lines {
			if strings.EqualFold(l[0], part) {
				values = append(values, strings.TrimSpace(l[1]))
			}
		}
		text = append(text, part+": "+strings.Join(values, ", "))
	}
	f.sig["signature"] = base64.StdEncoding.EncodeToString(ed25519.Sign(f.key, []byte(strings.Join(text, "\n"))))
}

func (f *forgery) header() string {
	var params []string
	for _, name := range f.order {
		params = append(params, fmt.Sprintf("%s=%q", name, f.sig[name]))
	}
	return strings.Join(params, ",")
}

func (f *forgery) wire() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", f.method, f.target)
	for _, l := range f.lines {
		fmt.Fprintf(&b, "%s: %s\r\n", l[0], l[1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(f.body), f.body)
	return b.Bytes()
}

// An attack changes a request before or after it is signed.
type attack struct {
	name   string
	reason string // expected; "" where net/http may refuse it first
	before func(*forgery)
	after  func(*forgery)
	keyed  bool // after changes sig or the Signature line itself, or there is none
}

const forgedBody = `{"v":1}` + "\n"

// forge returns the wire bytes of an attack on a request that would else be accepted.
func (tgt *target) forge(key ed25519.PrivateKey, server string, a attack) []byte {
	f := &forgery{
		method: "POST", target: "/federation/v1/push", self: tgt.name, body: forgedBody, key: key,
		lines: [][2]string{
			{"Host", tgt.name},
			{"Date", testNow().Format(http.TimeFormat)},
			{"Digest", digestOf([]byte(forgedBody))},
			{"Content-Type", "application/x-ndjson"},
		},
		sig:   map[string]string{"keyId": KeyID(server, publicOf(key)), "algorithm": "hs2019", "headers": signedParts},
		order: []string{"keyId", "algorithm", "headers", "signature"},
	}
	if a.before != nil {
		a.before(f)
	}
	f.seal()
	if a.after != nil && a.keyed {
		a.after(f)
		return f.wire()
	}
	f.set("Signature", f.header())
	if a.after != nil {
		a.after(f)
	}
	return f.wire()
}

// written is an attack on the written Signature header.
func written(name, reason string, change func(header string) string) attack {
	return attack{name: name, reason: reason, after: func(f *forgery) { f.set("Signature", change(f.get("Signature"))) }}
}

// parameter is an attack on one parameter after signing.
func parameter(name, reason, param string, change func(f *forgery, value string) string) attack {
	return attack{name: name, reason: reason, keyed: true, after: func(f *forgery) {
		f.sig[param] = change(f, f.sig[param])
		f.set("Signature", f.header())
	}}
}
