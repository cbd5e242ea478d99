-- +goose Up

-- By which version of the program all that is derived from events was made; one row.
create table derived (version bigint not null);
insert into derived (version) values (0);

-- The keys that this server has had, the newest with the greatest number.
create table own_key (
    number      bigint primary key,
    fingerprint text not null unique
);

-- +goose Down
drop table own_key;
drop table derived;
