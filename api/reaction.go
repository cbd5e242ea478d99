package api

import (
	"context"
	"net/http"

	"meridian/threads"
)

// ReactionPath names a reaction to a message.
type ReactionPath struct {
	MessagePath
	Emoji string `path:"emoji" maxLength:"64"`
}

func (a *API) reactionRoutes() {
	for method, on := range map[string]bool{http.MethodPut: true, http.MethodDelete: false} {
		id, summary := "take-back-reaction", "Take back your reaction"
		if on {
			id, summary = "react", "React to a message"
		}
		register(a, operation{
			method: method, path: "/messages/{id}/reactions/{emoji}", id: id, tag: "reactions", summary: summary,
			status: http.StatusNoContent,
		}, func(ctx context.Context, c *caller, in *ReactionPath) (*struct{}, error) {
			m, err := a.messageRecord(ctx, c, in.ID)
			if err != nil {
				return nil, err
			}
			_, err = a.do(ctx, c, threads.React{Channel: m.Channel, Target: in.ID, Emoji: in.Emoji, On: on})
			return nil, err
		})
	}
}
