package federation

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-fed/httpsig"
)

const (
	// MaxClockDifference is how far the Date of a signed request may lie from the receiver's clock,
	// either way.
	MaxClockDifference = 5 * time.Minute

	// signedParts is what every signature covers, no more, no less, in this order.
	signedParts = "(request-target) host date digest content-type"

	maxKeyID       = 256
	maxHeaderValue = 1024
	maxTarget      = 512
)

// The closed set of reasons, in the order in which a request is checked.
const (
	reasonMissing    = "missing"     // no Signature header
	reasonMalformed  = "malformed"   // a covered header or the Signature header is absent, repeated or unreadable
	reasonAlgorithm  = "algorithm"   // names another algorithm than Ed25519
	reasonCoverage   = "coverage"    // covers other parts than the ones required
	reasonTarget     = "target"      // method or path is not plain
	reasonHost       = "host"        // was made for another server
	reasonDate       = "date"        // too far from our clock, or not a date
	reasonUnknownKey = "unknown_key" // nobody is known by this key id
	reasonKey        = "key"         // the pinned key is not an Ed25519 key
	reasonSignature  = "signature"   // does not verify
	reasonDigest     = "digest"      // does not match the body
)

// SignatureReasons returns every value that [SignatureError] has as Reason.
func SignatureReasons() []string {
	return []string{
		reasonMissing, reasonMalformed, reasonAlgorithm, reasonCoverage, reasonTarget, reasonHost,
		reasonDate, reasonUnknownKey, reasonKey, reasonSignature, reasonDigest,
	}
}

// SignatureError says why a signed request was refused.
type SignatureError struct {
	Reason string    // one of SignatureReasons
	Detail string    // for people; at most some hundred bytes of the request are quoted in it
	Now    time.Time // the refusing server's clock, so that the sender can compare its own
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("request signature refused: %s: %s (time here: %s)", e.Reason, e.Detail, e.Now.UTC().Format(time.RFC3339))
}

// ErrUnknownKey is what the key lookup of a [Verifier] returns, wrapped or not, when no server is
// known by a key id. Any other error means that the lookup failed.
var ErrUnknownKey = errors.New("no server is known by this key id")

// Key is a server's pinned request-signing key.
type Key struct {
	Server string // canonical name of the server whose key it is
	Public ed25519.PublicKey
}

// KeyID names a server's key in signatures: the server's base URL, "/keys/", and the first 16
// hexadecimal digits of the public key's SHA-256. It finds a key; it proves nothing about it.
func KeyID(server string, public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return BaseURL(server) + "/keys/" + hex.EncodeToString(sum[:8])
}

// Fingerprint is what two administrators read to each other before they trust a key: the public
// key's whole SHA-256 in hexadecimal, in 16 groups of 4 joined by hyphens.
func Fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	groups := make([]string, 0, len(sum)/2)
	for pair := range slices.Chunk(sum[:], 2) {
		groups = append(groups, hex.EncodeToString(pair))
	}
	return strings.Join(groups, "-")
}

// Signer signs requests to partners with one key (draft-cavage-http-signatures-12). It may be used
// by any number of goroutines at once.
type Signer struct {
	keyID string
	key   ed25519.PrivateKey
}

// NewSigner returns a signer that names its key keyID (see [KeyID]).
func NewSigner(keyID string, key ed25519.PrivateKey) (*Signer, error) {
	if !isKeyID(keyID) {
		return nil, fmt.Errorf("key id %.300q: must be 1 to %d visible ASCII characters without comma, quote or backslash", keyID, maxKeyID)
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("private key of %s has %d bytes: an Ed25519 key has %d", keyID, len(key), ed25519.PrivateKeySize)
	}
	return &Signer{keyID: keyID, key: slices.Clone(key)}, nil
}

// Sign makes r, which has no or these body bytes, a request that [Verifier.Verify] accepts: it sets
// Host, Date, Digest and Signature, replacing those of an earlier try. The caller has set the URL
// (with a canonical server name as host, and a plain path) and one Content-Type, bodies or not.
func (s *Signer) Sign(r *http.Request, body []byte, now time.Time) error {
	host, err := ParseServerName(r.URL.Host)
	if err != nil {
		return fmt.Errorf("sign request to %.300q: %w", r.URL.Host, err)
	}
	if err := checkTarget(r.Method, r.URL.RequestURI(), r.URL); err != nil {
		return fmt.Errorf("sign request to %s: %w", host, err)
	}
	contentType, err := onlyValue(r.Header, "Content-Type")
	if err != nil {
		return fmt.Errorf("sign request to %s: %w", host, err)
	}
	signed := signedRequest(r, host, now.UTC().Format(http.TimeFormat), digestOf(body), contentType)
	if err := s.signWithLibrary(signed); err != nil {
		return fmt.Errorf("sign request to %s: %w", host, err)
	}
	r.Host = host
	for _, name := range []string{"Date", "Digest", "Signature"} {
		r.Header[name] = signed.Header[name]
	}
	return nil
}

