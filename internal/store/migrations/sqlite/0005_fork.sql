-- +goose Up

-- Proofs that a server signed two events for one place: one a log.
create table fork (
    log    integer primary key,
    pos    integer not null,              -- journal position at which it was learnt
    seq    integer not null,
    first  blob    not null,              -- header of the one with the lower id
    sig1   blob    not null,
    second blob    not null,
    sig2   blob    not null
);

-- +goose Down
drop table fork;
