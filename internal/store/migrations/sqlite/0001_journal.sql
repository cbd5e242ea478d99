-- The journal, what is derived from it, and the names that both use as numbers.
-- Hashes are their 32 bytes, times are hybrid clock readings, truths are 0 and 1.

-- +goose Up
create table server (
    id   integer primary key,
    name text    not null unique
);

create table person (
    id     integer primary key,
    uri    text    not null unique,
    server integer not null
);

create table channel (
    id       integer primary key,
    hash     blob    not null unique,
    version  integer not null,            -- journal position of its newest change
    orphans  integer not null default 0,  -- something has once come before what it refers to
    host     integer not null default 0,
    name     text    not null default '',
    purpose  text    not null default '',
    kind     text    not null default '',
    history  text    not null default '',
    archived integer not null default 0,
    created  integer not null default 0
);

-- How far each log is applied; the control log has origin 0 and epoch 0.
create table log (
    id       integer primary key,
    channel  integer not null,
    origin   integer not null,
    epoch    integer not null,
    from_seq integer not null,
    before   blob,                        -- prev of the event at from_seq, null at 1
    seq      integer not null,
    hash     blob,
    time     integer not null,
    control  integer not null,            -- control number of the newest event
    judged   integer not null,            -- control number by which its events were last judged
    unique (channel, origin, epoch)
);

-- flags: 1 void, 2 erased, 4 an edit of what was erased.
create table event (
    pos     integer primary key,
    log     integer not null,
    seq     integer not null,
    hash8   integer not null,             -- first 8 bytes of the id
    flags   integer not null,
    at      integer not null,             -- when this server got it, Unix milliseconds
    header  blob    not null,
    sig     blob    not null,
    content blob
);
create unique index event_place on event (log, seq);
create index event_hash on event (hash8);
create index event_missing on event (log, seq) where content is null and flags = 0;

-- Events beyond the cut at which a server's removal closed their log.
create table evidence (
    pos     integer primary key,
    log     integer not null,
    seq     integer not null,
    header  blob    not null,
    sig     blob    not null,
    content blob
);

create table thread (
    id        integer primary key,
    channel   integer not null,
    hash      blob    not null,
    pos       integer,                    -- of thread.created, null until that is here
    author    integer not null default 0,
    created   integer not null default 0,
    hidden    integer not null default 0,
    title     text    not null default '',
    objective text    not null default '',
    state     text    not null default 'open',
    assignee  text    not null default '',
    start     text    not null default '',
    due       text    not null default '',
    messages  integer not null default 0, -- neither hidden nor erased
    last_time integer not null default 0, -- of the newest of these, 0 without any
    version   integer not null default 0,
    unique (channel, hash)
);

-- flags: 1 void (own server's only), 2 erased, 4 edited.
create table message (
    pos     integer primary key,
    thread  integer not null,
    author  integer not null,
    sort    integer not null,             -- by which its thread shows it
    flags   integer not null,
    version integer not null,
    parent  blob
);
create index message_order on message (thread, sort);

-- Every write of every register by an event that is not void; the greatest stamp counts.
create table write (
    channel integer not null,
    object  blob    not null,
    field   text    not null,
    stamp   blob    not null,
    pos     integer not null,
    actor   integer not null,
    own     integer not null,             -- counts only for the object's own actor
    value   text,                         -- canonical JSON, null once erased
    primary key (channel, object, field, stamp)
) without rowid;
create index write_pos on write (pos);

-- Every erasure that is not void; it counts for its actor's own events and, with owner, for all.
create table erasure (
    channel integer not null,
    target  blob    not null,
    stamp   blob    not null,
    pos     integer not null,
    actor   integer not null,
    owner   integer not null,
    thread  blob,                         -- place of the target, null while the content is missing
    parent  blob,
    primary key (channel, target, stamp)
) without rowid;

create table membership (
    channel integer not null,
    person  integer not null,
    role    text    not null,
    primary key (channel, person)
) without rowid;
create index membership_person on membership (person);

create table channel_server (
    channel  integer not null,
    server   integer not null,
    admitted integer not null,            -- number of the control event
    removed  integer not null,            -- likewise, 0 while it is a member
    primary key (channel, server)
) without rowid;
create index channel_server_server on channel_server (server);

-- rowid is the position of the message or thread; the words are separated by spaces.
create virtual table search using fts5 (words, content='', contentless_delete=1, tokenize='ascii');
create virtual table search_word using fts5vocab (search, instance);

-- Channels into which this server has accepted an invitation.
create table expected (
    channel blob not null primary key
) without rowid;

create table idempotency (
    person integer not null,
    key    text    not null,
    digest blob    not null,
    events blob    not null,
    at     integer not null,
    primary key (person, key)
) without rowid;
create index idempotency_at on idempotency (at);

-- +goose Down
drop table idempotency;
drop table expected;
drop table search_word;
drop table search;
drop table channel_server;
drop table membership;
drop table erasure;
drop table write;
drop table message;
drop table thread;
drop table evidence;
drop table event;
drop table log;
drop table channel;
drop table person;
drop table server;
