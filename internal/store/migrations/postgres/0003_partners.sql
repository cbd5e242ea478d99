-- +goose Up

create table partner (
    name        text collate "C" primary key,
    state       text collate "C" not null, -- pending, allowed, blocked
    key_id      text not null, -- '' until a key is pinned
    key         bytea,
    fingerprint text not null,
    verified    boolean not null,
    hold        text not null,
    added       bigint not null, -- Unix ms, like all instants here; 0 for never
    contact_in  bigint not null default 0,
    contact_out bigint not null default 0,
    error       text not null default '',
    remedy      text not null default '',
    attempts    bigint not null default 0,
    next_try    bigint not null default 0,
    clock_diff  bigint not null default 0, -- ms
    journal     bigint not null default 0, -- delivery cursor: a journal position
    versions    text not null default ''
);

-- The oldest pending entries make room for new ones.
create index partner_state on partner (state, added);

-- A channel at a partner, only while it is behind, parked or rejected there.
create table partner_channel (
    partner  text collate "C" not null,
    channel  bytea not null,
    state    text collate "C" not null,
    epoch    bigint not null,
    have     bigint not null,
    since    bigint not null,
    attempts bigint not null,
    error    text not null,
    remedy   text not null,
    primary key (partner, channel)
);

create table invitation (
    id        text collate "C" primary key, -- UUIDv7
    direction text collate "C" not null,    -- in, out
    offer     text collate "C" not null,    -- the host's id of it
    channel   bytea not null,
    host      text collate "C" not null,
    name      text collate "C" not null,
    purpose   text not null,
    role      text not null,
    inviter   text not null,
    invitee   text collate "C" not null, -- '' while only the address is known
    address   text collate "C" not null,
    state     text collate "C" not null,
    error     text not null,
    created   bigint not null,
    changed   bigint not null,
    unique (direction, host, offer)
);

create index invitation_invitee on invitation (invitee, id);
create index invitation_channel on invitation (channel, direction, id);

-- +goose Down
drop table invitation;
drop table partner_channel;
drop table partner;
