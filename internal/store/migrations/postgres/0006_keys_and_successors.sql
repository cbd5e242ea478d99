-- +goose Up

-- The keys that a server had one after another, oldest first, as their own
-- signatures prove: JSON, '' where only one is known.
alter table partner add column keys text not null default '';

-- The channel that this one goes on from, as somebody who is in both says; null
-- for most.
alter table channel add column follows bytea;
create index channel_follows on channel (follows) where follows is not null;
