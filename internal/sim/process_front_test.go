package sim_test

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// front is the proxy through which a server's partners reach it. What it does
// not let through it breaks off without an answer, as a broken network does.
type front struct {
	name string // HOST:PORT, which is the server's name

	mu      sync.Mutex
	refused map[string]bool // servers whose requests do not pass
	behind  []string        // addresses that take requests in turn
	turn    int
}

// newFront listens for partners of the server at the address.
func newFront(t *testing.T, address string) *front {
	t.Helper()
	l, err := net.Listen("tcp", freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &front{name: l.Addr().String(), refused: map[string]bool{}, behind: []string{address}}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: f.next()})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.passes(r) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	return f
}

// next is the address whose turn it is.
func (f *front) next() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn++
	return f.behind[f.turn%len(f.behind)]
}

// serve has an address take requests, or take none any more.
func (f *front) serve(address string, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind = slices.DeleteFunc(f.behind, func(a string) bool { return a == address })
	if on {
		f.behind = append(f.behind, address)
	}
}

// passes judges a request by the server that signed it.
func (f *front) passes(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for server, is := range f.refused {
		if is && strings.Contains(r.Header.Get("Signature"), "//"+server+"/") {
			return false
		}
	}
	return true
}

func (f *front) refuse(server string, refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[server] = refused
}

// cut lets nothing pass between a server and the others, in either direction.
func (h *house) cut(others ...*house) { h.between(others, true) }

// mend undoes cut.
func (h *house) mend(others ...*house) { h.between(others, false) }

func (h *house) between(others []*house, refused bool) {
	for _, o := range others {
		h.front.refuse(o.name, refused)
		o.front.refuse(h.name, refused)
	}
}
