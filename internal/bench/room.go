package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// clients is how many post at the same time where many do; each has a thread.
const clients = 32

// room is a channel in which all people of one site are, with its threads.
type room struct {
	at      *site
	channel string
	threads []string
}

type made struct {
	ID string `json:"id"`
}

// furnish makes a channel with everybody of the site and 32 threads in it.
func (at *site) furnish(ctx context.Context) (*room, error) {
	r := &room{at: at}
	var channel made
	owner := at.people[0]
	in := map[string]string{"name": "Warehouse", "purpose": "The new warehouse in the harbour", "history": "full"}
	if err := at.call(ctx, owner, "POST", "/channels", in, &channel); err != nil {
		return nil, err
	}
	r.channel = channel.ID
	for _, p := range at.people[1:] {
		if err := r.invite(ctx, p.address); err != nil {
			return nil, err
		}
	}
	for i := range clients {
		var thread made
		in := map[string]string{"title": fmt.Sprintf("Subject %d", i+1), "body": "What comes here?"}
		if err := at.call(ctx, at.people[i%people], "POST", "/channels/"+r.channel+"/threads", in, &thread); err != nil {
			return nil, err
		}
		r.threads = append(r.threads, thread.ID)
	}
	return r, nil
}

func (r *room) invite(ctx context.Context, address string) error {
	in := map[string]string{"address": address, "role": "member"}
	return r.at.call(ctx, r.at.people[0], "POST", "/channels/"+r.channel+"/members", in, nil)
}

// pair opens two sites that are partners. The first person of each is in one
// channel, and so is everybody of the first; what the first site wrote is
// readable on the second.
func (s *stage) pair(ctx context.Context) (r *room, b *site, err error) {
	a, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	if b, err = s.open(ctx); err != nil {
		return nil, nil, err
	}
	if err := befriend(ctx, a, b); err != nil {
		return nil, nil, err
	}
	if r, err = a.furnish(ctx); err != nil {
		return nil, nil, err
	}
	if err := r.invite(ctx, b.people[0].address); err != nil {
		return nil, nil, err
	}
	if err := b.accept(ctx); err != nil {
		return nil, nil, err
	}
	for _, thread := range r.threads {
		if err := b.sees(ctx, "/threads/"+thread, patiently); err != nil {
			return nil, nil, err
		}
	}
	return r, b, nil
}

// befriend has the administrators of both sites add and then allow each other.
func befriend(ctx context.Context, a, b *site) error {
	for _, side := range [][2]*site{{a, b}, {b, a}} {
		if _, err := side[0].run(ctx, "", "partner", "add", side[1].address); err != nil {
			return err
		}
	}
	for _, side := range [][2]*site{{a, b}, {b, a}} {
		if _, err := side[0].run(ctx, "", "partner", "allow", side[1].address); err != nil {
			return err
		}
	}
	return nil
}

// accept waits for the invitation to the site's first person and accepts it.
func (at *site) accept(ctx context.Context) error {
	var list struct{ Items []made }
	err := until(ctx, "invitation", answerTime, patiently, func() (bool, error) {
		return len(list.Items) > 0, at.call(ctx, at.people[0], "GET", "/invitations", nil, &list)
	})
	if err != nil {
		return err
	}
	return at.call(ctx, at.people[0], "POST", "/invitations/"+url.PathEscape(list.Items[0].ID)+"/accept", nil, nil)
}

// How often something is looked for: eagerly where the moment counts, else so
// that looking takes less than a hundredth of a core from the servers.
const (
	eagerly   = 2 * time.Millisecond
	patiently = 20 * time.Millisecond
)

// sees waits until what path names is readable for the site's first person.
func (at *site) sees(ctx context.Context, path string, every time.Duration) error {
	c, err := dial(ctx, at.address, at.people[0].token)
	if err != nil {
		return err
	}
	defer c.close()
	return until(ctx, path, 5*time.Minute, every, func() (bool, error) {
		status, answer, err := c.do("GET", "/api/v1"+path, nil)
		if err == nil && status != 200 && status != 404 {
			err = fmt.Errorf("GET %s: %d %s", path, status, answer)
		}
		return status == 200, err
	})
}

// seesAll waits until the last message of each client is readable on the site,
// and says when that was. All that a server's people write is one log, so what
// came before is readable too; sameCounts makes sure of it.
func (at *site) seesAll(ctx context.Context, p poured) (time.Time, error) {
	for _, id := range p.last {
		if err := at.sees(ctx, "/messages/"+id, patiently); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
}

// sameCounts reports a thread that has other messages on b than where the room is.
func (r *room) sameCounts(ctx context.Context, b *site) error {
	type counted struct {
		Messages int `json:"messages"`
	}
	for _, thread := range r.threads {
		var here, there counted
		if err := r.at.call(ctx, r.at.people[0], "GET", "/threads/"+thread, nil, &here); err != nil {
			return err
		}
		if err := b.call(ctx, b.people[0], "GET", "/threads/"+thread, nil, &there); err != nil {
			return err
		}
		if here != there || here.Messages == 0 {
			return fmt.Errorf("thread %s has %d messages where it was written and %d on the partner", thread, here.Messages, there.Messages)
		}
	}
	return nil
}

// idOf is the id in a message as the server answered it.
func idOf(answer []byte) (string, error) {
	var m made
	if err := json.Unmarshal(answer, &m); err != nil || m.ID == "" {
		return "", fmt.Errorf("no message with an id: %s", answer)
	}
	return m.ID, nil
}
