-- +goose Up

-- Contents that came later than their events, at positions of their own: whoever
-- follows the journal hears of them.
create table arrival (
    pos   integer primary key,
    event integer not null -- position of the event
);

-- One row that is written to find out whether writing works.
create table probe (
    id     integer primary key,
    filler blob not null
);

-- +goose Down
drop table probe;
drop table arrival;
