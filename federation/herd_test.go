package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"meridian/threads"
)

// crowd is a server's partners in simulated time: their answers, and when each
// was asked. What a courier reads and writes besides is empty and forgotten.
type crowd struct {
	Journal
	Logs
	Neighbours
	Deliveries
	Invitations
	People
	Erasures

	now   time.Time
	up    bool
	asked map[string][]time.Time // requests to each, by its name
	names []string
}

func (c *crowd) InDoubt(context.Context, threads.Hash, int) ([]threads.Hash, error) { return nil, nil }

func (c *crowd) Servers(context.Context) ([]string, error) { return nil, nil }

func (c *crowd) ChannelsWith(context.Context, string, threads.Hash, int) ([]threads.Hash, error) {
	return nil, nil
}

func (c *crowd) PartnerChannels(context.Context, string, threads.Page) ([]threads.PartnerChannel, string, error) {
	return nil, "", nil
}

func (c *crowd) SaveExchange(context.Context, threads.Fence, string, threads.Exchange) error {
	return nil
}

func (c *crowd) PeopleByID(context.Context, []string) (map[string]threads.PersonRecord, error) {
	return nil, nil
}

func (c *crowd) Backlog(context.Context, string) (threads.Backlog, error) {
	return threads.Backlog{}, nil
}

func (c *crowd) InvitationsIn(context.Context, string, string, threads.Page) ([]threads.Invitation, string, error) {
	return nil, "", nil
}

func (c *crowd) Inquiries(context.Context, string, time.Time, int) ([]threads.Inquiry, time.Time, error) {
	return nil, time.Time{}, nil
}

func (c *crowd) OwnEvents(_ context.Context, after int64, _ int) ([]threads.Entry, int64, error) {
	return nil, after, nil
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	c.asked[r.URL.Host] = append(c.asked[r.URL.Host], c.now)
	if !c.up {
		return nil, errors.New("no route to host")
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Date": {c.now.UTC().Format(http.TimeFormat)}},
		Body: io.NopCloser(bytes.NewReader([]byte(`{"buckets":{},"busy":[]}`))),
	}, nil
}

// book has every name as an allowed partner.
type book struct {
	nobody
	*crowd
	key threads.Key
}

type nobody interface {
	SavePartner(ctx context.Context, p threads.Partner, by threads.Act) error
	NotePartner(ctx context.Context, name, fingerprint string, now time.Time) (threads.Partner, error)
}

func (b book) Partner(_ context.Context, name string) (threads.Partner, error) {
	return threads.Partner{Name: name, State: threads.PartnerAllowed, Verified: true, Key: b.key}, nil
}

func (b book) Partners(context.Context, threads.PartnerState, threads.Page) ([]threads.Partner, string, error) {
	var all []threads.Partner
	for _, name := range b.names {
		all = append(all, threads.Partner{Name: name})
	}
	return all, "", nil
}

// restart is the server started anew with its partners, at the present of the crowd.
func (c *crowd) restart(t *testing.T) (*Exchange, map[*Courier]time.Time) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(33, 33))
	x, err := New(Options{
		Server: "kobo.example", Keys: Keyring{{Private: private}}, Journal: c, Logs: c, Neighbours: c, Deliveries: c,
		Partners:    book{crowd: c, key: threads.Key{ID: KeyID("havel.example", private.Public().(ed25519.PublicKey)), Public: private.Public().(ed25519.PublicKey)}},
		Invitations: c, People: c, Erasures: c, Do: func(context.Context, Order) error { return nil },
		Transport: c, Clock: func() time.Time { return c.now }, Jitter: random.Float64, NewID: func() string { return "id" },
		Log: slog.New(slog.DiscardHandler), Software: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	couriers, err := x.Couriers(t.Context())
	if err != nil || len(couriers) != len(c.names) {
		t.Fatalf("%d couriers for %d partners: %v", len(couriers), len(c.names), err)
	}
	next := map[*Courier]time.Time{}
	for _, courier := range couriers {
		next[courier] = c.now
	}
	return x, next
}

// run takes the steps that fall due until the instant, in their order.
func (c *crowd) run(t *testing.T, next map[*Courier]time.Time, until time.Time) {
	t.Helper()
	for {
		var first *Courier
		for courier, at := range next {
			select {
			case <-courier.Woken():
				at = c.now
				next[courier] = at
			default:
			}
			if first == nil || at.Before(next[first]) || at.Equal(next[first]) && courier.name < first.name {
				first = courier
			}
		}
		if next[first].After(until) {
			c.now = until
			return
		}
		c.now = later(c.now, next[first])
		at, err := first.Step(t.Context(), c.now)
		if err != nil {
			t.Fatal(err)
		}
		next[first] = later(at, c.now.Add(time.Millisecond))
	}
}

// spreadOf holds the first requests after an instant against a herd: no second
// has more than three times the mean of those in which there are any, and none
// comes later than ten minutes. It returns how long all took.
func (c *crowd) spreadOf(t *testing.T, after time.Time) time.Duration {
	t.Helper()
	seconds := map[int]int{}
	last := time.Duration(0)
	for _, name := range c.names {
		for _, at := range c.asked[name] {
			if since := at.Sub(after); since >= 0 {
				seconds[int(since/time.Second)]++
				last = max(last, since)
				break
			}
		}
	}
	total, most := 0, 0
	for _, n := range seconds {
		total, most = total+n, max(most, n)
	}
	mean := float64(total) / (last.Seconds() + 1)
	if total != len(c.names) || last > 10*time.Minute || float64(most) > 3*mean {
		t.Errorf("%d of %d partners contacted within %s, at most %d a second, %.1f in the mean", total, len(c.names), last, most, mean)
	}
	t.Logf("%d partners contacted within %s, at most %d a second, %.1f in the mean", total, last.Round(time.Second), most, mean)
	return last
}

// T33: neither our start nor the return of all partners at once has a thousand
// partners contacted together, and while they are away they are asked ever less
// often, at most twice each time.
func TestAThousandPartnersAreNoHerd(t *testing.T) {
	c := &crowd{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), asked: map[string][]time.Time{}}
	for i := range 1000 {
		c.names = append(c.names, fmt.Sprintf("partner%03d.example", i))
	}
	began := c.now
	x, next := c.restart(t)
	c.run(t, next, began.Add(time.Minute))
	c.spreadOf(t, began)

	c.run(t, next, began.Add(10*time.Minute))
	for _, name := range c.names {
		asked := c.asked[name]
		tries := 1
		for i := 1; i < len(asked); i++ {
			if asked[i].Sub(asked[i-1]) > 0 {
				tries++
			}
		}
		// Waits of up to 2, 4, 8, … 45 s, never less than half of it: about twenty tries reach ten minutes.
		if len(asked) > 2*tries || tries > 30 {
			t.Fatalf("%s was asked %d times at %d tries in ten minutes", name, len(asked), tries)
		}
	}

	c.up = true
	back := c.now
	for _, name := range c.names {
		x.courier(name).heardFrom(c.now)
	}
	c.run(t, next, back.Add(time.Minute))
	c.spreadOf(t, back)
}
