-- +goose Up

-- When the proof was learnt, Unix ms; 0 for those that were kept before.
alter table fork add column at integer not null default 0;

-- +goose Down
alter table fork drop column at;
