package federation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"meridian/threads"
)

// hostMoved is the code of a refusal by a server that hosted a channel before.
const hostMoved = "host_moved"

// takeOver has this server become a channel's host, for an owner of its own. What is signed is composed
// here, about a place of the control log that this server applied.
func (x *Exchange) takeOver(ctx context.Context, o Order, cmd threads.HandOver) error {
	for range joinTries {
		ch, err := x.Journal.Channel(ctx, cmd.Channel)
		if err != nil {
			return fmt.Errorf("load channel %s: %w", cmd.Channel, err)
		}
		if ch == nil {
			return threads.Refuse(threads.NotFound, "not_found", "", "there is no such channel, or you are not in it")
		}
		if ch.Host == x.Server {
			x.keysChanged() // the old host may not have known all of them
			return nil
		}
		if err := threads.MayHandOver(ch, o.Actor, cmd.Server); err != nil {
			return err
		}
		err = x.askToHost(ctx, ch, o)
		var refused *threads.Error
		if moved := errors.As(err, &refused) && (refused.Code == staleAcceptance || refused.Code == hostMoved); err != nil && !moved {
			return err
		}
		if err := x.catchUp(ctx, ch.Host, ch.ID); err != nil {
			x.courier(ch.Host).want(ch.ID, note{})
			return unreached(ch.Host, err)
		}
	}
	return threads.Refuse(threads.Conflict, staleAcceptance, "", "the channel changes too fast for a hand-over; try again")
}

// askToHost sends the present host this server's acceptance.
func (x *Exchange) askToHost(ctx context.Context, ch *threads.Channel, o Order) error {
	a := threads.HostAcceptance{Channel: ch.ID, From: ch.Host, Host: x.Server, Prev: ch.Control.Hash}
	sig := x.signAs(ch, a.SigningBytes())
	if sig == nil {
		return threads.Refuse(threads.Unavailable, "key_unknown", "", "the channel does not know this server's new key yet; try again later")
	}
	_, err := x.order(ctx, ch.Host, wireRequest{
		ID: x.orderID(o), Kind: kindCommand, Channel: ch.ID,
		Command: &wireCommand{
			Kind: commandHost, Actor: o.Actor, Server: x.Server,
			Prev: a.Prev, Acceptance: base64.RawURLEncoding.EncodeToString(sig),
		},
	})
	return err
}

// handedOver has the new host, and everybody else, told at once: this server is not the one any more
// that pushes the control log.
func (x *Exchange) handedOver(ctx context.Context, id threads.Hash) error {
	ch, err := x.Journal.Channel(ctx, id)
	if err != nil || ch == nil || ch.Host == x.Server {
		return err
	}
	x.Log.Info("channel handed over", "channel", id, "host", ch.Host)
	for _, name := range ch.Servers() {
		if name != x.Server {
			x.courier(name).claimed(standing{Channel: id, Control: wireControl{Number: ch.Control.Seq - 1}}, false)
		}
	}
	return nil
}

// movedFrom is what a server that hosted the channel says to members and those it invited.
func movedFrom(ch *threads.Channel) *Problem {
	return refuseExchange(http.StatusConflict, hostMoved, "the channel's host is "+ch.Host+" now; whom this server invited before is to be invited again")
}
