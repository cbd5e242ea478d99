-- +goose Up

-- Contents that came later than their events, at positions of their own: whoever
-- follows the journal hears of them.
create table arrival (
    pos   integer primary key,
    event integer not null -- position of the event
);

create index arrival_event on arrival (event);

-- One row that is written to find out whether writing works.
create table probe (
    id     integer primary key,
    filler blob not null
);

-- What other servers said of erasures that people of this server made.
create table receipt (
    pos     integer not null, -- of the erasing event
    partner text not null,
    answer  text not null, -- '' before the first
    asked   integer not null, -- when it answered, Unix ms; 0 for never
    tries   integer not null,
    due     integer, -- when to ask, Unix ms; null once nothing is left to ask
    primary key (pos, partner)
);
create index erasure_pos on erasure (pos);
create index receipt_due on receipt (partner, due) where due is not null;

-- Addresses of people who were erased, which are never given again.
create table former (
    name   blob primary key, -- SHA-256 of the address
    person integer not null,
    told   boolean not null -- every channel that they were in
);

-- Whether bytes of something erased may lie about in the database's files.
create table sweep (
    id  integer primary key,
    due integer not null
);

-- +goose Down
drop table sweep;
drop table former;
drop table receipt;
drop index erasure_pos;
drop table probe;
drop table arrival;
