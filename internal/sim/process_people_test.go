package sim_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// person is somebody of a house, signed in. Every request of theirs is in the log.
type person struct {
	house   *house
	log     *history
	address string
	token   string
}

// clients is what people's requests go through: connections are kept, and an
// answer has to come in time.
var clients = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
	MaxIdleConnsPerHost: 256, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // certificates of tests are self-signed
}}

// outcome is what a client knows about a request of theirs.
type outcome string

const (
	acknowledged outcome = "acknowledged"
	refused      outcome = "refused"
	unknown      outcome = "unknown"     // no answer, or one that promises nothing
	unreachable  outcome = "unreachable" // the request did not get out
)

// do makes a request, under an idempotency key unless that is "". The answer is
// decoded into out unless that is nil or the request was refused.
func (p person) do(method, path, key string, in, out any) (outcome, int) {
	p.house.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			p.house.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, p.house.api+path, &body)
	if err != nil {
		p.house.t.Fatal(err)
	}
	r.GetBody = nil // else the transport repeats requests with a key by itself, and hides unknown outcomes
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	status, raw, err := send(r)
	came := judge(status, err)
	if came == acknowledged && out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			p.house.t.Errorf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	p.log.called(call{By: p.address, What: method + " " + path, Key: key, Outcome: came, Status: status})
	if came == refused && method != http.MethodGet {
		p.house.t.Logf("%s: %s %s: %d %s", p.address, method, path, status, raw)
	}
	return came, status
}

func send(r *http.Request) (status int, body []byte, err error) {
	answer, err := clients.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// judge says what an answer, or the want of one, means to a client.
func judge(status int, err error) outcome {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return unreachable
	case err != nil || status >= 500 || status == http.StatusTooManyRequests:
		return unknown
	case status < 300:
		return acknowledged
	}
	return refused
}

// must is do for what has to be acknowledged.
func (p person) must(method, path string, in, out any) {
	p.house.t.Helper()
	if came, status := p.do(method, path, "", in, out); came != acknowledged {
		p.house.t.Fatalf("%s: %s %s: %s, %d\n%s", p.address, method, path, came, status, p.house.log.text())
	}
}

// reads reports whether a GET is answered with success now.
func (p person) reads(path string, out any) bool {
	p.house.t.Helper()
	came, _ := p.do(http.MethodGet, path, "", nil, out)
	return came == acknowledged
}

// person adds somebody to the house, who signs in.
func (h *house) person(name string) person {
	h.t.Helper()
	account := map[string]string{"name": name, "password": "a password of nobody"}
	var made struct {
		Token  string
		Person struct{ Address string }
	}
	h.owner.must(http.MethodPost, "/admin/people", account, nil)
	h.owner.must(http.MethodPost, "/sessions", account, &made)
	return person{house: h, log: h.owner.log, address: made.Person.Address, token: made.Token}
}

type named struct {
	ID string `json:"id"`
}

// newChannel makes a channel whose newcomers get its full history.
func (p person) newChannel(name string) (id string) {
	p.house.t.Helper()
	var made named
	p.must(http.MethodPost, "/channels", map[string]string{"name": name, "history": "full"}, &made)
	return made.ID
}

// bring has the channel's owner invite people, who accept as soon as their server
// has the invitation, and returns when all are in.
func (p person) bring(channel string, people ...person) {
	p.house.t.Helper()
	for _, guest := range people {
		p.must(http.MethodPost, "/channels/"+channel+"/members", map[string]string{"address": guest.address, "role": "member"}, nil)
	}
	for _, guest := range people {
		if guest.house != p.house {
			guest.accept(channel)
		}
		guest.house.eventually("in the channel with "+guest.address, func() bool { return guest.reads("/channels/"+channel, nil) })
	}
}

func (p person) accept(channel string) {
	p.house.t.Helper()
	p.house.eventually("inviting "+p.address, func() bool {
		var open struct {
			Items []struct{ ID, Channel, State string }
		}
		p.must(http.MethodGet, "/invitations", nil, &open)
		for _, i := range open.Items {
			if i.Channel == channel && i.State == "pending" {
				came, _ := p.do(http.MethodPost, "/invitations/"+url.PathEscape(i.ID)+"/accept", "", nil, nil)
				return came == acknowledged
			}
		}
		return false
	})
}

// channelState is what replicas compare.
type channelState struct {
	Control struct {
		Number int64
		Hash   string
	}
	Frontier []struct {
		Origin     string
		Epoch, Seq int64
		Hash       string
	}
	Start     []any
	StateHash string `json:"state_hash"`
}

// settled waits until everybody's server has one state of the channel, and
// returns its hash.
func settled(t *testing.T, channel string, people ...person) string {
	t.Helper()
	var last []string
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		last = nil
		same := true
		var first channelState
		for i, p := range people {
			var s channelState
			p.must(http.MethodGet, "/channels/"+channel+"/state", nil, &s)
			if i == 0 {
				first = s
			}
			last = append(last, fmt.Sprintf("%s: %+v", p.house.name, s))
			same = same && fmt.Sprint(s) == fmt.Sprint(first)
		}
		if same {
			return first.StateHash
		}
	}
	t.Fatalf("not one state within %s:\n%s", patience, strings.Join(last, "\n"))
	return ""
}
