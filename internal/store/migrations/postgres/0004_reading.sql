-- +goose Up

-- Position of the event by which the person became a member and has been one since.
alter table membership add column since bigint not null default 0;

-- People of this server whom a message mentions.
create table mention (
    person bigint not null,
    thread bigint not null,
    pos    bigint not null, -- of the message
    primary key (person, thread, pos)
);

-- How far a person has read a thread: everything up to the position.
create table read_mark (
    person bigint not null,
    thread bigint not null,
    pos    bigint not null,
    primary key (person, thread)
);

-- What a person chose; without a row the rules say whether they follow a thread.
create table follow (
    person    bigint not null,
    thread    bigint not null,
    following bigint not null,
    primary key (person, thread)
);

create index thread_activity on thread (channel, (case last_time when 0 then created else last_time end), id);
create index thread_pos on thread (pos);
create index message_arrival on message (thread, pos);

-- +goose Down
drop index message_arrival;
drop index thread_pos;
drop index thread_activity;
drop table follow;
drop table read_mark;
drop table mention;
alter table membership drop column since;