// signWithLibrary makes a library signer of its own for each request: they must not be shared.
func (s *Signer) signWithLibrary(signed *http.Request) error {
	signer, algorithm, err := httpsig.NewSigner([]httpsig.Algorithm{httpsig.ED25519},
		httpsig.DigestSha256, strings.Fields(signedParts), httpsig.Signature, 0)
	if err != nil {
		return err
	}
	// Where the library cannot have what was asked for, it silently takes RSA.
	if algorithm != httpsig.ED25519 {
		return fmt.Errorf("signature library offers %s instead of Ed25519", algorithm)
	}
	return signer.SignRequest(s.key, s.keyID, signed, nil)
}

// Verifier checks requests that partners signed for one server. It may be used by any number of
// goroutines at once if its key lookup may.
type Verifier struct {
	self string
	keys func(keyID string) (Key, error)
}

// NewVerifier returns a verifier for the server named self (canonical). keys looks up the key
// pinned for a key id, or returns [ErrUnknownKey]; it must never fetch one because a request names
// it.
func NewVerifier(self string, keys func(keyID string) (Key, error)) *Verifier {
	return &Verifier{self: self, keys: keys}
}

// Verify returns the key that signed r with exactly this body, or a [*SignatureError]; any other
// error comes from the key lookup. Until it has returned, nothing may parse the body.
func (v *Verifier) Verify(r *http.Request, body []byte, now time.Time) (Key, error) {
	key, err := v.VerifyHeaders(r, now)
	if err != nil {
		return Key{}, err
	}
	if r.Header.Get("Digest") != digestOf(body) {
		return Key{}, inbound{r, now}.refuse(reasonDigest, "Digest is not SHA-256= and the base64 of this body's SHA-256")
	}
	return key, nil
}

// VerifyHeaders is the part of [Verifier.Verify] before the body: it serves to turn a stranger away
// without reading what they send. The body is not vouched for until Verify has returned.
func (v *Verifier) VerifyHeaders(r *http.Request, now time.Time) (Key, error) {
	in := inbound{r, now}
	sig, err := in.signature()
	if err != nil {
		return Key{}, err
	}
	signed, err := in.signedRequest(v.self)
	if err != nil {
		return Key{}, err
	}
	key, err := v.keys(sig.keyID)
	if errors.Is(err, ErrUnknownKey) {
		return Key{}, in.refuse(reasonUnknownKey, "no server is known by key id %q", sig.keyID)
	}
	if err != nil {
		return Key{}, fmt.Errorf("look up key %q: %w", sig.keyID, err)
	}
	if len(key.Public) != ed25519.PublicKeySize {
		return Key{}, in.refuse(reasonKey, "the key pinned for %q has %d bytes: an Ed25519 key has %d", sig.keyID, len(key.Public), ed25519.PublicKeySize)
	}
	signed.Header.Set("Signature", sig.String())
	library, err := httpsig.NewVerifier(signed)
	if err != nil {
		return Key{}, in.refuse(reasonMalformed, "%.200v", err)
	}
	if err := library.Verify(key.Public, httpsig.ED25519); err != nil {
		return Key{}, in.refuse(reasonSignature, "does not verify with the key pinned for %q", sig.keyID)
	}
	return key, nil
}

// inbound is a request under examination.
type inbound struct {
	*http.Request
	now time.Time
}

func (in inbound) refuse(reason, format string, args ...any) error {
	return &SignatureError{Reason: reason, Detail: fmt.Sprintf(format, args...), Now: in.now}
}

func (in inbound) signature() (signature, error) {
	if len(in.Header["Signature"]) == 0 {
		return signature{}, in.refuse(reasonMissing, "the request has no Signature header")
	}
	header, err := onlyValue(in.Header, "Signature")
	if err != nil {
		return signature{}, in.refuse(reasonMalformed, "%v", err)
	}
	sig, err := parseSignature(header)
	if err != nil {
		return signature{}, in.refuse(reasonMalformed, "%v", err)
	}
	// The word decides nothing (the pinned key does), but a sender that means another algorithm
	// should hear of it.
	if sig.algorithm != "hs2019" && sig.algorithm != "ed25519" {
		return signature{}, in.refuse(reasonAlgorithm, "algorithm %.40q: only hs2019 or ed25519 is allowed", sig.algorithm)
	}
	if sig.headers != signedParts {
		return signature{}, in.refuse(reasonCoverage, "headers %.200q: must be exactly %q", sig.headers, signedParts)
	}
	return sig, nil
}

// signedRequest checks the covered parts and returns a request that consists of them alone. The
// library must see nothing else: it would take a Host from the header map, a signature from
// Authorization, and the decoded path for the one that was sent.
func (in inbound) signedRequest(self string) (*http.Request, error) {
	var values [3]string
	for i, name := range []string{"Date", "Digest", "Content-Type"} {
		value, err := onlyValue(in.Header, name)
		if err != nil {
			return nil, in.refuse(reasonMalformed, "%v", err)
		}
		values[i] = value
	}
	if err := checkTarget(in.Method, in.RequestURI, in.URL); err != nil {
		return nil, in.refuse(reasonTarget, "%v", err)
	}
	if in.Host != self {
		return nil, in.refuse(reasonHost, "Host %.200q is not this server, %s", in.Host, self)
	}
	date, err := time.Parse(http.TimeFormat, values[0])
	if err != nil || date.Format(http.TimeFormat) != values[0] {
		return nil, in.refuse(reasonDate, "Date %.60q must have the form %q", values[0], http.TimeFormat)
	}
	if off := in.now.Sub(date).Abs(); off > MaxClockDifference {
		return nil, in.refuse(reasonDate, "Date %s is more than %s away from this server's clock: set the clocks right", values[0], MaxClockDifference)
	}
	return signedRequest(in.Request, self, values[0], values[1], values[2]), nil
}

