-- +goose Up

-- An administrator has stopped the exchange for a while.
alter table partner add column paused boolean not null default false;
-- Why the partner was not reached the last time: a word of federation's closed set, '' since it went well.
alter table partner add column reason text not null default '';
-- When the certificate that it showed last ends: Unix ms, 0 where it showed none.
alter table partner add column certificate bigint not null default 0;

-- +goose Down
alter table partner drop column certificate;
alter table partner drop column reason;
alter table partner drop column paused;
