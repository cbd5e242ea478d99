-- +goose Up

-- Whether this server may go on in a log of its own: 0 it may, 1 some of it may
-- be lost here, 2 it was left for good.
alter table log add column doubt bigint not null default 0;

-- A profile of another server's person in the bytes that its server signed, so
-- that this server can give it back should they be lost there.
alter table profile add column signed bytea;

-- +goose Down
alter table profile drop column signed;
alter table log drop column doubt;
