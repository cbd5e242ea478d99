package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/limit"
	"meridian/threads"
)

// door is a server at which others knock, in simulated time: it knows everybody as a partner, and
// takes all that it is brought.
type door struct {
	*crowd
	t       *testing.T
	key     ed25519.PrivateKey
	x       *Exchange
	handler http.Handler
	locked  chan struct{} // while it is open nobody finds out who strangers are
}

func newDoor(t *testing.T, rate, events int) *door {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{crowd: &crowd{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}, t: t, key: key, locked: make(chan struct{})}
	d.x, err = New(Options{
		Server: "kobo.example", Keys: Keyring{{Private: key}}, Rate: rate, Events: events, Journal: d, Logs: d, Neighbours: d, Deliveries: d,
		Partners: &everybody{book{crowd: d.crowd}, d}, Invitations: d, People: d, Erasures: d, Do: func(context.Context, Order) error { return nil },
		Transport: d, Clock: func() time.Time { return d.now }, Jitter: func() float64 { return 0 }, NewID: func() string { return "id" },
		Log: slog.New(slog.DiscardHandler), Software: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	d.handler = d.x.Handler()
	return d
}

// everybody is a partner under the door's one key.
type everybody struct {
	book
	door *door
}

func (e *everybody) Partner(ctx context.Context, name string) (threads.Partner, error) {
	if strings.HasPrefix(name, "stranger") {
		select {
		case <-e.door.locked:
		case <-ctx.Done():
		}
		return threads.Partner{}, &threads.Error{Kind: threads.NotFound, Code: "not_found"}
	}
	public := e.door.key.Public().(ed25519.PublicKey)
	return threads.Partner{Name: name, State: threads.PartnerAllowed, Verified: true, Key: threads.Key{ID: KeyID(name, public), Public: public}}, nil
}

func (d *door) Channel(context.Context, threads.Hash) (*threads.Channel, error) { return nil, nil }

func (d *door) Ingest(_ context.Context, in threads.Batch) (threads.Answer, error) {
	a := threads.Answer{Channels: map[threads.Hash]*threads.ChannelAnswer{}}
	for _, e := range in.Events {
		if a.Channels[e.Channel()] == nil {
			a.Channels[e.Channel()] = &threads.ChannelAnswer{}
		}
		a.Channels[e.Channel()].Taken = append(a.Channels[e.Channel()].Taken, e)
	}
	return a, nil
}

// knock is a signed request of a server.
func (d *door) knock(server, path string, body []byte, unread io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://kobo.example"+path, bytes.NewReader(body))
	r.RequestURI = path
	r.Header.Set("Content-Type", typeJSON)
	signer, err := NewSigner(KeyID(server, d.key.Public().(ed25519.PublicKey)), d.key)
	if err == nil {
		err = signer.Sign(r, body, d.now)
	}
	if err != nil {
		d.t.Error(err)
	}
	if unread != nil {
		r.Body, r.ContentLength = io.NopCloser(unread), -1
	}
	answer := httptest.NewRecorder()
	d.handler.ServeHTTP(answer, r)
	return answer
}

func (d *door) digest(server string) *httptest.ResponseRecorder {
	return d.knock(server, digestPath, []byte(`{"buckets":{}}`), nil)
}

// event pushes an event of the server's, whose content has so many bytes.
func (d *door) event(server string, size int) *httptest.ResponseRecorder {
	channel := threads.HashOf([]byte("a channel"))
	content := fmt.Appendf(nil, `{"salt":"AAAAAAAAAAAAAAAAAAAAAA","text":%q}`, strings.Repeat("x", size))
	e := threads.Seal(threads.Header{
		V: 1, Channel: channel, Log: threads.LogData, Origin: server, Epoch: 1<<32 + 5, Seq: 2, Prev: channel,
		Control: threads.ControlRef{Number: 1, Hash: channel}, Time: threads.TimeOf(d.now), Actor: threads.PersonID(server, [16]byte{1}),
		Type: threads.TypeMessagePosted, Content: threads.HashOf(content), Key: "k",
	}, content, func(m []byte) []byte { return ed25519.Sign(d.key, m) })
	answer := d.knock(server, pushPath, AppendFrame([]byte("{\"channels\":[]}\n"), e), nil)
	if strings.Contains(answer.Body.String(), "refusals") {
		d.t.Fatal(answer.Body)
	}
	return answer
}

// refusedBy fails the test where an answer is not the one that the table documents.
func refusedBy(t *testing.T, a *httptest.ResponseRecorder, l limit.Limit, wait time.Duration) {
	t.Helper()
	if told := a.Header().Get("Retry-After"); a.Code != l.Status || told != limit.Seconds(wait) || !strings.Contains(a.Body.String(), `"`+l.Code+`"`) {
		t.Fatalf("answered %d, Retry-After %q instead of %d %s, %q: %s", a.Code, told, l.Status, l.Code, limit.Seconds(wait), a.Body)
	}
}

func answered(t *testing.T, what string, a *httptest.ResponseRecorder) {
	t.Helper()
	if a.Code != http.StatusOK {
		t.Fatalf("%s is answered %d: %s", what, a.Code, a.Body)
	}
}

// trips drives each limit to its end, by flood.example alone; quiet.example must not notice.
var trips = map[string]func(t *testing.T){
	"limits.partner_rate": func(t *testing.T) {
		d := newDoor(t, 1, 0)
		inTime(t, d, d.x.limits[exchangesOfServer], d.digest)
	},
	"limits.partner_events": func(t *testing.T) {
		d := newDoor(t, 10_000, 1)
		inTime(t, d, d.x.limits[eventsOfServer], func(server string) *httptest.ResponseRecorder { return d.event(server, 10) })
		answered(t, "something else than a push", d.digest("flood.example"))
	},
	"exchanges at a time": func(t *testing.T) {
		d := newDoor(t, 0, 0)
		l := d.x.limits[exchangesAtATime]
		unread, end := io.Pipe()
		var all sync.WaitGroup
		for range l.Most {
			all.Go(func() { d.knock("flood.example", digestPath, nil, unread) })
		}
		until(t, func() bool {
			c := d.x.courier("flood.example")
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.inFlight == l.Most
		})
		refusedBy(t, d.digest("flood.example"), l, l.Retry)
		answered(t, "another's exchange", d.digest("quiet.example"))
		_ = end.Close()
		all.Wait()
		answered(t, "one after the others", d.digest("flood.example"))
	},
	"unverified exchanges": func(t *testing.T) {
		d := newDoor(t, 0, 0)
		l := d.x.limits[strangersAtATime]
		var all sync.WaitGroup
		var mu sync.Mutex
		turnedAway := 0
		for n := range l.Most + 10 {
			all.Go(func() {
				if d.digest(fmt.Sprintf("stranger%d.example", n)).Code == l.Status {
					mu.Lock()
					defer mu.Unlock()
					turnedAway++
				}
			})
		}
		until(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return turnedAway == 10
		})
		refusedBy(t, d.digest("stranger.example"), l, l.Retry)
		answered(t, "another kind of exchange", d.event("quiet.example", 10))
		close(d.locked)
		all.Wait()
		answered(t, "one after the strangers", d.digest("quiet.example"))
	},
	"invitations": func(t *testing.T) {
		t.Skip("kept by the store: TestInvitationsAreBounded of internal/sim")
	},
}

// T35: a server that reaches a limit is turned away for as long as the table says and no longer, to
// the last exchange, and no other is.
func TestEveryLimitOfPartnersTripsForWhoeverReachesItAlone(t *testing.T) {
	for _, row := range LimitTable(1, 1) {
		t.Run(row.Name, func(t *testing.T) {
			if trips[row.Name] == nil {
				t.Fatal("nothing here drives this limit to its end")
			}
			trips[row.Name](t)
		})
	}
}

// inTime drives a limit with a rate.
func inTime(t *testing.T, d *door, l limit.Limit, knock func(server string) *httptest.ResponseRecorder) {
	t.Helper()
	for n := range l.Most {
		answered(t, fmt.Sprintf("number %d of %d", n+1, l.Most), knock("flood.example"))
	}
	wait := time.Duration(float64(time.Second) / l.PerSecond)
	for range 20 {
		refusedBy(t, knock("flood.example"), l, wait)
	}
	answered(t, "another's", knock("quiet.example"))
	d.now = d.now.Add(wait * 95 / 100)
	refusedBy(t, knock("flood.example"), l, wait/20)
	d.now = d.now.Add(wait*5/100 + time.Microsecond)
	answered(t, "one after Retry-After", knock("flood.example"))
	refusedBy(t, knock("flood.example"), l, wait)
}

// What does not come one by one is made up for, by its size, and counted for those who wrote it.
func TestEventsBeyondAQuotaAreMadeUpFor(t *testing.T) {
	d := newDoor(t, 0, 2)
	l := d.x.limits[eventsOfServer]
	d.x.courier("flood.example").events.Spend(l.Most-1, d.now)
	answered(t, "the last", d.event("flood.example", 20_000)) // with its header, six times as much as counts for one
	refusedBy(t, d.event("flood.example", 10), l, 3*time.Second)
	d.now = d.now.Add(3 * time.Second)
	answered(t, "one after Retry-After", d.event("flood.example", 10))
}

// until fails the test when something is not so in time.
func until(t *testing.T, f func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatal("not so in time")
}
