-- Files that messages name, and whose bytes are here.

-- +goose Up

-- The files of every message that is neither hidden nor erased.
create table attachment (
    pos      bigint not null, -- of the message
    digest   bytea  not null,
    channel  bigint not null,
    primary key (pos, digest)
);
create index attachment_file on attachment (digest, channel);

-- A file in a channel while a message there names it. It is held in a channel
-- once it was uploaded here or a member of that very channel gave it, so that
-- naming a digest opens nothing that another channel has.
create table file (
    channel  bigint not null,
    digest   bytea  not null,
    size     bigint not null, -- bytes: the largest claimed, the true size once held
    held     bigint not null,
    wanted   bigint not null default 0, -- somebody asked for it
    origin   bigint not null, -- server whose people named it first
    attempts bigint not null default 0,
    due      bigint not null default 0, -- when it is asked for next, Unix milliseconds
    primary key (channel, digest)
);
create index file_digest on file (digest);
create index file_due on file (due) where held = 0;

-- What people of this server uploaded: what they may attach.
create table upload (
    person   bigint not null,
    digest   bytea  not null,
    size     bigint not null,
    type     text   not null,
    name     text   not null,
    at       bigint not null, -- Unix milliseconds
    primary key (person, digest)
);
create index upload_digest on upload (digest);

-- The bytes that lie in the directory of files.
create table blob (
    digest   bytea  not null primary key,
    size     bigint not null
);

-- +goose Down
drop table blob;
drop table upload;
drop table file;
drop table attachment;
