package federation

import (
	"context"
	"sync"
	"time"

	"meridian/threads"
)

// removalWait is how long the host asks the members for what they hold of a server before it cuts
// that server's logs.
const removalWait = 5 * time.Second

// BeforeCommand prepares a command that this server is about to carry out as the channel's host: before
// a removal, or a key that is revoked, it gathers the concerned server's logs from every member that answers within 5 seconds, so
// that the cuts take in what others already have. It changes nothing for other commands.
func (x *Exchange) BeforeCommand(ctx context.Context, command threads.Command) error {
	server := ""
	switch cmd := command.(type) {
	case threads.RemoveMember:
		server = threads.ServerOf(cmd.Person)
	case threads.RemoveServer:
		server = cmd.Server
	case threads.RenewKey:
		if cmd.Revokes() {
			server = cmd.Server
		}
	}
	ch, err := x.Journal.Channel(ctx, command.In())
	if err != nil || ch == nil || ch.Host != x.Server || server == "" || server == x.Server || !ch.IsMember(server) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, removalWait)
	defer cancel()
	var all sync.WaitGroup
	for _, name := range ch.Servers() {
		if name != x.Server {
			all.Go(func() { x.gather(ctx, name, ch.ID) })
		}
	}
	all.Wait()
	return nil
}

// gather fetches from one member all that it holds of a channel beyond what is held here, as far as
// the time allows.
func (x *Exchange) gather(ctx context.Context, server string, channel threads.Hash) {
	for {
		asked, err := x.lackingHere(ctx, channel, &want{})
		if err != nil {
			return
		}
		got, tail, err := x.courier(server).fetch(ctx, pullRequest{Channels: []pullChannel{asked}}, false, x.Clock())
		if err != nil {
			x.Log.Info("member not asked before a removal", "server", server, "channel", channel, "error", err)
			return
		}
		answer := got.answer.Channels[channel]
		if len(tail.Channels) != 1 || !tail.Channels[0].More || answer == nil || len(answer.Taken) == 0 {
			return
		}
	}
}
