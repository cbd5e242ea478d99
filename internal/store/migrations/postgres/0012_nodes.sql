-- +goose Up

-- The nodes of the organisation that run now. Instants are of the database's clock.
create table node (
    name   text collate "C" primary key, -- chosen anew at each start
    server text collate "C" not null,
    until  timestamptz not null -- when it counts as dead unless it says otherwise
);

-- Which node does a step that is to be done by one; fence grows with each change of hands.
create table lease (
    step  text collate "C" primary key,
    node  text collate "C" not null,
    fence bigint not null
);

-- +goose Down
drop table lease;
drop table node;
