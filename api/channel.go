package api

import (
	"context"
	"net/http"
	"time"

	"meridian/threads"
)

// Channel is a channel. Role and Unread are those of the person who asks, and
// absent in events.
type Channel struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	Purpose  string        `json:"purpose"`
	Kind     string        `json:"kind" enum:"work,social"`
	History  string        `json:"history" enum:"full,joined" doc:"What newcomers get of what was written before them."`
	Host     string        `json:"host" doc:"The server that changes members and settings."`
	Archived bool          `json:"archived"`
	Created  time.Time     `json:"created"`
	Follows  string        `json:"follows,omitempty" doc:"The channel that this one goes on from."`
	Next     string        `json:"successor,omitempty" doc:"The channel that goes on from this one, because its host is lost: who is in it writes there, and only reads here (409 succeeded)."`
	Forks    []ChannelFork `json:"forks,omitempty" doc:"Servers that signed two histories here, where that matters now; absent in events."`
	Role     string        `json:"role,omitempty" enum:"reader,guest,member,owner"`
	Unread   *int64        `json:"unread,omitempty" doc:"Messages that this server received since you read."`
}

func channelOf(r threads.ChannelRecord) Channel {
	return Channel{
		ID: r.ID, Name: r.Settings.Name, Purpose: r.Settings.Purpose, Kind: r.Settings.Kind, History: r.Settings.History,
		Host: r.Host, Archived: r.Archived, Created: r.Created.UTC(), Follows: r.Follows, Next: r.Next, Role: string(r.Role), Unread: &r.Unread,
	}
}

// channelState is the channel as its events tell it, to nobody in particular.
func channelState(c *threads.Channel) Channel {
	return Channel{
		ID: c.ID, Name: c.Settings.Name, Purpose: c.Settings.Purpose, Kind: c.Settings.Kind, History: c.Settings.History,
		Host: c.Host, Archived: c.Archived, Created: c.Created.Wall(),
	}
}

// ChannelPath names a channel.
type ChannelPath struct {
	ID string `path:"id" maxLength:"64" doc:"Of the channel."`
}

type newChannel struct {
	Once
	Body struct {
		Name    string `json:"name" minLength:"1" maxLength:"200"`
		Purpose string `json:"purpose,omitempty" maxLength:"2000"`
		Kind    string `json:"kind,omitempty" enum:"work,social" default:"work" doc:"A social channel never tells anybody anything."`
		History string `json:"history,omitempty" enum:"full,joined" default:"full"`
	}
}

type changeChannel struct {
	ChannelPath
	Unless
	Body struct {
		Name    string `json:"name,omitempty" minLength:"1" maxLength:"200"`
		Purpose string `json:"purpose,omitempty" maxLength:"2000"`
		Kind    string `json:"kind,omitempty" enum:"work,social"`
		History string `json:"history,omitempty" enum:"full,joined"`
	}
}

type archiveChannel struct {
	ChannelPath
	Once
	Body struct {
		Archived bool `json:"archived" doc:"false opens it again."`
	}
}

type moveChannel struct {
	ChannelPath
	Once
	Body struct {
		Server string `json:"server" minLength:"1" maxLength:"256" doc:"Name of your own server, which becomes the host."`
	}
}

func (a *API) channelRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/channels", id: "channels", tag: "channels", summary: "The channels that you are in",
	}, func(ctx context.Context, c *caller, in *Paged) (*listed[Channel], error) {
		records, next, err := a.Channels.Channels(ctx, c.person.ID, in.page())
		if err != nil {
			return nil, err
		}
		out := listOf(ctx, records, next, channelOf)
		for i, r := range records {
			if !r.Forked {
				continue
			}
			state, err := a.Journal.Channel(ctx, r.ID)
			if err != nil {
				return nil, err
			}
			out.Body.Items[i].Forks = forksIn(state)
		}
		return out, nil
	})
	register(a, operation{
		method: http.MethodPost, path: "/channels", id: "make-channel", tag: "channels", status: http.StatusCreated,
		summary: "Make a channel: this server hosts it and you are its owner",
	}, a.makeChannel)
	register(a, operation{
		method: http.MethodGet, path: "/channels/{id}", id: "channel", tag: "channels", summary: "A channel that you are in",
	}, func(ctx context.Context, c *caller, in *ChannelPath) (*versioned[Channel], error) {
		return a.channel(ctx, c, in.ID)
	})
	register(a, operation{
		method: http.MethodPatch, path: "/channels/{id}", id: "change-channel", tag: "channels",
		summary: "Change a channel's settings, as an owner",
	}, a.changeChannel)
	register(a, operation{
		method: http.MethodPost, path: "/channels/{id}/archive", id: "archive-channel", tag: "channels",
		summary: "Close a channel to anything new, or open it again, as an owner",
	}, a.archiveChannel)
	register(a, operation{
		method: http.MethodPost, path: "/channels/{id}/host", id: "move-channel", tag: "channels",
		summary: "Have your own server become the channel's host in the place of the present one, as an owner",
	}, a.moveChannel)
	register(a, operation{
		method: http.MethodPost, path: "/channels/{id}/successor", id: "succeed-channel", tag: "channels", status: http.StatusCreated,
		summary: "Go on in a new channel, hosted by your server, where a channel's host is lost for good: its members are asked to join",
	}, a.succeedChannel)
	a.stateRoutes()
}