// signedRequest returns a request of nothing but the parts that a signature covers.
func signedRequest(r *http.Request, host, date, digest, contentType string) *http.Request {
	return &http.Request{
		Method: r.Method,
		URL:    &url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery},
		Host:   host,
		Header: http.Header{"Host": {host}, "Date": {date}, "Digest": {digest}, "Content-Type": {contentType}},
	}
}

// checkTarget makes sure that the request target has one reading: as sent (raw), as parsed (u), and
// as the library signs it.
func checkTarget(method, raw string, u *url.URL) error {
	if method != http.MethodGet && method != http.MethodPost {
		return fmt.Errorf("method %.20q: only GET and POST are signed", method)
	}
	if len(raw) > maxTarget {
		return fmt.Errorf("request target is %d bytes long: at most %d are allowed", len(raw), maxTarget)
	}
	path, query, hasQuery := strings.Cut(raw, "?")
	segments := strings.Split(path, "/")
	if segments[0] != "" || slices.Contains(segments[1:], "") || slices.Contains(segments, ".") || slices.Contains(segments, "..") || !isPlain(path, "/") {
		return fmt.Errorf("request path %.200q: must be /, names of letters, digits, '-', '.', '_' and '~', and nothing else", path)
	}
	if hasQuery && query == "" || !isPlain(query, "=&") {
		return fmt.Errorf("query %.200q: only letters, digits, '-', '.', '_', '~', '=' and '&' are allowed", query)
	}
	if u.Path != path || u.RawQuery != query {
		return fmt.Errorf("request target %.200q was rewritten on its way to the check", raw)
	}
	return nil
}

// isPlain reports whether s holds only RFC 3986's unreserved characters and the extra ones.
func isPlain(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(extra, c) >= 0) {
			return false
		}
	}
	return true
}

// onlyValue returns the value of a header that must be there once, short, and in printable ASCII.
func onlyValue(h http.Header, name string) (string, error) {
	values := h[name]
	if len(values) != 1 || values[0] == "" {
		return "", fmt.Errorf("header %s: exactly one is required, there are %d", name, len(values))
	}
	value := values[0]
	if len(value) > maxHeaderValue {
		return "", fmt.Errorf("header %s is %d bytes long: at most %d are allowed", name, len(value), maxHeaderValue)
	}
	if strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", fmt.Errorf("header %s: only printable ASCII is allowed", name)
	}
	return value, nil
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

// signature is what a Signature header says.
type signature struct{ keyID, algorithm, headers, bytes string }

// String writes the header in the one form that the library reads as it was meant.
func (s signature) String() string {
	return fmt.Sprintf(`keyId="%s",algorithm="%s",headers="%s",signature="%s"`, s.keyID, s.algorithm, s.headers, s.bytes)
}

// parseSignature reads a Signature header that has each of the four parameters once, quoted, and
// nothing else; spaces may follow the commas.
func parseSignature(header string) (signature, error) {
	var s signature
	fields := map[string]*string{"keyId": &s.keyID, "algorithm": &s.algorithm, "headers": &s.headers, "signature": &s.bytes}
	for part := range strings.SplitSeq(header, ",") {
		name, quoted, _ := strings.Cut(strings.TrimLeft(part, " "), "=")
		field := fields[name]
		if field == nil {
			return signature{}, fmt.Errorf("parameter %.40q of the Signature header is unknown or repeated: keyId, algorithm, headers and signature are required, once each", name)
		}
		delete(fields, name)
		value, opened := strings.CutPrefix(quoted, `"`)
		value, closed := strings.CutSuffix(value, `"`)
		if !opened || !closed || value == "" || strings.ContainsAny(value, `"\`) {
			return signature{}, fmt.Errorf("parameter %s of the Signature header must be a value in double quotes, without quotes or backslashes in it", name)
		}
		*field = value
	}
	if len(fields) > 0 {
		return signature{}, errors.New("header Signature must have keyId, algorithm, headers and signature")
	}
	if !isKeyID(s.keyID) {
		return signature{}, fmt.Errorf("keyId must be at most %d visible ASCII characters", maxKeyID)
	}
	// Strict, so that one signature has one spelling.
	raw, err := base64.StdEncoding.Strict().DecodeString(s.bytes)
	if err != nil || len(raw) != ed25519.SignatureSize {
		return signature{}, fmt.Errorf("signature must be the base64 of %d bytes", ed25519.SignatureSize)
	}
	return s, nil
}

func isKeyID(s string) bool {
	odd := strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`,"\`, c) })
	return s != "" && len(s) <= maxKeyID && !odd
}
