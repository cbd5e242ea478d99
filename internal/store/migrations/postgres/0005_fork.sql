-- +goose Up

-- Proofs that a server signed two events for one place: one a log.
create table fork (
    log bigint primary key,
    pos bigint not null,  -- journal position at which it was learnt
    seq bigint not null,
    first bytea not null,  -- header of the one with the lower id
    sig1 bytea not null,
    second bytea not null,
    sig2 bytea not null
);

-- +goose Down
drop table fork;
