-- +goose Up

-- What was decided and found on this server, each entry chained to the one before.
create table audit (
    seq    integer primary key,
    at     integer not null, -- Unix ms
    who    text    not null, -- a person's id, 'server' or 'admin'
    what   text    not null,
    object text    not null,
    detail text    not null,
    hash   blob    not null  -- of the entry before and of this one
);

-- The newest entry, so that a log that was cut short shows it.
create table audit_head (
    id   integer primary key,
    seq  integer not null,
    hash blob    -- null before the first entry
);
insert into audit_head (id, seq) values (1, 0);

-- How far the present walk through all stored events has come.
create table scrub (
    id      integer primary key,
    began   integer not null, -- Unix ms
    channel blob,             -- null before the first one
    log     integer not null, -- within the channel, 0 before the first
    seq     integer not null
);

-- Events found damaged and not repaired yet, with their bytes as they lay there.
create table damage (
    log     integer not null,
    seq     integer not null,
    found   integer not null, -- Unix ms
    what    text    not null,
    header  blob,
    sig     blob,
    content blob,
    primary key (log, seq)
) without rowid;

-- +goose Down
drop table damage;
drop table scrub;
drop table audit_head;
drop table audit;
