package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"sort"
	"strings"

	"meridian/threads"
)

// Member is a person in a channel, or invited into it.
type Member struct {
	Person
	Role  string `json:"role" enum:"reader,guest,member,owner"`
	State string `json:"state" enum:"joined,invited" doc:"invited until they accept."`
}

const (
	joined  = "joined"
	invited = "invited"
)

// MemberPath names a member of a channel.
type MemberPath struct {
	ChannelPath
	Address string `path:"address" maxLength:"320" doc:"name@server"`
}

type listMembers struct {
	ChannelPath
	Paged
	State string `query:"state" enum:"joined,invited" default:"joined"`
}

type addMember struct {
	ChannelPath
	Once
	Body struct {
		Address string `json:"address" minLength:"3" maxLength:"320" doc:"name@server"`
		Role    string `json:"role,omitempty" enum:"reader,guest,member,owner" default:"member"`
	}
}

type changeRole struct {
	MemberPath
	Unless
	Body struct {
		Role string `json:"role" enum:"reader,guest,member,owner"`
	}
}

// ServerPath names a member server of a channel.
type ServerPath struct {
	ChannelPath
	Server string `path:"server" maxLength:"256" doc:"Name of the server, as stands after the @ of its people."`
}

type memberOut struct {
	Status int
	Body   Member
}

func (a *API) memberRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/channels/{id}/members", id: "members", tag: "members",
		summary: "Who is in a channel, or invited into it by this server",
	}, a.members)
	register(a, operation{
		method: http.MethodPost, path: "/channels/{id}/members", id: "add-member", tag: "members", status: http.StatusCreated, also: http.StatusAccepted,
		summary: "Bring a person in, as an owner: those of the host's server join at once (201), others are invited (202)",
	}, a.addMember)
	register(a, operation{
		method: http.MethodGet, path: "/channels/{id}/members/{address}", id: "member", tag: "members", summary: "A member of a channel",
	}, func(ctx context.Context, c *caller, in *MemberPath) (*versioned[Member], error) {
		_, m, err := a.memberOf(ctx, c, in)
		return m, err
	})
	register(a, operation{
		method: http.MethodPatch, path: "/channels/{id}/members/{address}", id: "change-role", tag: "members",
		summary: "Give a member another role, as an owner",
	}, a.changeRole)
	register(a, operation{
		method: http.MethodDelete, path: "/channels/{id}/members/{address}", id: "remove-member", tag: "members",
		summary: "Remove a member, as an owner, or leave",
	}, a.removeMember)
	register(a, operation{
		method: http.MethodDelete, path: "/channels/{id}/servers/{server}", id: "remove-server", tag: "members",
		summary: "Remove an organisation's server with all its people, as an owner: what they write from then on is nobody's here",
	}, a.removeServer)
}

func (a *API) members(ctx context.Context, c *caller, in *listMembers) (*listed[Member], error) {
	state, role, err := a.member(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	if in.State == invited {
		return a.invitedMembers(ctx, role, in)
	}
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return nil, badParameter("cursor", "is not one of this list; leave it out to begin at its start")
	}
	people := state.People()
	people = people[sort.Search(len(people), func(i int) bool { return people[i].ID > string(after) }):]
	next := ""
	if size := in.page().Size(); len(people) > size {
		people = people[:size]
		next = base64.RawURLEncoding.EncodeToString([]byte(people[size-1].ID))
	}
	known, err := a.People.PeopleByID(ctx, idsOf(people))
	if err != nil {
		return nil, err
	}
	return listOf(ctx, people, next, func(p threads.Person) Member {
		record, ok := known[p.ID]
		if !ok {
			record = threads.PersonRecord{ID: p.ID, Server: threads.ServerOf(p.ID)}
		}
		return Member{Person: personOf(record), Role: string(p.Role), State: joined}
	}), nil
}

func idsOf(people []threads.Person) []string {
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	return ids
}

func (a *API) invitedMembers(ctx context.Context, role threads.Role, in *listMembers) (*listed[Member], error) {
	if !role.Gives(threads.RightOwn) {
		return nil, refusal(http.StatusForbidden, "role", "only owners see who is invited")
	}
	invitations, next, err := a.Invitations.InvitationsOf(ctx, in.ID, in.page())
	if err != nil {
		return nil, err
	}
	pending := invitations[:0]
	for _, i := range invitations {
		if i.State == threads.InvitationPending || i.State == threads.InvitationAccepted {
			pending = append(pending, i)
		}
	}
	return listOf(ctx, pending, next, invitedOf), nil
}