func (a *API) channel(ctx context.Context, c *caller, id threads.Hash) (*versioned[Channel], error) {
	state, _, err := a.member(ctx, c, id)
	if err != nil {
		return nil, err
	}
	r, err := a.Channels.Channel(ctx, c.person.ID, id)
	if err != nil {
		return nil, unseen(err)
	}
	shown := channelOf(r)
	shown.Forks = forksIn(state)
	return &versioned[Channel]{ETag: etag(state.Control.Seq), Body: shown}, nil
}

func (a *API) makeChannel(ctx context.Context, c *caller, in *newChannel) (*versioned[Channel], error) {
	b := in.Body
	command := threads.CreateChannel{Settings: threads.Settings{Name: b.Name, Purpose: b.Purpose, Kind: b.Kind, History: b.History}}
	done, err := a.doOnce(ctx, c, command, in.Once, b)
	if err != nil {
		return nil, err
	}
	return a.channel(ctx, c, done.IDs[0])
}

func (a *API) changeChannel(ctx context.Context, c *caller, in *changeChannel) (*versioned[Channel], error) {
	end, err := a.alone(ctx, in.ID, in.Unless)
	if err != nil {
		return nil, err
	}
	defer end()
	state, _, err := a.member(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	if err := in.holds(state.Control.Seq); err != nil {
		return nil, err
	}
	b := in.Body
	settings := threads.Settings{Name: b.Name, Purpose: b.Purpose, Kind: b.Kind, History: b.History}
	if _, err := a.do(ctx, c, threads.ChangeSettings{Channel: in.ID, Settings: settings}); err != nil {
		return nil, err
	}
	return a.channel(ctx, c, in.ID)
}

func (a *API) archiveChannel(ctx context.Context, c *caller, in *archiveChannel) (*versioned[Channel], error) {
	if _, _, err := a.member(ctx, c, in.ID); err != nil {
		return nil, err
	}
	if err := a.claimOnce(ctx, c, "archive-channel", in.Once, in.Body); err != nil {
		return nil, err
	}
	if _, err := a.do(ctx, c, threads.ChangeSettings{Channel: in.ID, Archived: &in.Body.Archived}); err != nil {
		return nil, err
	}
	return a.channel(ctx, c, in.ID)
}

func (a *API) moveChannel(ctx context.Context, c *caller, in *moveChannel) (*versioned[Channel], error) {
	if _, _, err := a.member(ctx, c, in.ID); err != nil {
		return nil, err
	}
	if _, err := a.doOnce(ctx, c, threads.HandOver{Channel: in.ID, Server: in.Body.Server}, in.Once, in.Body); err != nil {
		return nil, err
	}
	return a.channel(ctx, c, in.ID)
}

// ChannelState is how far this server's replica of a channel has come.
type ChannelState struct {
	Channel   string      `json:"channel"`
	Control   ControlHead `json:"control"`
	Frontier  []Head      `json:"frontier" nullable:"false" doc:"The newest event of each log, by origin and epoch."`
	Start     []Head      `json:"start" nullable:"false" doc:"Of each log that is not held from its first event: the one before."`
	StateHash string      `json:"state_hash" doc:"Equal at every server with equal control, frontier, start and rules."`
	Rules     int         `json:"rules" doc:"Version of the rules by which the state follows from the events."`
}

// ControlHead is the newest event of the control log.
type ControlHead struct {
	Number int64  `json:"number"`
	Hash   string `json:"hash"`
}

// Head is an event of a data log.
type Head struct {
	Origin string `json:"origin"`
	Epoch  int64  `json:"epoch"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
}

func headsOf(heads []threads.Head) []Head {
	shown := make([]Head, len(heads))
	for i, h := range heads {
		shown[i] = Head{h.Origin, h.Epoch, h.Seq, h.Hash}
	}
	return shown
}

func (a *API) stateRoutes() {
	type out struct{ Body ChannelState }
	register(a, operation{
		method: http.MethodGet, path: "/channels/{id}/state", id: "channel-state", tag: "channels",
		summary: "Frontier and state hash of this server's replica",
	}, func(ctx context.Context, c *caller, in *ChannelPath) (*out, error) {
		if _, _, err := a.member(ctx, c, in.ID); err != nil {
			return nil, err
		}
		s, err := a.States.StateHash(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &out{ChannelState{
			Channel: in.ID, Control: ControlHead{s.Control.Seq, s.Control.Hash}, Frontier: headsOf(s.Frontier),
			Start: headsOf(s.Start), StateHash: s.Hash, Rules: s.Rules,
		}}, nil
	})
}
