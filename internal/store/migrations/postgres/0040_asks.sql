-- +goose Up

-- Whom a message asks, and what became of it: derived from the message, what was
-- written about it and the direct replies to it. state: 0 open, 1 answered,
-- 2 withdrawn, 3 declined. due is in Unix milliseconds.
create table ask (
    channel bigint not null,
    object  bytea   not null,             -- id of the message
    person  bigint not null,             -- who is asked
    author  bigint not null,
    pos     bigint not null,             -- of the message
    thread  bigint not null,
    urgency text    not null,
    due     bigint not null,
    basis   text    not null,
    zone    text    not null,
    state   bigint not null,
    answer  bigint,                      -- position of the first answer
    primary key (channel, object, person)
);
create index ask_person on ask (person, due) where state = 0;
create index ask_author on ask (author, due) where state = 0;

-- Something was once asked in it: replies may be answers.
alter table channel add column asks bigint not null default 0;
create index message_author on message (thread, author);

-- +goose Down
drop index message_author;
alter table channel drop column asks;
drop table ask;
