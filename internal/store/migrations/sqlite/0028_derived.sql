-- +goose Up

-- By which version of the program all that is derived from events was made; one row.
create table derived (version integer not null);
insert into derived (version) values (0);

-- +goose Down
drop table derived;
