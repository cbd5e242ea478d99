-- +goose Up

-- Whether this server may go on in a log of its own: 0 it may, 1 some of it may
-- be lost here, 2 it was left for good.
alter table log add column doubt bigint not null default 0;

-- +goose Down
alter table log drop column doubt;
