-- +goose Up

-- What is known of a person beside the id; it is erased with the person.
create table profile (
    person  bigint primary key references person (id),
    address text collate "C" unique, -- NULL once another person of that server has it
    shown   text not null,
    zone    text not null,
    hours   text not null, -- JSON, '' for the default
    version bigint not null
);

-- People of this server.
create table account (
    person   bigint primary key references person (id),
    name     text collate "C" not null unique, -- threads.CheckName allows one spelling only
    password text not null,        -- PHC string, '' for none
    admin    boolean not null,
    bot      boolean not null,
    disabled boolean not null,
    digest   text not null, -- JSON, '' for the default
    created  bigint not null  -- Unix ms
);

create table token (
    hash    bytea primary key, -- SHA-256 of the secret, which is not stored
    id      text collate "C" not null unique,
    person  bigint not null references person (id),
    label   text not null,
    bot     boolean not null,
    created bigint not null,
    used    bigint not null, -- Unix day, 0 for never: nothing finer is kept
    expires bigint not null  -- Unix ms, 0 for never
);

create index token_person on token (person, id);

-- +goose Down
drop table token;
drop table account;
drop table profile;
