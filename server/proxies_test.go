package server

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxies has the campaign with real proxies run: make proxies.
var proxies = flag.Bool("proxies", false, "put nginx and haproxy in front of servers")

const nginxConf = `
daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  proxy_cache_path %[1]s/cache keys_zone=shared:1m;
  upstream meridian { server %[3]s; keepalive 1; }
  server {
    listen %[2]s; client_max_body_size 5m;
    location / {
      proxy_pass http://meridian; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_cache shared; proxy_cache_valid any 1h; proxy_cache_key $request_uri; add_header X-Cache $upstream_cache_status always;
    }
  }
}`

const haproxyConf = `
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  option http-keep-alive
  http-reuse always
frontend front
  bind %[2]s
  option forwardfor
  default_backend meridian
backend meridian
  server one %[3]s maxconn 1
`

// proxied is a server that is reached through a real proxy, under the proxy's address.
func proxied(t *testing.T, program, conf string) *site {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing (Debian: apt-get install %s)", program, program)
	}
	at := newSite(t, "")
	behind := freeAddress(t)
	at.options.Config.Listen = behind
	at.options.Config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	at.options.Config.Limits.PersonRate, at.options.Config.Limits.AnonymousRate = 1_000_000, 1_000_000
	at.start()
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, conf, dir, at.name, behind), 0o644); err != nil {
		t.Fatal(err)
	}
	arguments := map[string][]string{"nginx": {"-p", dir, "-c", file}, "haproxy": {"-db", "-f", file}}[program]
	if program == "nginx" && os.Geteuid() == 0 {
		arguments = append(arguments, "-g", "user root;")
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := exec.CommandContext(ctx, path, arguments...)
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	var said strings.Builder
	run.Stderr = &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = run.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	at.eventually("reached through "+program, func() bool { return at.status(at.url+"/.well-known/meridian", "") == http.StatusOK })
	return at
}

// smuggled is a whole request hidden in another one's body or behind it.
const smuggled = "GET /api/v1/me?smuggled=1 HTTP/1.1\r\nHost: x\r\nX-Rest: "

// attacks are requests that a proxy and a server might read differently; %s is the host.
var attacks = map[string]string{
	"CL.TE":                   "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent-Type: application/json\r\nContent-Length: 75\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
	"TE.CL":                   "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n47\r\n" + smuggled + "aaaaaaa\r\n0\r\n\r\n",
	"TE.TE":                   "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
	"TE with odd white space": "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 75\r\n\r\n0\r\n\r\n" + smuggled,
	"two lengths":             "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 0\r\nContent-Length: 70\r\n\r\n" + smuggled,
	"a list of lengths":       "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 0, 70\r\n\r\n" + smuggled,
	"a length with a plus":    "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: +70\r\n\r\n" + smuggled,
	"Content_Length":          "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent_Length: 70\r\n\r\n" + smuggled,
	"two hosts":               "GET /api/v1/server HTTP/1.1\r\nHost: %[1]s\r\nHost: evil.example\r\n\r\n",
	"obs-fold":                "GET /api/v1/server HTTP/1.1\r\nHost: %[1]s\r\nX-Folded: a\r\n Authorization: Bearer x\r\n\r\n",
	"absolute form":           "GET http://evil.example/api/v1/me HTTP/1.1\r\nHost: %[1]s\r\n\r\n",
	"bare LF":                 "GET /api/v1/server HTTP/1.1\nHost: %[1]s\n\n" + smuggled,
	"bare LF in a chunk":      "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nTransfer-Encoding: chunked\r\n\r\n2\nxx47\r\n" + smuggled + "\r\n0\r\n\r\n",
	"a body on GET":           "GET /api/v1/server HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 70\r\n\r\n" + smuggled,
	"a space before a colon":  "POST /api/v1/sessions HTTP/1.1\r\nHost: %[1]s\r\nContent-Length : 70\r\n\r\n" + smuggled,
}

// attack sends one over a connection of its own and is what came back.
func attack(address, request string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = io.WriteString(conn, request)
	all, _ := io.ReadAll(conn)
	return string(all)
}

// T78, T70: through nginx (which also caches what it may) and haproxy, requests that could be read in
// two ways put nothing before another client's request, everybody gets their own answers alone, and
// partners' signatures hold.
func TestRealProxiesMixNobodyUp(t *testing.T) {
	if !*proxies {
		t.Skip("a campaign: make proxies")
	}
	for program, conf := range map[string]string{"nginx": nginxConf, "haproxy": haproxyConf} {
		t.Run(program, func(t *testing.T) {
			at, other := proxied(t, program, conf), newSite(t, "")
			other.start()
			ana, ben, cy := at.person("ana"), at.person("ben"), other.person("cy")
			ended := make(chan struct{})
			var all sync.WaitGroup
			asked := map[string]int{}
			var mu sync.Mutex
			for name, token := range map[string]string{"ana": ana, "ben": ben} {
				all.Go(func() {
					for {
						select {
						case <-ended:
							return
						default:
						}
						var me struct{ Address string }
						if at.call(token, http.MethodGet, "/me", nil, &me) == http.StatusOK && me.Address != name+"@"+at.name {
							t.Errorf("%s is answered as %s", name, me.Address)
						}
						mu.Lock()
						asked[name]++
						mu.Unlock()
					}
				})
			}
			statuses := map[string]int{}
			for what, request := range attacks {
				for range 10 {
					got := attack(at.name, fmt.Sprintf(request, at.name))
					if strings.Contains(got, "ana@") || strings.Contains(got, "ben@") {
						t.Errorf("%s brought somebody else's answer: %s", what, got)
					}
					first, _ := bufio.NewReader(strings.NewReader(got)).ReadString('\n')
					statuses[what+" "+strings.TrimSpace(first)]++
				}
			}
			close(ended)
			all.Wait()
			for _, name := range []string{"ana", "ben"} {
				if asked[name] < 50 {
					t.Errorf("%s asked only %d times meanwhile", name, asked[name])
				}
			}
			befriend(at, other)
			channel := share(at, ana, other, cy, "cy@"+other.name)
			at.eventually("of one state with the partner", func() bool { return at.stateHash(ana, channel) == other.stateHash(cy, channel) })
			var found Examination
			other.mustOperate("partners.examine", PartnerChange{Name: at.name}, &found)
			if !found.Healthy {
				t.Errorf("the doctor says %+v", found)
			}
			cached(t, at, ana)
			t.Logf("%d and %d requests meanwhile; answers: %v", asked["ana"], asked["ben"], statuses)
		})
	}
}

// cached asks for what only one person may see, then again as nobody.
func cached(t *testing.T, at *site, token string) {
	t.Helper()
	for _, path := range []string{"/me", "/channels", "/events", "/invitations", "/search?q=x", "/nothing"} {
		for _, bearer := range []string{token, ""} {
			r, err := http.NewRequest(http.MethodGet, at.url+"/api/v1"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if bearer != "" {
				r.Header.Set("Authorization", "Bearer "+bearer)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if control := answer.Header.Get("Cache-Control"); !strings.Contains(control, "no-store") || answer.Header.Get("X-Cache") == "HIT" {
				t.Errorf("%s: Cache-Control %q, cache %q", path, control, answer.Header.Get("X-Cache"))
			}
			if bearer == "" && answer.StatusCode < 400 {
				t.Errorf("%s is answered to nobody with %s", path, answer.Status)
			}
		}
	}
}
