-- +goose Up

-- The keys that a server had one after another, oldest first, as their own
-- signatures prove: JSON, '' where only one is known.
alter table partner add column keys text not null default '';
