package federation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// The exchange by which administrators find out what stands between two servers: the answerer tells
// what reached it, and, where it is asked to, calls back and tells what came of that.

// checkRequest may be followed by any amount of white space, to see what passes.
type checkRequest struct {
	Back bool `json:"back,omitempty"` // the answerer is to call back
}

type checkAnswer struct {
	Back    *checkedBack `json:"back,omitempty"`
	Bytes   int          `json:"bytes"`   // of the body that arrived
	Digest  string       `json:"digest"`  // of that body
	Host    string       `json:"host"`    // as the request named it
	Partner string       `json:"partner"` // what the asker is here: pending or allowed
	Target  string       `json:"target"`  // likewise
	Time    string       `json:"time"`    // the answerer's clock
}

// checkedBack is what came of calling back.
type checkedBack struct {
	Certificate *wireCertificate `json:"certificate,omitempty"` // that the asker showed
	Document    *wireTrouble     `json:"document,omitempty"`    // why it could not be asked who it is; absent when it could
	Large       *wireTrouble     `json:"large,omitempty"`       // likewise, of the largest body that there can be
	Signed      *wireTrouble     `json:"signed,omitempty"`      // likewise, of a signed request
	Soon        bool             `json:"soon,omitempty"`        // it was called back a moment ago, and nothing was tried
}

// wireCertificate is what one server sees of another's certificate.
type wireCertificate struct {
	Chain  int      `json:"chain"` // certificates shown
	Issuer string   `json:"issuer"`
	Names  []string `json:"names"`
	Until  string   `json:"until"`
}

// wireTrouble is what went wrong, in a word and in plain words.
type wireTrouble struct {
	Detail string `json:"detail"`
	Reason string `json:"reason"`
}

// Bounds of calling back: a partner has this server called back so often at most, and each call ends
// in time for the answer.
const (
	backEvery = 5 * time.Second
	backTime  = 8 * time.Second
)

// answerCheck tells what arrived, and calls back where that is asked for.
func (x *Exchange) answerCheck(ctx context.Context, from caller) (reply, error) {
	var request checkRequest
	if err := decodeBody(bytes.TrimRight(from.body, " "), &request); err != nil {
		return reply{}, malformed(err)
	}
	a, err := x.acquaintance(ctx, from.name)
	if err != nil {
		return reply{}, err
	}
	answer := checkAnswer{
		Bytes: len(from.body), Digest: digestOf(from.body), Host: x.Server, Target: checkPath,
		Partner: string(a.partner.State), Time: from.now.UTC().Format(time.RFC3339),
	}
	if request.Back {
		back := x.callBack(ctx, from)
		answer.Back = &back
	}
	return answerJSON(answer)
}

// callBack tries what a partner needs of its own server: to be asked who it is, and to answer signed
// requests, small and large.
func (x *Exchange) callBack(ctx context.Context, from caller) checkedBack {
	c := x.courier(from.name)
	c.mu.Lock()
	soon := from.now.Before(c.backAt)
	if !soon {
		c.backAt = from.now.Add(backEvery)
	}
	c.mu.Unlock()
	if soon {
		return checkedBack{Soon: true}
	}
	var back checkedBack
	seen := x.look(ctx, from.name)
	back.Certificate, back.Document = certificateSeen(seen.tls), troubleOf(from.name, seen.err)
	if back.Document != nil {
		return back
	}
	if _, err := x.check(ctx, from.name, 0, false); err != nil {
		back.Signed = troubleOf(from.name, err)
		return back
	}
	_, err := x.check(ctx, from.name, MaxBody, false)
	back.Large = troubleOf(from.name, err)
	return back
}

func troubleOf(server string, err error) *wireTrouble {
	if err == nil {
		return nil
	}
	t := diagnose(server, err)
	return &wireTrouble{Detail: t.text, Reason: t.reason}
}

func certificateSeen(s *tls.ConnectionState) *wireCertificate {
	if s == nil || len(s.PeerCertificates) == 0 {
		return nil
	}
	leaf := s.PeerCertificates[0]
	return &wireCertificate{
		Chain: len(s.PeerCertificates), Issuer: firstBytes(leaf.Issuer.String(), 200),
		Names: namesOf(leaf), Until: leaf.NotAfter.UTC().Format(time.RFC3339),
	}
}

// namesOf are some of the names that a certificate is for.
func namesOf(leaf *x509.Certificate) []string {
	names := append([]string{}, leaf.DNSNames[:min(len(leaf.DNSNames), 10)]...)
	for _, ip := range leaf.IPAddresses[:min(len(leaf.IPAddresses), 10)] {
		names = append(names, ip.String())
	}
	return names
}

// check asks a server what of a signed request of so many bytes reaches it, at least those that it
// takes.
func (x *Exchange) check(ctx context.Context, server string, size int, back bool) (checkAnswer, error) {
	deadline := backTime
	if back {
		deadline = exchangeTime
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	body, err := marshal(checkRequest{Back: back})
	if err != nil {
		return checkAnswer{}, fmt.Errorf("write a check: %w", err)
	}
	body = append(body, bytes.Repeat([]byte{' '}, max(0, size-len(body)))...)
	got, err := x.exchange(ctx, server, checkPath, typeJSON, body)
	if err != nil {
		return checkAnswer{}, err
	}
	var answer checkAnswer
	if err := decodeBody(got, &answer); err != nil {
		return answer, &Unreached{fmt.Errorf("read the answer of %s: %w", server, err)}
	}
	if answer.Digest != digestOf(body) || answer.Bytes != len(body) {
		return answer, &Problem{Code: "signature_" + reasonDigest, Detail: fmt.Sprintf("another body arrived: %d bytes of %d", answer.Bytes, len(body))}
	}
	return answer, nil
}
