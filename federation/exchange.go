package federation

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"meridian/internal/limit"
	"meridian/threads"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// ProtocolVersion is the version of the protocol that this package speaks.
const ProtocolVersion = 1

// exchangeTime is the total deadline of one exchange, either way.
const exchangeTime = 30 * time.Second

// pushTime is that of a push that this server makes: two of them, and what follows, lie within a
// minute, in which what one partner cannot take must not hold up the rest.
const pushTime = 20 * time.Second

// Options are what an Exchange is made of. All fields but Open, Rate, Events, Files, Alone, Tell and Registry are required.
type Options struct {
	Server string // this server's canonical name
	Keys   Keyring
	Open   bool // strangers become partners at first contact
	Rate   int  // exchanges a second that one server may make; defaultRate for 0
	Events int  // events a second that the people of one server may bring; defaultEvents for 0

	Journal     Journal
	Logs        Logs
	Neighbours  Neighbours
	Partners    Partners
	Deliveries  Deliveries
	Invitations Invitations
	People      People
	Erasures    Erasures
	// Do carries out an order through the journal and returns after it is durable; its refusals
	// are *threads.Error.
	Do func(ctx context.Context, o Order) error
	// Alone keeps other nodes of this organisation from deciding about the same server until end is
	// called; nil where there are none.
	Alone func(ctx context.Context, name string) (end func(), err error)
	// Tell has the other nodes of this organisation call Hinted; nil where there are none.
	Tell func(ctx context.Context, server string, hint []byte) error

	// Told takes what became of messages of this server at partners; nil for nobody. It must not
	// block.
	Told func(fates []threads.Fate)

	Files Files // nil for a server that keeps none

	Transport http.RoundTripper
	Clock     func() time.Time
	Jitter    func() float64 // uniform in [0, 1)
	NewID     func() string  // UUIDv7
	Log       *slog.Logger
	Registry  prometheus.Registerer // nil for no metrics
	Software  string                // "meridian/1.2.3"
}

// Exchange is this server's side of all exchanges with other servers: it answers theirs through
// Handler and makes its own through one Courier a server.
type Exchange struct {
	Options
	verifier  *Verifier
	limits    []limit.Limit
	metrics   *metrics
	digests   digests
	doubts    doubts
	clock     clock
	strangers strangers

	deciding sync.Mutex // held while something about a server is decided

	mu       sync.Mutex
	own      own
	renewed  chan struct{}        // receives when a key changed that channels may have to record
	checked  map[string]time.Time // when the keys of servers were last looked at because of a request
	turns    *rate.Limiter        // of partners that come back
	couriers map[string]*Courier
	known    map[string]acquaintance
	changes  int // how often something about a server was decided
	leases   map[threads.Hash]lease
}

// New is an exchange that has made no contact yet.
func New(o Options) (*Exchange, error) {
	o.Rate, o.Events = cmp.Or(o.Rate, defaultRate), cmp.Or(o.Events, defaultEvents)
	if _, err := ParseServerName(o.Server); err != nil {
		return nil, fmt.Errorf("server name: %w", err)
	}
	keys, err := ownKeys(o.Server, o.Keys)
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("register federation metrics: %w", err)
	}
	x := &Exchange{
		Options: o, limits: LimitTable(o.Rate, o.Events), own: keys, metrics: metrics, renewed: make(chan struct{}, 1), checked: map[string]time.Time{},
		doubts: newDoubts(), turns: rate.NewLimiter(rate.Every(startSpread), maxTurns), couriers: map[string]*Courier{}, known: map[string]acquaintance{}, leases: map[threads.Hash]lease{},
	}
	x.verifier = NewVerifier(o.Server, x.keyFor)
	return x, nil
}

// Handler answers partners: /.well-known/meridian and /federation/v1/.
func (x *Exchange) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wellKnownPath, x.serveWellKnown)
	mux.Handle("POST "+checkPath, x.exchanged(x.answerCheck))
	mux.Handle("POST "+pushPath, x.exchanged(x.answerPush))
	mux.Handle("POST "+pullPath, x.exchanged(x.answerPull))
	mux.Handle("POST "+digestPath, x.exchanged(x.answerDigest))
	mux.Handle("POST "+requestPath, x.exchanged(x.answerRequest))
	mux.Handle("POST "+profilesPath, x.exchanged(x.answerProfiles))
	mux.Handle("POST "+filePath, x.exchanged(x.answerFile))
	mux.Handle("POST "+erasedPath, x.exchanged(x.answerErased))
	mux.HandleFunc("/federation/v1/", x.noExchange)
	return mux
}

const (
	wellKnownPath = "/.well-known/meridian"
	checkPath     = "/federation/v1/check"
	pushPath      = "/federation/v1/push"
	pullPath      = "/federation/v1/pull"
	digestPath    = "/federation/v1/digest"
	requestPath   = "/federation/v1/request"
	profilesPath  = "/federation/v1/profiles"
	filePath      = "/federation/v1/file"
	erasedPath    = "/federation/v1/erased"
)

const (
	typeJSON   = "application/json"
	typeFrames = "application/x-ndjson"
	typeBytes  = "application/octet-stream"
)

func encodeKey(public ed25519.PublicKey) string {
	return base64.RawURLEncoding.EncodeToString(public)
}

func decodeKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.New("a public key is the base64url of 32 bytes")
	}
	return b, nil
}
