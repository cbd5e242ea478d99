-- Files that messages name, and whose bytes are here.

-- +goose Up

-- The files of every message that is neither hidden nor erased.
create table attachment (
    pos     integer not null, -- of the message
    digest  blob    not null,
    channel integer not null,
    primary key (pos, digest)
) without rowid;
create index attachment_file on attachment (digest, channel);

-- A file in a channel while a message there names it. It is held in a channel
-- once it was uploaded here or a member of that very channel gave it, so that
-- naming a digest opens nothing that another channel has.
create table file (
    channel  integer not null,
    digest   blob    not null,
    size     integer not null,           -- bytes: the largest claimed, the true size once held
    held     integer not null,
    wanted   integer not null default 0, -- somebody asked for it
    origin   integer not null,           -- server whose people named it first
    attempts integer not null default 0,
    due      integer not null default 0, -- when it is asked for next, Unix milliseconds
    primary key (channel, digest)
) without rowid;
create index file_digest on file (digest);
create index file_due on file (due) where held = 0;

-- What people of this server uploaded: what they may attach.
create table upload (
    person integer not null,
    digest blob    not null,
    size   integer not null,
    type   text    not null,
    name   text    not null,
    at     integer not null,             -- Unix milliseconds
    primary key (person, digest)
) without rowid;
create index upload_digest on upload (digest);

-- The bytes that lie in the directory of files.
create table blob (
    digest blob    not null primary key,
    size   integer not null
) without rowid;

-- +goose Down
drop table blob;
drop table upload;
drop table file;
drop table attachment;
