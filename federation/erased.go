package federation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/threads"
)

// maxErased is how many events one exchange about erasures names at most.
const maxErased = 200

type erasedRequest struct {
	Events []threads.Hash `json:"events"`
}

type erasedAnswer struct {
	Events map[threads.Hash]string `json:"events"`
}

// answerErased says of each event whether its content is held here. To who is and was in no channel
// with an event, it does not exist.
func (x *Exchange) answerErased(ctx context.Context, from caller) (reply, error) {
	var request erasedRequest
	if err := decodeBody(from.body, &request); err != nil {
		return reply{}, malformed(err)
	}
	if len(request.Events) > maxErased {
		return reply{}, refuseExchange(http.StatusRequestEntityTooLarge, "too_many_events", fmt.Sprintf("at most %d events can be asked about at a time", maxErased))
	}
	held, err := x.Erasures.Erased(ctx, request.Events)
	if err != nil {
		return reply{}, err
	}
	answer := erasedAnswer{Events: map[threads.Hash]string{}}
	for _, id := range request.Events {
		answer.Events[id] = threads.AnswerUnknown
		h, ok := held[id]
		if !ok {
			continue
		}
		ch, err := x.Journal.Channel(ctx, h.Channel)
		if err != nil {
			return reply{}, fmt.Errorf("load channel %s: %w", h.Channel, err)
		}
		if ch != nil && ch.WasMember(from.name) && reaches(ch, from.name, from.keys) {
			answer.Events[id] = h.Answer
		}
	}
	return answerJSON(answer)
}

// inquire asks the server what it still holds of that which people here erased, and keeps what it
// says. One that does not know the exchange is asked again like one that has not answered.
func (c *Courier) inquire(ctx context.Context, now time.Time) error {
	if now.Before(c.inquireAt) {
		return nil
	}
	due, next, err := c.x.Erasures.Inquiries(ctx, c.name, now, maxErased)
	if err != nil {
		return err
	}
	c.inquireAt = now.Add(compareEvery)
	if !next.IsZero() {
		c.inquireAt = earliest(c.inquireAt, next)
	}
	if len(due) == 0 {
		return nil
	}
	request := erasedRequest{}
	for _, i := range due {
		request.Events = append(request.Events, i.Event)
	}
	var answer erasedAnswer
	err = c.x.askJSON(ctx, c.name, erasedPath, request, &answer)
	var refused *Problem
	if errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return err
	}
	c.inquireAt = now.Add(inquireSoon)
	for _, i := range due {
		said := answer.Events[i.Event]
		if said != threads.AnswerErased && said != threads.AnswerHeld {
			said = threads.AnswerUnknown
		}
		if err := c.x.Erasures.SaveReceipt(ctx, c.name, i, said, now); err != nil {
			return err
		}
	}
	return nil
}

// inquireSoon is how soon it is looked again whether there is something to ask.
const inquireSoon = 2 * time.Second
