-- +goose Up

create table partner (
    name        text primary key,
    state       text not null, -- pending, allowed, blocked
    key_id      text not null, -- '' until a key is pinned
    key         blob,
    fingerprint text not null,
    verified    boolean not null,
    hold        text not null,
    added       integer not null, -- Unix ms, like all instants here; 0 for never
    contact_in  integer not null default 0,
    contact_out integer not null default 0,
    error       text not null default '',
    remedy      text not null default '',
    attempts    integer not null default 0,
    next_try    integer not null default 0,
    clock_diff  integer not null default 0, -- ms
    journal     integer not null default 0, -- delivery cursor: a journal position
    versions    text not null default ''
);

-- The oldest pending entries make room for new ones.
create index partner_state on partner (state, added);

-- A channel at a partner, only while it is behind, parked or rejected there.
create table partner_channel (
    partner  text not null,
    channel  blob not null,
    state    text not null,
    epoch    integer not null,
    have     integer not null,
    since    integer not null,
    attempts integer not null,
    error    text not null,
    remedy   text not null,
    primary key (partner, channel)
);

create table invitation (
    id        text primary key, -- UUIDv7
    direction text not null,    -- in, out
    offer     text not null,    -- the host's id of it
    channel   blob not null,
    host      text not null,
    name      text not null,
    purpose   text not null,
    role      text not null,
    inviter   text not null,
    invitee   text not null, -- '' while only the address is known
    address   text not null,
    state     text not null,
    error     text not null,
    created   integer not null,
    changed   integer not null,
    unique (direction, host, offer)
);

create index invitation_invitee on invitation (invitee, id);
create index invitation_channel on invitation (channel, direction, id);

-- +goose Down
drop table invitation;
drop table partner_channel;
drop table partner;
