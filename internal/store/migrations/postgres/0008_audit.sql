-- +goose Up

-- What was decided and found on this server, each entry chained to the one before.
create table audit (
    seq    bigint primary key,
    at     bigint not null, -- Unix ms
    who    text    not null, -- a person's id, 'server' or 'admin'
    what   text    not null,
    object text    not null,
    detail text    not null,
    hash   bytea    not null  -- of the entry before and of this one
);

-- The newest entry, so that a log that was cut short shows it.
create table audit_head (
    id   bigint primary key,
    seq  bigint not null,
    hash bytea    -- null before the first entry
);
insert into audit_head (id, seq) values (1, 0);

-- How far the present walk through all stored events has come.
create table scrub (
    id      bigint primary key,
    began   bigint not null, -- Unix ms
    channel bytea,             -- null before the first one
    log     bigint not null, -- within the channel, 0 before the first
    seq     bigint not null
);

-- Events found damaged and not repaired yet, with their bytes as they lay there.
create table damage (
    log     bigint not null,
    seq     bigint not null,
    found   bigint not null, -- Unix ms
    what    text    not null,
    header  bytea,
    sig     bytea,
    content bytea,
    primary key (log, seq)
);

-- +goose Down
drop table damage;
drop table scrub;
drop table audit_head;
drop table audit;
