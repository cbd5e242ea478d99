package api

import (
	"context"
	"net/http"
	"time"

	"meridian/threads"
)

// Fork is the proof that a server signed two histories, and what became of it.
type Fork struct {
	Channel string     `json:"channel"`
	Name    string     `json:"name" doc:"Of the channel."`
	Server  string     `json:"server" doc:"Who signed two events for one place."`
	Log     string     `json:"log" enum:"control,data" doc:"control: of members and settings, by the host. data: of what the server's people wrote."`
	Epoch   int64      `json:"epoch"`
	Seq     int64      `json:"seq" doc:"The place."`
	Events  []string   `json:"events" nullable:"false" doc:"Hashes of the two."`
	Found   *time.Time `json:"found" doc:"When this server had the proof; null where that was not kept."`
	State   string     `json:"state" enum:"stopped,passed,ended,closed,decided,awaited" doc:"stopped: members and settings of the channel change no more. passed: the channel has another host since, it stops nothing. ended: the log ends below that place, the host has not closed it yet. closed: it is closed for good. decided: the control log names the branch that counts. awaited: that branch is not here in full yet."`
	Waits   []string   `json:"waits_for" nullable:"false" doc:"Servers: ended waits for the host, awaited for any one of these."`
	Detail  string     `json:"detail" doc:"What it means, in plain words."`
	Remedy  string     `json:"remedy" doc:"Empty where nothing is to be done."`
}

// ChannelFork is what members are told of a fork in their channel.
type ChannelFork struct {
	Server string `json:"server" doc:"Who signed two histories."`
	State  string `json:"state" enum:"stopped,ended,closed,awaited" doc:"As in GET /admin/forks; what stops nothing is left out."`
	Detail string `json:"detail" doc:"What it means, in plain words."`
}

// forkTexts are what a state means, and what helps.
type forkTexts struct{ detail, remedy string }

func textsOf(state threads.ForkState) forkTexts {
	const copied = "ask its administrators whether it was restored by copying files, runs twice with one key, or lost its key"
	switch state {
	case threads.ForkStopped:
		return forkTexts{
			"the channel's host has shown two histories of who is a member: members and settings change no more, conversation goes on among those who hold the same history",
			copied + "; to change members again, a member starts a successor channel (POST /channels/{id}/successor)",
		}
	case threads.ForkPassed:
		return forkTexts{"the host before the present one has shown two histories; the hand-over stands above them, so nothing is stopped", ""}
	case threads.ForkEnded:
		return forkTexts{
			"what the server wrote from that place on counts nowhere; it goes on in a new log once the host has closed this one",
			copied + "; if the host stays away, look at it with partner doctor",
		}
	case threads.ForkClosed:
		return forkTexts{"what the server wrote from that place on counts nowhere; it goes on in a new log", copied}
	case threads.ForkDecided:
		return forkTexts{"the control log names which of the two histories counts, and this server holds it", copied}
	case threads.ForkAwaited:
		return forkTexts{
			"the control log names which of the two histories counts; this server shows neither until it holds that one in full",
			"bring the members of the channel back that are away; one of them holds it",
		}
	}
	return forkTexts{}
}

func forkOf(c *threads.Channel, f threads.ForkSight) Fork {
	at := f.Ref()
	state, waits := c.ForkState(at)
	texts := textsOf(state)
	return Fork{
		Channel: c.ID, Name: c.Settings.Name, Server: f.First.Header.Origin, Log: f.First.Header.Log, Epoch: at.Epoch, Seq: at.Seq,
		Events: []string{f.First.ID, f.Second.ID}, Found: unlessZero(f.Found),
		State: string(state), Waits: append([]string{}, waits...), Detail: texts.detail, Remedy: texts.remedy,
	}
}

// forksIn are the forks that its members should know of.
func forksIn(c *threads.Channel) (told []ChannelFork) {
	for _, at := range c.Forked() {
		state, _ := c.ForkState(at)
		if state == threads.ForkPassed || state == threads.ForkDecided {
			continue
		}
		server := at.Origin
		if at.LogID == threads.ControlLog {
			server = c.Host
		}
		told = append(told, ChannelFork{server, string(state), textsOf(state).detail})
	}
	return told
}

func (a *API) forkRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/admin/forks", id: "forks", tag: "admin",
		summary: "The proofs that a server signed two histories, in the order in which they came here",
	}, func(ctx context.Context, c *caller, in *Paged) (*listed[Fork], error) {
		if err := needAdmin(c); err != nil {
			return nil, err
		}
		proofs, next, err := a.Forks.Proofs(ctx, in.page())
		if err != nil {
			return nil, err
		}
		channels := map[threads.Hash]*threads.Channel{}
		for _, f := range proofs {
			if channels[f.Channel()], err = a.Journal.Channel(ctx, f.Channel()); err != nil {
				return nil, err
			}
		}
		return listOf(ctx, proofs, next, func(f threads.ForkSight) Fork { return forkOf(channels[f.Channel()], f) }), nil
	})
}