func invitedOf(i threads.Invitation) Member {
	_, server, _ := strings.Cut(i.Address, "@")
	return Member{Person: Person{Address: i.Address, Server: server}, Role: string(i.Role), State: invited}
}

func (a *API) addMember(ctx context.Context, c *caller, in *addMember) (*memberOut, error) {
	state, role, err := a.member(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	address := strings.ToLower(in.Body.Address)
	name, server, _ := strings.Cut(address, "@")
	if threads.CheckName(name) != nil || server == "" {
		return nil, invalid("/address", "must be an address like ana@acme.example")
	}
	if server == a.server && state.Host == a.server {
		return a.join(ctx, c, in, address)
	}
	switch {
	case !role.Gives(threads.RightOwn):
		return nil, refusal(http.StatusForbidden, "role", "only owners bring people in")
	case state.Archived:
		return nil, refusal(http.StatusConflict, "archived", "the channel is archived; an owner can open it again")
	}
	if err := a.claimOnce(ctx, c, "add-member", in.Once, in.Body); err != nil {
		return nil, err
	}
	invitation, err := a.Membership.Invite(ctx, Invite{
		Actor: c.person.ID, Channel: in.ID, Address: address, Role: threads.Role(in.Body.Role),
	})
	if err != nil {
		return nil, err
	}
	return &memberOut{Status: http.StatusAccepted, Body: invitedOf(invitation)}, nil
}

// join makes a person of this server, which hosts the channel, a member.
func (a *API) join(ctx context.Context, c *caller, in *addMember, address string) (*memberOut, error) {
	p, err := a.People.PersonByAddress(ctx, address)
	if isKind(err, threads.NotFound) || err == nil && (!p.Local || p.Disabled) {
		return nil, invalid("/address", "is nobody's on this server")
	}
	if err != nil {
		return nil, err
	}
	command := threads.Join{Channel: in.ID, Person: p.ID, Role: threads.Role(in.Body.Role)}
	if _, err := a.doOnce(ctx, c, command, in.Once, in.Body); err != nil {
		return nil, err
	}
	return &memberOut{Status: http.StatusCreated, Body: Member{Person: personOf(p), Role: in.Body.Role, State: joined}}, nil
}

// memberOf is a member of a channel by address, by id and as people see them; 404
// for one who is none.
func (a *API) memberOf(ctx context.Context, c *caller, in *MemberPath) (id string, m *versioned[Member], err error) {
	state, _, err := a.member(ctx, c, in.ID)
	if err != nil {
		return "", nil, err
	}
	p, err := a.person(ctx, in.Address)
	if err != nil {
		return "", nil, err
	}
	role := state.Role(p.ID)
	if role == threads.RoleNone {
		return "", nil, notFound()
	}
	return p.ID, &versioned[Member]{
		ETag: etag(state.RoleSince(p.ID)), Body: Member{Person: personOf(p), Role: string(role), State: joined},
	}, nil
}

func (a *API) changeRole(ctx context.Context, c *caller, in *changeRole) (*versioned[Member], error) {
	end, err := a.alone(ctx, in.ID, in.Unless)
	if err != nil {
		return nil, err
	}
	defer end()
	id, m, err := a.memberOf(ctx, c, &in.MemberPath)
	if err != nil {
		return nil, err
	}
	if err := in.matches(m.ETag); err != nil {
		return nil, err
	}
	role := threads.Role(in.Body.Role)
	if _, err := a.do(ctx, c, threads.ChangeRole{Channel: in.ID, Person: id, Role: role}); err != nil {
		return nil, err
	}
	if _, m, err = a.memberOf(ctx, c, &in.MemberPath); err == nil {
		m.Body.Role = in.Body.Role // as the host has it: what it appended may not be here yet
	}
	return m, err
}

func (a *API) removeMember(ctx context.Context, c *caller, in *MemberPath) (*struct{}, error) {
	id, _, err := a.memberOf(ctx, c, in)
	if err != nil {
		return nil, err
	}
	_, err = a.do(ctx, c, threads.RemoveMember{Channel: in.ID, Person: id})
	return nil, err
}

func (a *API) removeServer(ctx context.Context, c *caller, in *ServerPath) (*struct{}, error) {
	state, _, err := a.member(ctx, c, in.ID)
	if err == nil && !state.IsMember(in.Server) {
		err = notFound()
	}
	if err == nil {
		_, err = a.do(ctx, c, threads.RemoveServer{Channel: in.ID, Server: in.Server})
	}
	return nil, err
}
