-- +goose Up

-- Contents that came later than their events, at positions of their own: whoever
-- follows the journal hears of them.
create table arrival (
    pos   bigint primary key,
    event bigint not null -- position of the event
);

-- One row that is written to find out whether writing works.
create table probe (
    id     bigint primary key,
    filler bytea not null
);

-- +goose Down
drop table probe;
drop table arrival;
