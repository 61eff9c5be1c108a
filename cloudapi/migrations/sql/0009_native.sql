-- Storage on plain PostgreSQL: closed days packed, hours rolled up. Daily partitions are there since the first revision.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- One market's closed day in one row: arrays in order of time, nothing rounded. What a chart reads stays inside the row
-- (storage main), so that a day is one page of the heap; the rest may move out of line.
create table price_day (
    market_id integer not null,
    day date not null,
    at bigint[] not null,                       -- microseconds since midnight UTC
    bid double precision[] not null,
    ask double precision[] not null,
    last_price double precision[] not null,
    mid double precision[] not null,
    volume_24h double precision[] not null,
    open_interest double precision[] not null,
    liquidity_usd double precision[] not null,
    primary key (market_id, day)
);
alter table price_day
    alter column at set storage main,
    alter column bid set storage main,
    alter column ask set storage main,
    alter column last_price set storage main,
    alter column mid set storage main;
-- Days are packed one after the other: the smallest of indexes finds what retention takes.
create index price_day_by_day on price_day using brin (day);

-- Hours: the path of the mid, and the last quote as it stood.
create table price_1h (
    market_id integer not null,
    bucket timestamptz not null,
    n integer not null check (n > 0),
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    average double precision,
    fetched_at timestamptz not null,            -- of the last quote in the hour; the four columns below are its own
    bid double precision,
    ask double precision,
    last_price double precision,
    mid double precision,
    primary key (market_id, bucket)
);
